//! Calls that have no effect say why; sessions can be looked at.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::transport::EarlyData;
use aqueduct_core::webtransport::dialect::Dialect;
use aqueduct_core::webtransport::{
    AcceptError, ConnectAnswer, ConnectRequest, OpenSessionError, OpenStreamError, RejectError,
    SessionError, SessionEvent, SessionTransport,
};
use aqueduct_tests::config;
use http::StatusCode;

use super::wt_streams::opened;

fn there() -> ConnectRequest {
    ConnectRequest::new("https://example.com/wt".parse().expect("an address"))
}

/// Row B27: streams that cannot be opened.
#[test]
fn opening() {
    let knobs = Knobs {
        bi_streams: 3,
        ..Knobs::default()
    };
    let mut pair = LoopbackPair::connected(knobs);
    let client = pair.client().open_session(&there()).expect("asks");
    assert_eq!(
        pair.client().webtransport(client).open_stream(Dir::Bi),
        Err(OpenStreamError::SessionPending)
    );
    let server = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    assert_eq!(
        pair.server().webtransport(server).open_stream(Dir::Bi),
        Err(OpenStreamError::SessionPending)
    );
    pair.server()
        .webtransport(server)
        .accept(&ConnectAnswer::default())
        .expect("accepts");
    pair.drive();
    let first = pair
        .client()
        .webtransport(client)
        .open_stream(Dir::Bi)
        .expect("a stream");
    pair.client()
        .webtransport(client)
        .open_stream(Dir::Bi)
        .expect("a stream");
    assert_eq!(
        pair.client().webtransport(client).open_stream(Dir::Bi),
        Err(OpenStreamError::Blocked)
    );
    let there = opened(&mut pair, Side::Server);
    pair.transfer(Side::Client, first, there, b"");
    pair.transfer(Side::Server, there, first, b"");
    expect_event!(pair, Side::Client, Event::Available(Dir::Bi) => ());
    pair.client()
        .webtransport(client)
        .open_stream(Dir::Bi)
        .expect("one more");
    pair.client()
        .webtransport(client)
        .close(0, "")
        .expect("closes");
    assert_eq!(
        pair.client().webtransport(client).open_stream(Dir::Uni),
        Err(OpenStreamError::SessionGone)
    );
}

/// Answers that come too late, twice, or make no sense.
#[test]
fn answering() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let client = pair.client().open_session(&there()).expect("asks");
    let server = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let mut server_side = pair.server();
    for status in [StatusCode::OK, StatusCode::CONTINUE] {
        assert_eq!(
            server_side.webtransport(server).reject(status),
            Err(RejectError::InvalidStatus)
        );
    }
    assert_eq!(
        server_side.webtransport(server).close(0, ""),
        Err(SessionError::WrongState)
    );
    assert_eq!(
        server_side.webtransport(server).drain(),
        Err(SessionError::WrongState)
    );
    let yes = ConnectAnswer::default();
    assert_eq!(server_side.webtransport(server).accept(&yes), Ok(()));
    assert_eq!(
        server_side.webtransport(server).accept(&yes),
        Err(AcceptError::WrongState)
    );
    let no = server_side
        .webtransport(server)
        .reject(StatusCode::FORBIDDEN);
    assert_eq!(no, Err(RejectError::WrongState));
    pair.drive();
    assert_eq!(
        pair.client().webtransport(client).accept(&yes),
        Err(AcceptError::WrongState)
    );
}

/// Cap `sessions`, on both sides.
#[test]
fn too_many_sessions() {
    let two = || config(|c| c.limits.sessions = 2);
    let mut pair = LoopbackPair::new(two(), Config::default(), Knobs::default());
    pair.connect();
    let (first, _) = pair.session("https://example.com/1");
    pair.session("https://example.com/2");
    assert_eq!(
        pair.client().open_session(&there()),
        Err(OpenSessionError::TooManySessions)
    );
    pair.client()
        .webtransport(first)
        .close(0, "")
        .expect("closes");
    pair.drive();
    pair.session("https://example.com/3");

    let mut pair = LoopbackPair::new(Config::default(), two(), Knobs::default());
    pair.connect();
    pair.session("https://example.com/1");
    pair.session("https://example.com/2");
    let third = pair.client().open_session(&there()).expect("asks");
    let events = pair.events(Side::Client);
    let of_third = events.iter().filter_map(|event| match event {
        Event::WebTransport(key, event) if *key == third => Some(event),
        _ => None,
    });
    let told = of_third.collect::<Vec<_>>();
    let [SessionEvent::Rejected { status, .. }] = told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(*status, StatusCode::TOO_MANY_REQUESTS);
    let asked = pair.events(Side::Server);
    let asked = asked
        .iter()
        .filter(|e| matches!(e, Event::WebTransport(_, SessionEvent::Requested(_))));
    assert_eq!(asked.count(), 0, "the application is not asked");
    assert!(pair.client().webtransport(third).stats().is_none());
}

/// Row B28.
#[test]
fn looking_at_a_session() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (client, server) = pair.session("https://example.com/wt");
    let uni = pair
        .client()
        .webtransport(client)
        .open_stream(Dir::Uni)
        .expect("a stream");
    let there = opened(&mut pair, Side::Server);
    pair.transfer(Side::Client, uni, there, &[7; 1000]);
    pair.client()
        .webtransport(client)
        .open_stream(Dir::Bi)
        .expect("a stream");
    pair.client().send_datagram(client, b"d").expect("room");
    pair.drive();
    pair.server().recv_datagram(server).expect("a datagram");
    let here = pair
        .client()
        .webtransport(client)
        .stats()
        .expect("a session");
    assert_eq!(
        (
            here.opened_uni,
            here.opened_bi,
            here.accepted_uni,
            here.accepted_bi
        ),
        (1, 1, 0, 0)
    );
    assert_eq!(
        (here.bytes_sent, here.bytes_received, here.datagrams_sent),
        (1000, 0, 1)
    );
    let there = pair
        .server()
        .webtransport(server)
        .stats()
        .expect("a session");
    assert_eq!(
        (there.accepted_uni, there.accepted_bi, there.opened_uni),
        (1, 1, 0)
    );
    assert_eq!((there.bytes_received, there.datagrams_received), (1000, 1));
    assert_eq!(
        (here.streams, there.streams),
        (1, 1),
        "the finished one is over"
    );
    assert!(!here.draining);
    assert_eq!(pair.client().stats().sessions, 1);
    for stats in [here, there] {
        assert_eq!(stats.transport, SessionTransport::Http3);
        assert_eq!(stats.dialect, Some(Dialect::Draft07));
    }
}

/// Row B28: what became of early data, and how the connection ended, for as long as it
/// can be looked at.
#[test]
fn looking_at_a_connection() {
    for early in [EarlyData::None, EarlyData::Accepted, EarlyData::Rejected] {
        let knobs = Knobs {
            early,
            ..Knobs::default()
        };
        let mut pair = LoopbackPair::connected(knobs);
        assert_eq!(pair.client().early_data(), Some(early));
        assert_eq!(pair.client().close_reason(), None);
        pair.server().close(Code::H3_INTERNAL_ERROR, "oops");
        pair.drive();
        let (code, reason) = (Code::H3_INTERNAL_ERROR, "oops".into());
        let local = CloseReason::Local { code, reason };
        assert_eq!(pair.server().close_reason(), Some(&local));
        let reason = "oops".into();
        let remote = CloseReason::Remote { code, reason };
        assert_eq!(pair.client().close_reason(), Some(&remote));
    }
}
