//! Rows E2, E15: ALPN chooses what a connection speaks, HTTP/3 or raw QUIC, on one port.

use aqueduct_core::endpoint::{ConfigError, EndpointConfig, Protocol};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::quic;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair, Quic};
use std::sync::Arc;

use super::chat;

#[test]
fn one_port_serves_raw_quic_and_http3() {
    let (mut pair, client, server) = Pair::connected(chat());
    let about = pair.server_quic(server).access().about().cloned();
    let about = about.expect("known");
    assert_eq!(about.alpn, b"chat");
    assert_eq!(about.server_name.as_deref(), Some("localhost"));
    assert_eq!(about.remote, pair.client.addr);
    assert!(!about.resumed);
    let protocol = |pair: &Pair| {
        let ours = pair.client.endpoint.protocol(client);
        (ours, pair.server.endpoint.protocol(server))
    };
    let quic = Some(Protocol::Quic);
    assert_eq!(protocol(&pair), (quic, quic));
    assert!(pair.server.endpoint.connection(pair.now, server).is_none());

    // The same server, asked for HTTP/3.
    let tls = Identity::localhost().client_arc();
    let target = aqueduct_core::endpoint::Target::new(pair.server.addr, "localhost", tls);
    let http = pair.client.endpoint.connect(pair.now, &target);
    let http = http.expect("connects");
    pair.drive();
    assert_eq!(pair.client.endpoint.protocol(http), Some(Protocol::Http3));
    let events = pair.client.take(http);
    assert!(events.iter().any(|it| matches!(it, Event::Settings(_))));
    let events: Vec<_> = pair
        .server
        .events
        .drain(..)
        .map(|(_, event)| event)
        .collect();
    assert!(events.iter().any(|it| matches!(it, Event::Settings(_))));
}

#[test]
fn a_server_hears_who_begins_before_it_is_connected() {
    let mut pair = Pair::new(chat());
    pair.connect();
    pair.drive();
    let events: Vec<_> = pair
        .server
        .events
        .drain(..)
        .map(|(_, event)| event)
        .collect();
    assert_eq!(events.first(), Some(&Event::Quic(quic::Event::Begun)));
    assert!(
        matches!(events.get(1), Some(Event::Connected { .. })),
        "{events:?}"
    );
}

#[test]
fn no_common_name_ends_the_handshake_with_the_alert() {
    let mut pair = Pair::new(Options {
        quic: Some(Quic {
            only: true,
            ..Quic::default()
        }),
        ..Options::default()
    });
    let target = pair.target().quic(["talk"], quic::Config::new());
    let target = target.expect("a name");
    let client = pair.client.endpoint.connect(pair.now, &target);
    let client = client.expect("connects");
    pair.drive();
    //= https://www.rfc-editor.org/rfc/rfc9001#section-8.1
    // no_application_protocol is alert 120.
    let events = pair.client.take(client);
    let Some(Event::Closed(reason)) = events.last() else {
        panic!("{events:?}");
    };
    let by_peer = TransportFailure::ClosedByPeer {
        code: 0x178,
        reason: reason_of(reason),
    };
    assert_eq!(**reason, CloseReason::Transport(by_peer));
}

fn reason_of(reason: &CloseReason) -> bytes::Bytes {
    match reason {
        CloseReason::Transport(TransportFailure::ClosedByPeer { reason, .. }) => reason.clone(),
        _ => bytes::Bytes::new(),
    }
}

#[test]
fn names_that_do_not_suit_are_refused() {
    let refused = |names: Vec<Vec<u8>>| {
        let tls = Arc::new(Identity::localhost().server());
        let made = EndpointConfig::quic_server(tls, names, quic::Config::new());
        matches!(made, Err(ConfigError::Alpn(_)))
    };
    assert!(refused(vec![]));
    assert!(refused(vec![vec![]]));
    assert!(refused(vec![vec![b'x'; 256]]));
    assert!(refused(vec![b"h3".to_vec()]));
    assert!(!refused(vec![vec![b'x'; 255], b"chat".to_vec()]));
    let client = EndpointConfig::client().quic(["chat"], quic::Config::new());
    assert!(matches!(client, Err(ConfigError::NotAServer)));
}
