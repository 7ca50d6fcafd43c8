//! Row E3: winding down: nothing new begins, what is under way goes on, and then it ends.

use std::time::Duration;

use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{Shutdown, Start, StartError};
use aqueduct_core::transport::ReadState;

use super::talk::{Talk, reason};

fn drain(talk: &mut Talk, side: Side, after: Duration) {
    let until = talk.pair.now + after;
    talk.act(side, |access| access.drain(until));
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn what_is_under_way_goes_on_and_then_the_connection_ends() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    drain(&mut talk, Side::Client, LONG);
    let start = talk.act(Side::Client, |access| access.start(Dir::Bi, Start::new()));
    assert_eq!(start, Err(StartError::Draining));
    let by = Side::Client;
    assert_eq!(talk.all(Side::Client), [Event::Draining { by }]);
    talk.write(Side::Client, ours, b"the rest");
    talk.shutdown(Side::Client, ours, Shutdown::Graceful);
    talk.pair.drive();
    assert_eq!(
        talk.read(Side::Server, theirs),
        (b"the rest".to_vec(), ReadState::Finished)
    );
    talk.write(Side::Server, theirs, b"thanks");
    talk.shutdown(Side::Server, theirs, Shutdown::Graceful);
    talk.pair.drive();
    assert_eq!(reason(&talk.all(Side::Client)), None, "something is unread");
    assert_eq!(talk.read(Side::Client, ours).0, b"thanks");
    assert_eq!(reason(&talk.all(Side::Client)), Some(CloseReason::Drained));
    let told = reason(&talk.all(Side::Server));
    assert!(matches!(told, Some(CloseReason::Remote { .. })), "{told:?}");
}

/// The last stream may end by the application's own hand.
#[test]
fn the_last_stream_that_is_abandoned_ends_the_connection() {
    for (dir, how) in [
        (Dir::Uni, Shutdown::AbortSend(1)),
        (Dir::Bi, Shutdown::Abort(1)),
        (Dir::Bi, Shutdown::Immediate(1)),
    ] {
        let mut talk = Talk::new();
        let [ours, _] = talk.stream(Side::Client, dir);
        drain(&mut talk, Side::Client, LONG);
        talk.shutdown(Side::Client, ours, how);
        assert_eq!(
            reason(&talk.all(Side::Client)),
            Some(CloseReason::Drained),
            "{how:?}"
        );
    }
}

#[test]
fn one_without_streams_ends_at_once() {
    let mut talk = Talk::new();
    drain(&mut talk, Side::Server, LONG);
    assert_eq!(reason(&talk.all(Side::Server)), Some(CloseReason::Drained));
    assert!(reason(&talk.all(Side::Client)).is_some());
}

/// Repeating it brings the end forward, and never back.
#[test]
fn at_the_deadline_it_ends_whatever_is_under_way() {
    let mut talk = Talk::new();
    talk.stream(Side::Client, Dir::Bi);
    for seconds in [8, 5, 15] {
        drain(&mut talk, Side::Client, Duration::from_secs(seconds));
    }
    let by = Side::Client;
    assert_eq!(
        talk.all(Side::Client),
        [Event::Draining { by }],
        "told once"
    );
    talk.pair.advance(Duration::from_millis(900));
    assert_eq!(talk.all(Side::Client), []);
    talk.pair.advance(Duration::from_millis(4_200));
    assert_eq!(reason(&talk.all(Side::Client)), Some(CloseReason::Drained));
}

/// Streams that wait for the peer's limit are under way.
#[test]
fn a_stream_that_waits_still_begins() {
    let mut talk = Talk::with(|options, _| options.transport.max_streams_uni = 1);
    let first = talk.start(Side::Client, Dir::Uni);
    let waits = talk.start(Side::Client, Dir::Uni);
    talk.shutdown(Side::Client, waits, Shutdown::Graceful);
    drain(&mut talk, Side::Client, LONG);
    talk.shutdown(Side::Client, first, Shutdown::Abort(2));
    let theirs = *talk.opened(Side::Server).last().expect("arrives");
    assert_eq!(theirs.id(), waits.id());
    assert_eq!(reason(&talk.all(Side::Client)), Some(CloseReason::Drained));
}
