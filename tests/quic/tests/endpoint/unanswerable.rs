//! Datagrams from where nobody can be answered: they are forged, and answering one is an
//! error of the socket that a stranger has chosen.

use std::net::SocketAddr;

use aqueduct_core::config::Config;
use aqueduct_core::endpoint::{Arrival, Endpoint, EndpointConfig};
use aqueduct_core::testing::cert::Identity;

use crate::unknown_version;

/// Whether a server answers, and how many it has dropped.
fn asked_by(from: &str) -> (Option<SocketAddr>, u64) {
    asked(Arrival::new(from.parse().expect("an address")))
}

fn asked(arrival: Arrival) -> (Option<SocketAddr>, u64) {
    let now = aqueduct_core::testing::epoch();
    let tls = Identity::localhost().server().into();
    let config = EndpointConfig::server(tls, Config::default()).expect("suits");
    let mut server = Endpoint::new(config).expect("suits");
    server.handle_datagram(now, arrival, unknown_version());
    let answer = server.poll_transmit(now, 1, &mut Vec::new());
    (
        answer.map(|transmit| transmit.remote),
        server.stats().unanswerable,
    )
}

#[test]
fn nobody_is_answered_where_nobody_can_be() {
    let nobody = [
        "192.0.2.1:0",
        "0.0.0.0:4433",
        "224.0.0.251:5353",
        "255.255.255.255:4433",
        "[2001:db8::1]:0",
        "[::]:4433",
        "[ff02::1]:4433",
        "[::ffff:192.0.2.1]:0",
        "[::ffff:0.0.0.0]:4433",
        "[::ffff:239.1.2.3]:4433",
        "[::ffff:255.255.255.255]:4433",
    ];
    for from in nobody {
        assert_eq!(asked_by(from), (None, 1), "{from}");
    }
}

#[test]
fn what_was_sent_to_many_is_not_answered() {
    let from = Arrival::new(([192, 0, 2, 1], 4433).into());
    for to in [
        "224.0.0.1",
        "255.255.255.255",
        "ff02::1",
        "::ffff:224.0.0.1",
    ] {
        let to = to.parse().expect("an address");
        assert_eq!(asked(from.local_ip(Some(to))), (None, 1), "{to}");
    }
    let to_us = from.local_ip(Some([192, 0, 2, 2].into()));
    assert_eq!(asked(to_us), (Some(from.remote), 0));
}

#[test]
fn everybody_else_is() {
    let somebody = [
        "192.0.2.1:1",
        "127.0.0.1:65535",
        "223.255.255.255:4433",
        "240.0.0.1:4433",
        "[2001:db8::1]:4433",
        "[::1]:4433",
        "[fe80::1%2]:4433",
        "[::ffff:192.0.2.1]:4433",
    ];
    for from in somebody {
        let (answered, dropped) = asked_by(from);
        assert_eq!((answered, dropped), (from.parse().ok(), 0), "{from}");
    }
}

/// The loops that we show hand in every error of a receive call, also the end of a wait.
#[test]
fn a_receive_call_that_only_waited_has_not_failed() {
    let mut endpoint = Endpoint::new(EndpointConfig::client()).expect("a client");
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
    let wait = Some(std::time::Duration::from_millis(1));
    socket.set_read_timeout(wait).expect("a time");
    let waited = socket.recv_from(&mut [0; 100]).expect_err("nobody sends");
    endpoint.handle_recv_error(waited.into());
    assert_eq!(
        (endpoint.stats().recv_errors, endpoint.socket_fault()),
        (0, None)
    );
    endpoint.handle_recv_error(std::io::Error::from(std::io::ErrorKind::OutOfMemory).into());
    assert_eq!(endpoint.stats().recv_errors, 1);
}
