//! Tunnels of the handles, without sockets behind them.

use std::pin::pin;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::fault::Violation;
use aqueduct_core::masque::{AnswerFault, MAX_UDP_PAYLOAD, TunnelFault};
use bytes::Bytes;
use http::Response;

use super::{Net, both, poll};
use crate::Connection;
use crate::error::ReadError;
use crate::tunnel::{
    Asked, Credentials, Dialect, Gate, GateConfig, Host, Offer, OpenTunnel, OpenTunnelError,
    Refusal, TargetPolicy, TcpTunnel, Template, Tunnel, TunnelError, UdpTunnel,
};

fn gate() -> Gate {
    let mut config = GateConfig::default();
    config.policy = TargetPolicy::default().allow_special(true);
    Gate::new(config)
}

fn open(dialect: Dialect) -> OpenTunnel {
    let origin = "https://localhost/".parse().expect("a URI");
    let template = Template::default_for(dialect.kind(), &origin);
    let target = "192.0.2.1:443".parse().expect("a target");
    OpenTunnel::new(dialect, target, template)
}

/// The next request, which is for a tunnel.
async fn offer(gate: &Gate, theirs: &Connection) -> Offer {
    let (request, stream) = theirs.accept_request().await.expect("arrives");
    match gate.ask(request, stream) {
        Asked::Tunnel(offer) => *offer,
        other => panic!("{other:?}"),
    }
}

fn tunnel(net: &mut Net, gate: &Gate, conns: &[Connection; 2], dialect: Dialect) -> [Tunnel; 2] {
    let [ours, theirs] = conns;
    let asked = open(dialect);
    let answer = async {
        offer(gate, theirs)
            .await
            .accept(None)
            .expect("still wanted")
    };
    let (client, server) = net.run(both(ours.open_tunnel(&asked), answer));
    [client.expect("opens"), server]
}

fn udp(net: &mut Net, gate: &Gate, conns: &[Connection; 2]) -> [UdpTunnel; 2] {
    tunnel(net, gate, conns, Dialect::Udp).map(|tunnel| tunnel.into_udp().expect("for UDP"))
}

fn tcp(net: &mut Net, gate: &Gate, conns: &[Connection; 2], dialect: Dialect) -> [TcpTunnel; 2] {
    tunnel(net, gate, conns, dialect).map(|tunnel| tunnel.into_tcp().expect("for TCP"))
}

/// Rows C11, C14: payloads both ways, and the end of the stream is the end of the tunnel,
/// after what came before it.
#[test]
fn payloads_go_both_ways_until_the_tunnel_ends() {
    let mut net = Net::new();
    let (gate, conns) = (gate(), net.connect().into());
    let [client, server] = udp(&mut net, &gate, &conns);
    for (from, to) in [(&client, &server), (&server, &client)] {
        for payload in [&b""[..], b"one", &[7; 1000]] {
            from.try_send(payload).expect("room");
            assert_eq!(net.run(to.recv()).expect("arrives"), payload);
        }
    }
    assert_eq!(gate.stats().active, 1);
    client.try_send(b"last").expect("room");
    drop(client);
    net.settle();
    assert_eq!(net.run(server.recv()).expect("came before"), &b"last"[..]);
    assert_eq!(net.run(server.recv()), Err(TunnelError::Ended));
    drop(server);
    assert_eq!(gate.stats().active, 0);
}

/// Row C12: where one side has no datagrams, all go on the stream, in order, as large as
/// UDP has them.
#[test]
fn without_datagrams_payloads_go_in_capsules() {
    let mut config = Config::default();
    config.datagrams = false;
    let mut net = Net::with(config);
    let (gate, conns) = (gate(), net.connect().into());
    let [client, server] = udp(&mut net, &gate, &conns);
    assert_eq!(client.max_payload(), None);
    for (from, to) in [(&client, &server), (&server, &client)] {
        for len in [0, 1, 1500, MAX_UDP_PAYLOAD] {
            let payload = vec![len as u8; len];
            let (sent, got) = net.run(both(from.send(&payload), to.recv()));
            sent.expect("goes");
            assert!(got.expect("arrives") == payload, "{len} bytes");
        }
        let large = vec![0; MAX_UDP_PAYLOAD + 1];
        assert_eq!(net.run(from.send(&large)), Err(TunnelError::TooLarge));
    }
}

/// Whoever does not wait takes those in capsules as well.
#[test]
fn payloads_in_capsules_are_taken_without_waiting() {
    let mut config = Config::default();
    config.datagrams = false;
    let mut net = Net::with(config);
    let (gate, conns) = (gate(), net.connect().into());
    let [client, server] = udp(&mut net, &gate, &conns);
    assert_eq!(server.try_recv(), None);
    client.try_send(b"one").expect("room");
    client.try_send(b"two").expect("room");
    drop(client);
    net.settle();
    for payload in ["one", "two"] {
        assert_eq!(server.try_recv(), Some(payload.into()));
    }
    assert_eq!(server.try_recv(), None);
    assert_eq!(net.run(server.recv()), Err(TunnelError::Ended));
}

/// Who leaves inside of a capsule resets the stream: an end there would be malformed.
#[test]
fn an_end_inside_a_capsule_is_a_reset() {
    let mut config = Config::default();
    config.datagrams = false;
    let mut net = Net::with(config);
    let (gate, conns) = (gate(), net.connect().into());
    let [client, server] = udp(&mut net, &gate, &conns);
    while client.try_send(&[7; 60_000]).is_ok() {
        net.settle();
    }
    drop(client);
    net.settle();
    let end = loop {
        match net.run(server.recv()) {
            Ok(payload) => assert_eq!(payload, &[7; 60_000][..]),
            Err(end) => break end,
        }
    };
    let TunnelError::Reset(code) = end else {
        panic!("{end:?}");
    };
    assert_eq!(code.wire, Code::H3_REQUEST_CANCELLED);
}

/// A sender waits for one who does not read, and holds one payload.
#[test]
fn capsules_wait_for_the_reader() {
    let mut config = Config::default();
    config.datagrams = false;
    let mut net = Net::with(config);
    let (gate, conns) = (gate(), net.connect().into());
    let [client, server] = udp(&mut net, &gate, &conns);
    let payload = [7; 10_000];
    let mut sent = 0;
    while client.try_send(&payload).is_ok() {
        net.settle();
        sent += 1;
        assert!(sent < 10_000, "nobody reads");
    }
    assert_eq!(client.try_send(&payload), Err(TunnelError::Blocked));
    let mut more = pin!(client.send(&payload));
    assert!(poll(more.as_mut()).is_none());
    let reading = async {
        for _ in 0..=sent {
            assert_eq!(server.recv().await.expect("arrives"), &payload[..]);
        }
    };
    net.run(both(more, reading)).0.expect("goes on");
}

/// The rest of a payload goes though nobody sends another.
#[test]
fn a_capsule_that_has_begun_is_completed() {
    let mut config = Config::default();
    config.datagrams = false;
    let mut net = Net::with(config);
    let (gate, conns) = (gate(), net.connect().into());
    let [client, server] = udp(&mut net, &gate, &conns);
    let payload = [7; 60_000];
    let mut sent = 0;
    while client.try_send(&payload).is_ok() {
        net.settle();
        sent += 1;
    }
    let mut nothing = pin!(client.recv());
    for _ in 0..sent {
        let mut next = pin!(server.recv());
        let got = std::future::poll_fn(|cx| {
            assert!(nothing.as_mut().poll(cx).is_pending());
            next.as_mut().poll(cx)
        });
        assert_eq!(net.run(got).expect("arrives"), &payload[..]);
    }
}

/// Row C17: each direction ends by itself, and what is cut short does not look whole.
#[test]
fn bytes_of_tcp_end_in_each_direction() {
    let mut net = Net::new();
    let (gate, conns) = (gate(), net.connect().into());
    for dialect in [Dialect::Tcp12, Dialect::Tcp07, Dialect::Classic] {
        let [mut client, mut server] = tcp(&mut net, &gate, &conns, dialect);
        net.run(client.send.send_data("question".into()))
            .expect("goes");
        net.run(client.send.finish()).expect("ends");
        let got = net.run(server.recv.recv_data()).expect("arrives");
        assert_eq!(got.as_deref(), Some(&b"question"[..]));
        assert_eq!(net.run(server.recv.recv_data()), Ok(None), "{dialect:?}");
        net.run(server.send.send_data("answer".into()))
            .expect("goes");
        net.run(server.send.finish()).expect("ends");
        let got = net.run(client.recv.recv_data()).expect("arrives");
        assert_eq!(got.as_deref(), Some(&b"answer"[..]));
        assert_eq!(net.run(client.recv.recv_data()), Ok(None));
    }
    let [client, mut server] = tcp(&mut net, &gate, &conns, Dialect::Tcp12);
    drop(client);
    let cut = net.run(server.recv.recv_data());
    let Err(TunnelError::Reset(code)) = cut else {
        panic!("{cut:?}");
    };
    assert_eq!(code.wire.value(), 0x10f, "H3_CONNECT_ERROR");
}

/// Row C26: who shows nothing is asked for it, and may come again.
#[test]
fn credentials_are_asked_for() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let mut config = GateConfig::default();
    config.policy = TargetPolicy::default().allow_special(true);
    config.credentials = Some(Credentials::new().bearer("right").basic("dTpw"));
    let gate = Gate::new(config);
    let ask = |net: &mut Net, authorization: Option<&str>| {
        let mut asked = open(Dialect::Udp);
        if let Some(value) = authorization {
            let value = value.parse().expect("a value");
            asked = asked.header(http::header::AUTHORIZATION, value);
        }
        let answer = async {
            let (request, stream) = theirs.accept_request().await.expect("arrives");
            match gate.ask(request, stream) {
                Asked::Tunnel(offer) => _ = offer.accept(None),
                Asked::Refused(_) | Asked::Other(_) => {}
            }
        };
        net.run(both(ours.open_tunnel(&asked), answer)).0
    };
    for wrong in [
        None,
        Some("Bearer wrong"),
        Some("Basic right"),
        Some("right"),
    ] {
        let Err(OpenTunnelError::Refused(head)) = ask(&mut net, wrong) else {
            panic!("{wrong:?}");
        };
        assert_eq!(head.status, 401);
        let challenges = head.headers.get_all("www-authenticate").iter();
        assert_eq!(challenges.count(), 2);
    }
    for right in ["Bearer right", "bearer right", "Basic dTpw"] {
        assert!(ask(&mut net, Some(right)).is_ok(), "{right}");
    }
    assert_eq!((gate.stats().refused, gate.stats().opened), (4, 3));
}

/// Rows C4, C9: who gives up gives its place back, whoever refuses as well.
#[test]
fn places_come_back_however_a_start_ends() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let gate = gate();
    for _ in 0..3 {
        let asked = open(Dialect::Udp);
        let mut opening = Box::pin(ours.open_tunnel(&asked));
        let offer = net.run(async {
            let mut offer = pin!(offer(&gate, &theirs));
            std::future::poll_fn(|cx| {
                assert!(opening.as_mut().poll(cx).is_pending());
                offer.as_mut().poll(cx)
            })
            .await
        });
        assert_eq!(gate.stats().pending, 1);
        let cancelled = offer.cancelled();
        drop(opening);
        assert!(net.run(cancelled).is_some());
        assert!(offer.accept(None).is_err(), "nobody wants it");
        assert_eq!(gate.stats().pending, 0);
    }
    let asked = open(Dialect::Udp);
    for how in 0..2 {
        let answer = async {
            let offer = offer(&gate, &theirs).await;
            match how {
                0 => offer.refuse(&Refusal::Unroutable),
                _ => drop(offer),
            }
        };
        let (refused, ()) = net.run(both(ours.open_tunnel(&asked), answer));
        let Err(OpenTunnelError::Refused(head)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(head.status, [502, 503][how]);
    }
    let stats = gate.stats();
    assert_eq!(
        (stats.pending, stats.active, stats.given_up, stats.refused),
        (0, 0, 3, 2)
    );
}

/// What a peer must not do, and what it then hears.
#[test]
fn faults_are_told_and_reset() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let gate = gate();
    let asked = open(Dialect::Udp);
    let answer = async {
        let (request, mut stream) = theirs.accept_request().await.expect("arrives");
        drop(request);
        stream.send_response(Response::new(())).expect("open");
        // A DATAGRAM capsule without a context id.
        stream
            .send_data(Bytes::from_static(&[0, 0]))
            .await
            .expect("goes");
        stream
    };
    let (tunnel, mut stream) = net.run(both(ours.open_tunnel(&asked), answer));
    let tunnel = tunnel.expect("opens").into_udp().expect("for UDP");
    let fault = net.run(tunnel.recv());
    assert_eq!(fault, Err(TunnelError::Fault(TunnelFault::NoContext)));
    let reset = net.run(stream.recv_data());
    let Err(ReadError::Reset(code)) = reset else {
        panic!("{reset:?}");
    };
    assert_eq!(code.wire.value(), 0x10e, "H3_MESSAGE_ERROR");
    drop((stream, gate));
}

/// Row C25: an answer that opens no tunnel though it says that it does.
#[test]
fn answers_with_content_open_nothing() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let asked = open(Dialect::Udp);
    for (name, value) in [("content-length", "5"), ("content-type", "text/plain")] {
        let answer = async {
            let (_, mut stream) = theirs.accept_request().await.expect("arrives");
            let head = Response::builder().header(name, value).body(());
            stream.send_response(head.expect("a head")).expect("open");
            stream
        };
        let (opened, _stream) = net.run(both(ours.open_tunnel(&asked), answer));
        let Err(OpenTunnelError::BadAnswer(fault)) = opened else {
            panic!("{name}: {opened:?}");
        };
        assert_eq!(fault, AnswerFault::Field(name));
    }
}

/// Row C10: the end of the connection is the end of its tunnels, and of what is asked for.
#[test]
fn everything_ends_with_the_connection() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (gate, conns) = (gate(), [ours.clone(), theirs.clone()]);
    let [client, server] = udp(&mut net, &gate, &conns);
    let [tcp, _far] = tcp(&mut net, &gate, &conns, Dialect::Tcp12);
    let asked = open(Dialect::Udp);
    let mut opening = Box::pin(ours.open_tunnel(&asked));
    assert!(poll(opening.as_mut()).is_none());
    net.settle();
    theirs.close(Code::H3_NO_ERROR, "bye");
    let refused = net.run(opening);
    assert!(
        matches!(refused, Err(OpenTunnelError::NoAnswer(_))),
        "{refused:?}"
    );
    for ended in [net.run(client.recv()), net.run(server.recv())] {
        assert!(
            matches!(ended, Err(TunnelError::Connection(_))),
            "{ended:?}"
        );
    }
    let (_, mut recv) = tcp.split();
    let ended = net.run(recv.recv_data());
    assert!(
        matches!(ended, Err(TunnelError::Connection(_))),
        "{ended:?}"
    );
    let late = net.run(ours.open_tunnel(&asked));
    assert!(matches!(late, Err(OpenTunnelError::Request(_))), "{late:?}");
    assert_eq!(gate.stats().active, 2, "their handles are there still");
}

#[test]
fn what_was_ended_here_takes_nothing() {
    let mut net = Net::new();
    let (gate, conns) = (gate(), net.connect().into());
    let [mut client, _server] = tcp(&mut net, &gate, &conns, Dialect::Tcp12);
    net.run(client.send.finish()).expect("ends");
    net.run(client.send.finish()).expect("has ended");
    let late = net.run(client.send.send_data("late".into()));
    assert_eq!(late, Err(TunnelError::Closed));
    let mut asked = open(Dialect::Classic);
    asked.target.host = Host::Name("no host".into());
    let refused = net.run(conns[0].open_tunnel(&asked));
    assert!(matches!(refused, Err(OpenTunnelError::Head)), "{refused:?}");
    let malformed = TunnelError::from(ReadError::Malformed(Violation::ContentLength));
    assert_eq!(malformed, TunnelError::Malformed(Violation::ContentLength));
}
