//! Plain and extended CONNECT.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::RequestError;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, Protocol};
use aqueduct_core::id::Side;
use aqueduct_core::testing::raw::{RawPeer, headers};
use aqueduct_tests::{assert_refused, config, fields, get};
use http::Method;

const CONNECT: (&str, &str) = (":method", "CONNECT");
const SCHEME: (&str, &str) = (":scheme", "https");
const AUTHORITY: (&str, &str) = (":authority", "example.com:443");
const PATH: (&str, &str) = (":path", "/chat");
const PROTOCOL: (&str, &str) = (":protocol", "websocket");

/// Row A9, RFC 9114 section 4.4 and RFC 9220 section 3.
#[test]
fn requests_that_are_malformed() {
    let off = || config(|c| c.connect_protocol = false);
    let on = Config::default;
    let cases: &[(Config, Vec<(&str, &str)>)] = &[
        (on(), vec![CONNECT]),
        (on(), vec![CONNECT, AUTHORITY, SCHEME]),
        (on(), vec![CONNECT, AUTHORITY, PATH]),
        (on(), vec![CONNECT, AUTHORITY, SCHEME, PATH]),
        (on(), vec![CONNECT, (":authority", "")]),
        (on(), vec![CONNECT, PROTOCOL, AUTHORITY, SCHEME]),
        (on(), vec![CONNECT, PROTOCOL, AUTHORITY, PATH]),
        (on(), vec![CONNECT, PROTOCOL, SCHEME, PATH]),
        (
            on(),
            vec![CONNECT, PROTOCOL, PROTOCOL, AUTHORITY, SCHEME, PATH],
        ),
        (
            on(),
            vec![CONNECT, (":protocol", ""), AUTHORITY, SCHEME, PATH],
        ),
        (
            on(),
            vec![(":method", "GET"), PROTOCOL, AUTHORITY, SCHEME, PATH],
        ),
        (off(), vec![CONNECT, PROTOCOL, AUTHORITY, SCHEME, PATH]),
    ];
    for (config, fields) in cases {
        let mut peer = RawPeer::greeted(Side::Server, config.clone(), &[]);
        let id = peer.request(&headers(fields));
        assert_refused(&peer, id, Code::H3_MESSAGE_ERROR, &format!("{fields:?}"));
    }
}

/// Row A9: both kinds reach the application.
#[test]
fn requests_that_arrive() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    peer.request(&headers(&[CONNECT, AUTHORITY]));
    let head = expect_event!(peer, Side::Server, Event::Request { head, .. } => head);
    assert_eq!(head.method, Method::CONNECT);
    assert_eq!(head.uri.to_string(), "example.com:443");
    assert_eq!(head.protocol, None);

    peer.request(&headers(&[CONNECT, PROTOCOL, SCHEME, AUTHORITY, PATH]));
    let head = expect_event!(peer, Side::Server, Event::Request { head, .. } => head);
    assert_eq!(head.protocol, Some(Protocol::new("websocket")));
    assert_eq!(head.uri.to_string(), "https://example.com:443/chat");
}

/// Row A9: a client asks only servers that said yes.
#[test]
fn a_client_waits_for_the_setting() {
    let mut head = get();
    head.method = Method::CONNECT;
    head.protocol = Some(Protocol::new("websocket"));
    let mut peer = RawPeer::new(Side::Client, Config::default());
    let told = |peer: &mut RawPeer| peer.access().request(&head, End::More).map(drop);
    assert_eq!(told(&mut peer), Err(RequestError::SettingsNotReceived));
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[(0x08, 0)]);
    assert_eq!(
        told(&mut peer),
        Err(RequestError::ConnectProtocolNotEnabled)
    );
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[(0x08, 1)]);
    assert_eq!(told(&mut peer), Ok(()));
    peer.drive();
    let sent = fields(&peer.seen(aqueduct_tests::bidi(0)).bytes, 0);
    for line in [
        ":method: CONNECT",
        ":protocol: websocket",
        ":scheme: https",
        ":path: /",
    ] {
        assert!(sent.lines().any(|l| l == line), "{sent}");
    }
}
