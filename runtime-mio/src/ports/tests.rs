//! A socket whose receive calls fail, below real endpoints.

use aqueduct_core::config::Config;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::faults::{GONE, PASSING, Script};
use mio::{Events, Poll};

use super::*;

/// A client, and a server whose receive calls fail with these errors first.
fn ports(poll: &Poll, script: &[i32]) -> (Ports, PortKey, PortKey) {
    let mut ports = Ports::new(poll.registry(), 0..8).expect("tokens");
    let tls = Identity::localhost().server().into();
    let config = EndpointConfig::server(tls, Config::default()).expect("suits");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = ports.bind(config, any).expect("binds");
    let client = ports.bind(EndpointConfig::client(), any).expect("binds");
    let port = ports.port(server).expect("bound");
    port.io.script = Script::new(script.to_vec());
    (ports, server, client)
}

#[test]
fn a_socket_that_fails_for_a_while_serves_afterwards() {
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(16);
    let (mut ports, server, client) = ports(&poll, &PASSING);
    let to = ports.local_addr(server).expect("bound");
    let target = Target::new(to, "localhost", Identity::localhost().client_arc());
    ports.connect(client, target).expect("begins");
    let mut rounds = 0;
    let connected = loop {
        ports.receive().expect("no socket is gone");
        let event = ports.poll_event();
        if let Some((_, _, event @ (Event::Connected { .. } | Event::Closed(_)))) = event {
            break event;
        }
        let wait = ports.send();
        poll.poll(&mut events, wait).expect("polls");
        events.iter().for_each(|event| _ = ports.ready(event));
        rounds += 1;
    };
    assert!(
        matches!(connected, Event::Connected { .. }),
        "{connected:?}"
    );
    let core = ports.endpoint(server).expect("bound");
    assert_eq!(core.stats().recv_errors, PASSING.len() as u64);
    // 127 ms of failures: what is readable all the time wakes nobody.
    assert!(rounds < 100, "{rounds} rounds");
}

#[test]
fn a_socket_that_is_gone_is_told_by_its_port() {
    let poll = Poll::new().expect("a poll");
    let (mut ports, server, _) = ports(&poll, &[GONE]);
    let failed = ports.receive().expect_err("gone");
    assert_eq!(
        (failed.port, failed.error.raw_os_error()),
        (server, Some(GONE))
    );
}

/// Each is told, one by one, and without a wait in between.
#[test]
fn all_sockets_that_are_gone_are_told() {
    let poll = Poll::new().expect("a poll");
    let (mut ports, server, client) = ports(&poll, &[GONE]);
    ports.port(client).expect("bound").io.script = Script::new(vec![GONE]);
    let mut told = Vec::new();
    while let Err(failed) = ports.receive() {
        told.push(failed.port);
        let more = ports.send() == Some(Duration::ZERO);
        assert_eq!(more, told.len() < 2, "{told:?}");
    }
    assert_eq!(told, [server, client]);
}

/// A socket that cannot send is told too, though nothing has come to it.
#[cfg(unix)]
#[test]
fn a_socket_that_is_shut_is_told_by_its_port() {
    use std::net::{Shutdown, TcpStream};
    use std::os::fd::OwnedFd;

    let poll = Poll::new().expect("a poll");
    let mut ports = Ports::new(poll.registry(), 0..8).expect("tokens");
    let peer = UdpSocket::bind("127.0.0.1:0").expect("binds");
    let to = peer.local_addr().expect("bound");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("binds");
    socket.connect(to).expect("an address");
    // The call is the same for all sockets, and the standard library has it for streams.
    let same = TcpStream::from(OwnedFd::from(socket.try_clone().expect("a copy")));
    same.shutdown(Shutdown::Write).expect("connected");
    let client = ports.add(EndpointConfig::client(), socket).expect("suits");
    ports.receive().expect("usable");
    let target = Target::new(to, "localhost", Identity::localhost().client_arc());
    ports.connect(client, target).expect("begins");
    assert_eq!(ports.send(), Some(Duration::ZERO), "there is more to do");
    let failed = ports.receive().expect_err("gone");
    assert_eq!(
        (failed.port, failed.error.kind()),
        (client, io::ErrorKind::BrokenPipe)
    );
}

/// An honest packet is behind those of a flood in the socket, and no further.
#[test]
fn a_turn_takes_all_that_waits_in_a_socket() {
    let mut poll = Poll::new().expect("a poll");
    let mut events = Events::with_capacity(16);
    let (mut ports, server, _) = ports(&poll, &[]);
    let to = ports.local_addr(server).expect("bound");
    let flood = UdpSocket::bind("127.0.0.1:0").expect("binds");
    for _ in 0..200 {
        flood.send_to(b"junk", to).expect("sends");
    }
    poll.poll(&mut events, None).expect("polls");
    events.iter().for_each(|event| _ = ports.ready(event));
    ports.receive().expect("usable");
    let port = ports.port(server).expect("bound");
    let more = port.driver.receive(Instant::now(), &mut port.io);
    assert!(!more.expect("usable"));
}
