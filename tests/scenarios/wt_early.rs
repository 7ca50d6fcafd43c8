//! Streams and datagrams that come before their session.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::ReadError;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{SessionKey, Side, StreamId};
use aqueduct_core::testing::raw::{self, RawPeer, join};
use aqueduct_core::time::Why;
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use aqueduct_tests::wt::{connect_with, limits, settings_15, speaking};
use aqueduct_tests::{assert_refused, bidi, config};

/// A client whose request stream is open and still empty.
fn undecided(config: Config) -> (RawPeer, StreamId) {
    let mut peer = RawPeer::greeted(Side::Server, config, raw::WEBTRANSPORT);
    let id = peer.request(&[]);
    (peer, id)
}

fn uni(peer: &mut RawPeer, body: &[u8]) -> StreamId {
    peer.uni(&join(&[&[0x40, 0x54, 0x00], body]))
}

fn accept(peer: &mut RawPeer, id: StreamId) -> SessionKey {
    peer.write(id, &raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    peer.access()
        .webtransport(session)
        .accept(&ConnectAnswer::default())
        .expect("accepts");
    peer.drive();
    session
}

/// Row B10: before the CONNECT request, held in order; one too many is refused.
#[test]
fn streams_wait_in_order() {
    let (mut peer, connect) = undecided(Config::default());
    let mut ids = Vec::new();
    for n in 0..64u8 {
        if n % 2 == 0 {
            ids.push(uni(&mut peer, &[n]));
        } else {
            ids.push(peer.request(&[0x40, 0x41, 0x00, n]));
        }
    }
    let over = uni(&mut peer, b"x");
    assert_eq!(
        peer.seen(over).stop,
        Some(Code::WT_BUFFERED_STREAM_REJECTED)
    );
    assert_eq!(peer.access().stats().early_streams, 64);
    assert_eq!(peer.access().stats().early_streams_rejected, 1);
    accept(&mut peer, connect);
    let opened: Vec<_> = peer
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => Some(stream),
            _ => None,
        })
        .collect();
    assert_eq!(opened.iter().map(|key| key.id()).collect::<Vec<_>>(), ids);
    for (n, key) in opened.into_iter().enumerate() {
        assert_eq!(super::wt_streams::read(&mut peer, key).0, [n as u8]);
    }
}

/// Row B10, cap `early_timeout`: nobody waits for ever.
#[test]
fn streams_wait_five_seconds() {
    let (mut peer, _) = undecided(Config::default());
    let early = uni(&mut peer, b"x");
    peer.advance(Duration::from_millis(4_900));
    assert_eq!(peer.seen(early).stop, None);
    let later = peer.request(&[0x40, 0x41, 0x00]);
    peer.advance(Duration::from_millis(200));
    assert_refused(
        &peer,
        early,
        Code::WT_BUFFERED_STREAM_REJECTED,
        "after five seconds",
    );
    assert_eq!(peer.seen(later).stop, None, "its time is not over");
    peer.advance(Duration::from_secs(5));
    assert_refused(
        &peer,
        later,
        Code::WT_BUFFERED_STREAM_REJECTED,
        "after five seconds",
    );
    assert_eq!(
        peer.seen(later).reset,
        Some(Code::WT_BUFFERED_STREAM_REJECTED)
    );
}

/// Row B10, caps `early_datagrams` and `early_datagram_bytes`.
#[test]
fn datagrams_wait_in_order() {
    let (mut peer, connect) = undecided(Config::default());
    for n in 0..106u8 {
        peer.datagram(&[0x00, n]);
    }
    let session = accept(&mut peer, connect);
    let held: Vec<_> = std::iter::from_fn(|| peer.access().recv_datagram(session))
        .map(|d| d[0])
        .collect();
    assert_eq!(held, (0..100).collect::<Vec<_>>());
    assert_eq!(peer.access().stats().datagrams_overflowed, 6);

    for (most, held) in [(3_000, 3), (2_999, 2)] {
        let (mut peer, connect) = undecided(config(|c| c.limits.early_datagram_bytes = most));
        for n in 0..5u8 {
            peer.datagram(&[&[0x00, n][..], &[0; 999]].concat());
        }
        let session = accept(&mut peer, connect);
        let taken = std::iter::from_fn(|| peer.access().recv_datagram(session));
        assert_eq!(taken.count(), held, "{most}");
    }
}

/// Row B10, cap `connect_timeout`: what came for a session that is being decided on waits
/// as long again each time, and not without end.
#[test]
fn what_waits_for_a_decision_has_an_end() {
    let (mut peer, connect) = undecided(config(|c| {
        c.limits.early_timeout = Duration::from_secs(4);
    }));
    let (begin, early) = (peer.now(), uni(&mut peer, b"x"));
    peer.datagram(b"\0early");
    peer.write(connect, &raw::connect());
    peer.events();
    for secs in [4, 8, 12, 16, 20, 24, 28, 30] {
        let due = peer.connection().poll_timeout().expect("a deadline");
        let after = Duration::from_secs(secs);
        assert_eq!((due.at - begin, due.why), (after, Why::EarlyArrivals));
        assert_eq!(peer.seen(early).stop, None, "{secs}");
        peer.advance(due.at - peer.now());
    }
    let rejected = Some(Code::WT_BUFFERED_STREAM_REJECTED);
    assert_eq!(peer.seen(early).stop, rejected);
    let stats = peer.access().stats();
    assert_eq!(
        (stats.early_streams_rejected, stats.datagrams_unclaimed),
        (1, 1)
    );
}

/// Row B10: they do not wait longer than streams do.
#[test]
fn datagrams_wait_five_seconds() {
    let (mut peer, connect) = undecided(Config::default());
    peer.datagram(b"\0old");
    peer.advance(Duration::from_secs(6));
    let session = accept(&mut peer, connect);
    assert_eq!(peer.access().recv_datagram(session), None);
}

/// Row B10: before the answer, on both sides.
#[test]
fn between_request_and_answer() {
    let (mut peer, connect) = undecided(Config::default());
    peer.write(connect, &raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let early = uni(&mut peer, b"early");
    peer.advance(Duration::from_secs(3));
    peer.access()
        .webtransport(session)
        .accept(&ConnectAnswer::default())
        .expect("accepts");
    let opened = expect_event!(
        peer, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    assert_eq!(opened.id(), early);

    let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
    let there = "https://example.com/wt".parse().expect("an address");
    peer.access()
        .open_session(&ConnectRequest::new(there))
        .expect("asks");
    peer.drive();
    let early = uni(&mut peer, b"early");
    peer.datagram(b"\0d");
    let quiet = peer.events();
    let quiet = quiet
        .iter()
        .all(|e| !matches!(e, Event::WebTransport(_, SessionEvent::Opened { .. })));
    assert!(quiet);
    peer.write(bidi(0), &raw::status(200));
    let events = peer.events();
    let order: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::WebTransport(_, SessionEvent::Established(_)) => Some("established".to_owned()),
            Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                Some(stream.id().to_string())
            }
            _ => None,
        })
        .collect();
    assert_eq!(order, ["established".to_owned(), early.to_string()]);
}

/// Row B10: when the request turns out to be no session, its streams are refused.
#[test]
fn no_session_after_all() {
    let (mut peer, connect) = undecided(Config::default());
    let early = uni(&mut peer, b"x");
    peer.write(connect, &raw::get());
    assert_refused(
        &peer,
        early,
        Code::WT_BUFFERED_STREAM_REJECTED,
        "a GET request",
    );

    let (mut peer, connect) = undecided(Config::default());
    let early = uni(&mut peer, b"x");
    peer.write(connect, &raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    peer.access()
        .webtransport(session)
        .reject(http::StatusCode::FORBIDDEN)
        .expect("rejects");
    peer.drive();
    assert_refused(
        &peer,
        early,
        Code::WT_BUFFERED_STREAM_REJECTED,
        "the application says no",
    );
}

/// A waiting stream that is reset is no use to anyone; who gets it sees why.
#[test]
fn a_waiting_stream_is_given_up() {
    let (mut peer, connect) = undecided(Config::default());
    let early = uni(&mut peer, b"x");
    peer.reset(early, Code::H3_REQUEST_CANCELLED);
    accept(&mut peer, connect);
    let stream = expect_event!(
        peer, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    let mut out = [const { bytes::Bytes::new() }; 2];
    let mut read = || peer.access().recv(stream).map(|mut r| r.read(9, &mut out));
    assert!(
        matches!(read(), Ok(Ok(_))),
        "the byte that came with the header"
    );
    assert!(matches!(read(), Ok(Err(ReadError::Reset(_)))));
    assert!(peer.access().recv(stream).is_err(), "it is over");
}

/// Row B10: the same on the client, when the server says no.
#[test]
fn the_server_says_no() {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
    let there = "https://example.com/wt".parse().expect("an address");
    let session = peer
        .access()
        .open_session(&ConnectRequest::new(there))
        .expect("asks");
    peer.drive();
    let early = uni(&mut peer, b"x");
    peer.write(session.id(), &raw::status(404));
    let stop = peer.seen(early).stop;
    assert_eq!(stop, Some(Code::WT_SESSION_GONE));
    assert_eq!(peer.closed(), None);
}

/// Row B10: while the client's SETTINGS are on their way nothing is decided, not
/// even what is a session; then all is replayed in order, in every dialect that
/// has to be negotiated.
#[test]
fn before_the_settings() {
    let new = speaking(Dialects::SET_B, Some(limits(99, 9, 9)));
    let theirs = settings_15(limits(99, 9, 9));
    for (config, pairs, token) in [
        (
            Config::default(),
            raw::WEBTRANSPORT.to_vec(),
            "webtransport",
        ),
        (new, theirs, "webtransport-h3"),
    ] {
        let mut peer = RawPeer::new(Side::Server, config);
        let connect = peer.request(&connect_with(token, &[]));
        let streams = [
            uni(&mut peer, b"a"),
            peer.request(&[0x40, 0x41, 0x00, b'b']),
        ];
        peer.datagram(b"\0d");
        peer.advance(Duration::from_secs(4));
        let quiet = peer.events();
        assert!(
            quiet.iter().all(|e| !matches!(e, Event::WebTransport(..))),
            "{quiet:?}"
        );
        peer.control(&raw::settings(&pairs));
        let session = expect_event!(
            peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
        );
        assert_eq!(session.id(), connect);
        let answer = ConnectAnswer::default();
        peer.access()
            .webtransport(session)
            .accept(&answer)
            .expect("accepts");
        for (id, body) in streams.into_iter().zip([b"a", b"b"]) {
            let stream = expect_event!(
                peer, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
            );
            assert_eq!(stream.id(), id);
            assert_eq!(super::wt_streams::read(&mut peer, stream).0, body);
        }
        assert_eq!(
            peer.access().recv_datagram(session).as_deref(),
            Some(&b"d"[..])
        );
    }
}

/// Row B11: SETTINGS that rule the session out refuse what waited for it.
#[test]
fn settings_that_say_no() {
    let mut peer = RawPeer::new(Side::Server, Config::default());
    let connect = peer.request(&raw::connect());
    let early = uni(&mut peer, b"x");
    peer.control(&raw::settings(&[(0x2b60_3742, 1)]));
    assert_refused(&peer, connect, Code::H3_MESSAGE_ERROR, "no datagrams");
    assert_refused(&peer, early, Code::WT_SESSION_GONE, "no session");
    let late = uni(&mut peer, b"x");
    assert_refused(&peer, late, Code::WT_SESSION_GONE, "no session");
    let told = peer.events();
    assert!(
        told.iter().all(|e| !matches!(e, Event::WebTransport(..))),
        "{told:?}"
    );
}

/// Row B10: while the application decides they wait longer, and not without end.
#[test]
fn while_the_application_decides_half_a_minute() {
    let (mut peer, connect) = undecided(Config::default());
    peer.write(connect, &raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let early = uni(&mut peer, b"x");
    peer.datagram(b"\0early");
    peer.advance(Duration::from_millis(29_900));
    assert_eq!(peer.seen(early).stop, None);
    peer.advance(Duration::from_millis(200));
    assert_refused(
        &peer,
        early,
        Code::WT_BUFFERED_STREAM_REJECTED,
        "after half a minute",
    );
    assert_eq!(peer.access().stats().datagrams_unclaimed, 1);
    // What comes now has a time of its own, and the session may still open.
    let late = uni(&mut peer, b"y");
    let answer = ConnectAnswer::default();
    let accepted = peer.access().webtransport(session).accept(&answer);
    accepted.expect("is still asked about");
    let opened = expect_event!(
        peer, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    assert_eq!(opened.id(), late);
    assert_eq!(peer.access().recv_datagram(session), None);
}
