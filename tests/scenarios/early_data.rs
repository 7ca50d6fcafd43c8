//! Early data (row A18): what is remembered for it, what it may not take back, and how
//! a server's application learns that a request came as such.

use std::sync::Arc;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::connection::Connection;
use aqueduct_core::error::RequestError;
use aqueduct_core::event::Event;
use aqueduct_core::fault::Violation;
use aqueduct_core::head::{End, Protocol, RequestHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::settings::Settings;
use aqueduct_core::testing;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{RawPeer, get, settings};
use aqueduct_core::transport::{EarlyData, Transport, TransportEvent};
use aqueduct_tests::assert_closed;
use bytes::Bytes;
use http::Method;

/// A client that remembers these settings, before the server's arrive.
fn client(early: EarlyData, remembered: &[(u64, u64)]) -> RawPeer {
    let net = Loopback::new(Knobs {
        early,
        ..Knobs::default()
    });
    // Behind the frame's type and length is what a client would have kept.
    let kept = settings(remembered).split_off(2);
    let kept = Settings::decode(&kept).expect("settings");
    RawPeer::remembered(Config::default(), kept, net)
}

fn tunnel() -> RequestHead {
    let uri = "https://example.com/".parse().expect("an address");
    let mut head = RequestHead::new(Method::CONNECT, uri);
    head.protocol = Some(Protocol::new("connect-udp"));
    head
}

/// RFC 9114 section 7.2.4.2: remembered settings count when early data was taken, and
/// in no other case.
#[test]
fn remembered_settings_count_with_early_data_alone() {
    let remembered = [(0x08, 1), (0x06, 250)];
    let mut peer = client(EarlyData::Accepted, &remembered);
    let opened = peer.access().request(&tunnel(), End::More);
    assert!(opened.is_ok(), "{opened:?}");
    let mut large = tunnel();
    let value = "v".repeat(200).parse().expect("a value");
    large.headers.insert("x", value);
    let refused = peer.access().request(&large, End::More);
    assert_eq!(refused, Err(RequestError::HeadTooLarge));
    for early in [EarlyData::None, EarlyData::Rejected] {
        let mut peer = client(early, &remembered);
        let refused = peer.access().request(&tunnel(), End::More);
        assert_eq!(refused, Err(RequestError::SettingsNotReceived), "{early:?}");
    }
}

/// RFC 9114 section 7.2.4.2: a server that took early data takes nothing back; RFC 9204
/// section 3.2.3: and keeps the capacity of the table.
#[test]
fn settings_that_take_something_back() {
    let remembered = [(0x01, 100), (0x06, 5000), (0x07, 2), (0x08, 1), (0x33, 1)];
    let less: &[&[(u64, u64)]] = &[
        &[(0x01, 100), (0x06, 4999), (0x07, 2), (0x08, 1), (0x33, 1)],
        &[(0x01, 101), (0x06, 5000), (0x07, 2), (0x08, 1), (0x33, 1)],
        &[(0x01, 100), (0x06, 5000), (0x07, 1), (0x08, 1), (0x33, 1)],
        &[(0x01, 100), (0x06, 5000), (0x07, 2), (0x33, 1)],
        &[(0x01, 100), (0x06, 5000), (0x07, 2), (0x08, 1)],
    ];
    for pairs in less {
        let mut peer = client(EarlyData::Accepted, &remembered);
        peer.control(&settings(pairs));
        let why = assert_closed(&mut peer, Code::H3_SETTINGS_ERROR, &format!("{pairs:x?}"));
        assert_eq!(why, Violation::SettingsReduced);
        let mut peer = client(EarlyData::Rejected, &remembered);
        peer.control(&settings(pairs));
        assert_eq!(peer.closed(), None, "nothing was counted on");
    }
    let mut peer = client(EarlyData::Accepted, &remembered);
    let more = [(0x01, 100), (0x06, 6000), (0x07, 3), (0x08, 1), (0x33, 1)];
    peer.control(&settings(&more));
    assert_eq!(peer.closed(), None, "more is welcome");
}

/// RFC 8470: an application can tell a request that an attacker may have sent again.
#[test]
fn a_request_says_that_it_came_early() {
    let mut net = Loopback::new(Knobs::default());
    let mut server = Connection::new(Side::Server, Arc::new(Config::default()), 1);
    let now = testing::epoch();
    let mut heard = Vec::new();
    let mut told = Vec::new();
    // The handshake is complete only after the first request has come.
    while net.step(&mut heard) {}
    let connected = heard.iter().position(|(side, event)| {
        *side == Side::Server && matches!(event, TransportEvent::Connected { .. })
    });
    let (_, connected) = heard.swap_remove(connected.expect("it is"));
    for after in [false, true] {
        if after {
            server.handle(net.end(Side::Server), now, connected.clone());
        }
        heard.clear();
        let id = net.end(Side::Client).open(Dir::Bi).expect("credit");
        let end = net.end(Side::Client);
        end.write(id, &mut [Bytes::from(get())]).expect("room");
        while net.step(&mut heard) {}
        for (side, event) in heard.drain(..) {
            if side == Side::Server {
                server.handle(net.end(Side::Server), now, event);
            }
        }
        while let Some(event) = server.poll_event() {
            if let Event::Request { early, .. } = event {
                told.push(early);
            }
        }
    }
    assert_eq!(told, [true, false]);
}
