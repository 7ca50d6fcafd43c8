//! HTTP/3 and raw QUIC on one endpoint.

use aqueduct_core::endpoint::ConnectError;
use aqueduct_core::id::Side;

use super::*;

#[test]
fn each_is_accepted_by_its_own_call() {
    let config = Net::server(Config::default());
    let mut net = Net::of(config.quic(["chat"], quic::Config::new()).expect("a name"));
    let server = net.server.clone();
    let (ours, theirs) = net.quic();
    let about = theirs.about().expect("is known");
    assert_eq!(about.alpn, b"chat");
    assert_eq!(about.server_name.as_deref(), Some("localhost"));
    assert_eq!((ours.side(), theirs.side()), (Side::Client, Side::Server));
    let (http, http_too) = net.connect();
    {
        let (mut accept, mut quic) = (pin!(server.accept()), pin!(server.accept_quic()));
        assert!(poll(accept.as_mut()).is_none() && poll(quic.as_mut()).is_none());
    }
    net.settle();
    assert_eq!(server.open_connections(), 2);
    drop((ours, theirs, http, http_too));
    net.run(server.wait_idle());
}

#[test]
fn a_target_is_for_its_own_call() {
    let net = net();
    let target = net.quic_target();
    let client = net.client.clone();
    let wrong = client
        .connect_with(target)
        .map(|_| ())
        .expect_err("raw QUIC");
    assert_eq!(wrong, ConnectError::WrongProtocol);
    let tls = Identity::localhost().client_arc();
    let target = Target::new(net.server.local_addr(), "localhost", tls);
    let wrong = client.connect_quic(target).map(|_| ()).expect_err("HTTP/3");
    assert_eq!(wrong, ConnectError::WrongProtocol);
}

#[test]
fn what_waits_is_closed_with_the_endpoint() {
    for dropped in [false, true] {
        let mut net = net();
        let client = net.client.clone();
        let ours = client.connect_quic(net.quic_target()).expect("begins");
        let mut ours = Task::new(ours, Script::idle());
        net.settle_with(&mut [&mut ours]);
        assert_eq!(ours.noted(), [Told::Connected]);
        let server = net.server.clone();
        if dropped {
            // The last handle.
            net.server = net.client.clone();
            drop(server);
        } else {
            server.drain(Duration::from_secs(1));
            assert!(net.run(server.accept_quic()).is_none());
        }
        net.settle_with(&mut [&mut ours]);
        assert_eq!(ours.noted(), [Told::ByPeer(0), Told::Closed]);
    }
}

#[test]
fn a_server_gives_each_connection_a_task() {
    let mut net = net();
    let server = net.server.clone();
    let (mut tasks, mut mailboxes) = (Vec::new(), Vec::new());
    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = net.client.clone();
        let ours = client.connect_quic(net.quic_target()).expect("begins");
        clients.push(Task::new(ours, Script::idle()));
    }
    {
        let make = |mailbox| {
            mailboxes.push(mailbox);
            Script::idle()
        };
        let mut serving = pin!(server.serve_quic(make, |run| tasks.push(run)));
        for _ in 0..20 {
            assert!(poll(serving.as_mut()).is_none(), "it goes on");
            net.turn();
        }
        server.drain(Duration::from_secs(1));
        assert!(poll(serving).is_some(), "it is over");
    }
    assert_eq!((tasks.len(), mailboxes.len()), (3, 3));
    mailboxes[1].try_send(4).expect("room");
    let mut told = Vec::new();
    for run in tasks {
        let behaviour = net.run(run);
        told.push(noted(&behaviour.log).contains(&Told::Message(4)));
    }
    assert_eq!(told, [false, true, false]);
}
