//! A graceful shutdown takes nothing from a client that has it and has not read it.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Side, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::webtransport::{SessionClose, SessionEvent};
use aqueduct_tests::{content, get, request};
use http::StatusCode;

use super::wt_streams::server;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// A pair of which the server has answered and drains, and the client has everything and
/// has read nothing.
fn unread() -> (LoopbackPair, StreamKey) {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (client, server) = request(&mut pair, &get());
    let ok = ResponseHead::new(StatusCode::OK);
    let answered = pair.server().respond(server, &ok, End::More);
    answered.expect("answers");
    pair.write_all(Side::Server, server, "last words")
        .expect("room");
    pair.server()
        .send(server)
        .expect("a stream")
        .finish()
        .expect("ends");
    pair.read_to_end(Side::Server, server).expect("all of it");
    let until = pair.now() + MINUTE;
    pair.server().drain(until);
    pair.drive();
    (pair, client)
}

fn is_over(pair: &mut LoopbackPair, side: Side) -> bool {
    let events = pair.events(side);
    events.iter().any(|event| matches!(event, Event::Closed(_)))
}

/// Acknowledged is not read: the server waits for the client, which closes when it has
/// read its answer.
#[test]
fn the_client_closes_when_it_has_read_all() {
    let (mut pair, client) = unread();
    pair.advance(MINUTE - SECOND);
    assert!(!is_over(&mut pair, Side::Server));
    let answer = pair.read_to_end(Side::Client, client).expect("still there");
    assert_eq!(answer, b"last words");
    pair.drive();
    let reason = expect_event!(pair, Side::Client, Event::Closed(reason) => reason);
    assert_eq!(*reason, CloseReason::PeerDrained);
    assert!(is_over(&mut pair, Side::Server));
}

#[test]
fn the_server_closes_in_the_end() {
    let (mut pair, _) = unread();
    pair.advance(MINUTE);
    let reason = expect_event!(pair, Side::Server, Event::Closed(reason) => reason);
    assert_eq!(*reason, CloseReason::Drained);
}

/// RFC 9114 section 5.2: a client that waits for nothing has no use for the connection.
#[test]
fn an_idle_client_closes_at_once() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let until = pair.now() + MINUTE;
    pair.server().drain(until);
    pair.drive();
    let reason = expect_event!(pair, Side::Client, Event::Closed(reason) => reason);
    assert_eq!(*reason, CloseReason::PeerDrained);
    assert!(reason.is_retryable(), "another server may serve");
}

/// A client that was never answered has nothing to read, and need not close by itself.
#[test]
fn what_was_never_used_is_not_waited_for() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let until = peer.now() + MINUTE;
    peer.access().drain(until);
    peer.advance(SECOND);
    assert_eq!(peer.closed(), Some(Code::H3_NO_ERROR));
    // One that was may hold the answer.
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let id = peer.request(&raw::get());
    let asked = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    let head = ResponseHead::new(StatusCode::NO_CONTENT);
    peer.access()
        .respond(asked, &head, End::Fin)
        .expect("answers");
    peer.finish(id);
    peer.access()
        .recv(asked)
        .expect("a stream")
        .stop(0x100)
        .expect("open");
    peer.access().drain(until);
    peer.advance(MINUTE - 2 * SECOND);
    assert_eq!(peer.closed(), None);
}

/// At the deadline sessions end by the close capsule, and the connection follows when the
/// peer has heard it.
#[test]
fn sessions_end_by_the_close_capsule_first() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (here, there) = pair.session("https://example.com/wt");
    let until = pair.now() + MINUTE;
    pair.server().drain(until);
    pair.advance(MINUTE - SECOND);
    assert!(!is_over(&mut pair, Side::Client));
    pair.advance(SECOND);
    let close = expect_event!(
        pair, Side::Client, Event::WebTransport(key, SessionEvent::Closed(close)) if key == here => close
    );
    let clean = SessionClose::Closed {
        by: Side::Server,
        code: 0,
        reason: String::new(),
    };
    assert_eq!(*close, clean);
    let close = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Closed(close)) if key == there => close
    );
    assert_eq!(*close, clean);
    assert!(is_over(&mut pair, Side::Server) && is_over(&mut pair, Side::Client));
}

/// A peer that does not answer the capsule is waited for one second.
#[test]
fn a_session_that_does_not_end_is_left() {
    let (mut peer, connect) = server();
    let until = peer.now() + MINUTE;
    peer.access().drain(until);
    peer.advance(MINUTE);
    let seen = peer.seen(connect);
    assert!(content(&seen.bytes).ends_with(b"\x68\x43\x04\0\0\0\0"));
    assert!(seen.fin);
    assert_eq!(peer.closed(), None);
    peer.advance(SECOND);
    assert_eq!(peer.closed(), Some(Code::H3_NO_ERROR));
}

/// Nor is one waited for that has ended: a client that closes no connection by itself has
/// heard the close all the same.
#[test]
fn a_session_that_ends_ends_the_wait() {
    let (mut peer, connect) = server();
    let until = peer.now() + MINUTE;
    peer.access().drain(until);
    peer.advance(MINUTE);
    assert_eq!(peer.closed(), None);
    peer.finish(connect);
    assert_eq!(peer.closed(), Some(Code::H3_NO_ERROR));
}
