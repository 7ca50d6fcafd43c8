//! A peer that stops the CONNECT stream says nothing about its own half of it.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::{Config, Limits};
use aqueduct_core::event::Event;
use aqueduct_core::id::{SessionKey, Side, StreamId};
use aqueduct_core::testing::raw::{self, RawPeer, data, frame, join};
use aqueduct_core::transport::Transport;
use aqueduct_core::webtransport::{SessionClose, SessionEvent};
use aqueduct_tests::bidi;
use aqueduct_tests::wt::{CLOSE_SESSION, there};
use bytes::Bytes;

use super::wt_streams::{Scripted, server};

const GONE: Code = Code::WT_SESSION_GONE;

fn close_capsule() -> Vec<u8> {
    data(&frame(CLOSE_SESSION, b"\0\0\0\x07bye"))
}

fn bye(by: Side) -> SessionClose {
    SessionClose::Closed {
        by,
        code: 7,
        reason: "bye".into(),
    }
}

/// What was told of a session.
fn told(peer: &mut RawPeer, session: SessionKey) -> Vec<SessionEvent> {
    let mine = peer.events().into_iter().filter_map(|event| match event {
        Event::WebTransport(key, event) if key == session => Some(event),
        _ => None,
    });
    mine.collect()
}

#[track_caller]
fn assert_closed(peer: &mut Scripted, expected: SessionClose) {
    let session = peer.session.expect("a session");
    let expected = SessionEvent::Closed(Box::new(expected));
    assert_eq!(told(peer, session), [expected]);
}

fn say(peer: &mut RawPeer, id: StreamId, bytes: Vec<u8>) {
    let mut rest = [Bytes::from(bytes)];
    peer.end().write(id, &mut rest).expect("a stream");
    assert!(rest[0].is_empty(), "all of it fits");
}

/// Row B18, draft-ietf-webtrans-http3-16 section 6: whoever closes sends the capsule and
/// FIN, and may stop our half in the same packet, in any order.
#[test]
fn a_close_behind_the_stop_counts() {
    let (mut peer, id) = server();
    peer.end().stop(id, GONE.value());
    say(&mut peer, id, close_capsule());
    peer.end().finish(id);
    peer.drive();
    assert_closed(&mut peer, bye(Side::Client));
}

/// The packet with the capsule was lost, and comes again.
#[test]
fn a_close_that_comes_later_counts() {
    let (mut peer, id) = server();
    peer.stop(id, GONE);
    peer.advance(Duration::from_secs(1));
    peer.write(id, &close_capsule());
    assert_closed(&mut peer, bye(Side::Client));
}

#[test]
fn an_end_behind_the_stop_is_a_clean_close() {
    let (mut peer, id) = server();
    peer.stop(id, GONE);
    peer.finish(id);
    let clean = SessionClose::Closed {
        by: Side::Client,
        code: 0,
        reason: String::new(),
    };
    assert_closed(&mut peer, clean);
}

/// Cap `close_timeout`: what ends the session is not waited for longer.
#[test]
fn a_stop_alone_ends_the_session_in_time() {
    let limit = Limits::default().close_timeout;
    let (mut peer, id) = server();
    let session = peer.session.expect("a session");
    peer.stop(id, GONE);
    peer.advance(limit - Duration::from_millis(1));
    assert_eq!(told(&mut peer, session), []);
    peer.advance(Duration::from_millis(1));
    assert_closed(&mut peer, SessionClose::Reset(GONE));
    assert_eq!(peer.seen(id).stop, Some(GONE), "nor is more of it read");
    assert_eq!(peer.closed(), None);
}

/// Our client, which has asked for a session.
fn asking() -> (RawPeer, SessionKey, StreamId) {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
    let session = peer.access().open_session(&there()).expect("asks");
    peer.drive();
    (peer, session, bidi(0))
}

/// A server that accepts and closes at once: the stop may be read before the answer.
#[test]
fn an_answer_behind_the_stop_counts() {
    for together in [true, false] {
        let (mut peer, session, id) = asking();
        peer.end().stop(id, GONE.value());
        if !together {
            peer.advance(Duration::from_secs(1));
        }
        say(&mut peer, id, join(&[&raw::status(200), &close_capsule()]));
        peer.end().finish(id);
        peer.drive();
        let told = told(&mut peer, session);
        let [SessionEvent::Established(_), SessionEvent::Closed(close)] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(**close, bye(Side::Server));
    }
}

/// Cap `close_timeout`: nor is an answer waited for longer.
#[test]
fn a_stop_without_an_answer_ends_in_time() {
    let limit = Limits::default().close_timeout;
    let (mut peer, session, id) = asking();
    peer.stop(id, GONE);
    peer.advance(limit - Duration::from_millis(1));
    assert_eq!(told(&mut peer, session), []);
    peer.advance(Duration::from_millis(1));
    let reset = SessionEvent::Closed(Box::new(SessionClose::Reset(GONE)));
    assert_eq!(told(&mut peer, session), [reset]);
}
