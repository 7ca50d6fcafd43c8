//! Row E7: what became of a stream before its peer had heard of it is told when it does.

use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{Shutdown, StreamEvent};
use aqueduct_core::transport::ReadState;

use super::talk::{Talk, closed, of};

const CUT: StreamEvent = StreamEvent::SendOver { graceful: false };

/// A server that takes one stream at a time, and a second that waits.
fn waiting() -> (Talk, [aqueduct_core::id::StreamKey; 2]) {
    let mut talk = Talk::with(|_, quic| quic.server = quic.server.clone().open_streams(1));
    let first = talk.start(Side::Client, Dir::Bi);
    talk.write(Side::Client, first, b"first");
    let second = talk.start(Side::Client, Dir::Bi);
    talk.write(Side::Client, second, b"second");
    assert_eq!(talk.opened(Side::Server).len(), 1, "the other waits");
    (talk, [first, second])
}

/// Ends the first stream, and gives what is told of the second.
fn accepted(talk: &mut Talk, first: aqueduct_core::id::StreamKey) -> Vec<StreamEvent> {
    talk.shutdown(Side::Client, first, Shutdown::Abort(0));
    let events = talk.events(Side::Server);
    let theirs = super::opened(&events)[0];
    of(&events, theirs)
}

#[test]
fn a_stream_that_was_reset() {
    let (mut talk, [first, second]) = waiting();
    talk.shutdown(Side::Client, second, Shutdown::AbortSend(9));
    assert_eq!(talk.events(Side::Server), []);
    assert_eq!(accepted(&mut talk, first), [StreamEvent::Reset(9)]);
}

#[test]
fn a_stream_that_was_stopped() {
    let (mut talk, [first, second]) = waiting();
    talk.shutdown(Side::Client, second, Shutdown::AbortReceive(9));
    assert_eq!(talk.events(Side::Server), []);
    let told = accepted(&mut talk, first);
    assert_eq!(told, [StreamEvent::Stopped(9), CUT, StreamEvent::Readable]);
}

#[test]
fn a_stream_that_was_both() {
    let (mut talk, [first, second]) = waiting();
    talk.shutdown(Side::Client, second, Shutdown::Abort(9));
    talk.events(Side::Server);
    let told = accepted(&mut talk, first);
    let ended = closed(false, true, Some(9));
    let (reset, stopped) = (StreamEvent::Reset(9), StreamEvent::Stopped(9));
    assert_eq!(told, [stopped, CUT, reset, ended]);
    assert_eq!(talk.live(Side::Server), 0);
}

/// An empty stream is a stream.
#[test]
fn a_stream_that_was_finished_without_a_byte() {
    for dir in [Dir::Bi, Dir::Uni] {
        let mut talk = Talk::new();
        let ours = talk.start(Side::Client, dir);
        assert_eq!(talk.events(Side::Server), [], "nothing goes out yet");
        talk.shutdown(Side::Client, ours, Shutdown::Graceful);
        let theirs = talk.opened(Side::Server)[0];
        assert_eq!(
            talk.read(Side::Server, theirs),
            (vec![], ReadState::Finished)
        );
    }
}

/// A stream of QUIC's opens all lower ones of its kind.
//= https://www.rfc-editor.org/rfc/rfc9000#section-3.2
// Before a stream is created, all streams of the same type with lower-numbered stream IDs
// MUST be created.
#[test]
fn lower_streams_are_told_first() {
    let mut talk = Talk::new();
    let keys = [(); 3].map(|()| talk.start(Side::Client, Dir::Uni));
    talk.write(Side::Client, keys[2], b"the last alone");
    let opened = talk.opened(Side::Server);
    let ids: Vec<_> = opened.iter().map(|key| key.id()).collect();
    assert_eq!(ids, keys.map(|key| key.id()));
}
