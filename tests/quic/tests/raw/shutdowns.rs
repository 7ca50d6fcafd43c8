//! Row E7: how a stream or half of it ends, as both ends are told, codes unchanged.

use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{MAX_CODE, ReadError, Shutdown, ShutdownError, StreamEvent, WriteError};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

use super::talk::{Talk, closed};

const OVER: StreamEvent = StreamEvent::SendOver { graceful: true };
const CUT: StreamEvent = StreamEvent::SendOver { graceful: false };

/// Codes at the edges of 62 bits.
const CODES: [u64; 3] = [0, 1 << 32, MAX_CODE];

#[test]
fn a_graceful_end_of_both_halves() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.shutdown(Side::Client, ours, Shutdown::Graceful);
    assert_eq!(talk.of(Side::Server, theirs), [StreamEvent::Readable]);
    assert_eq!(talk.of(Side::Client, ours), [OVER]);
    // An end by itself comes without a byte.
    assert_eq!(
        talk.read(Side::Server, theirs),
        (vec![], ReadState::Finished)
    );
    assert_eq!(
        talk.try_read(Side::Server, theirs),
        Err(ReadError::Finished)
    );
    talk.write(Side::Server, theirs, b"bye");
    talk.shutdown(Side::Server, theirs, Shutdown::Graceful);
    assert_eq!(talk.of(Side::Client, ours), [StreamEvent::Readable]);
    assert_eq!(
        talk.of(Side::Server, theirs),
        [OVER, closed(false, false, None)]
    );
    assert_eq!(
        talk.read(Side::Client, ours),
        (b"bye".to_vec(), ReadState::Finished)
    );
    assert_eq!(talk.of(Side::Client, ours), [closed(false, false, None)]);
}

#[test]
fn an_abandoned_sending_half() {
    for code in CODES {
        let mut talk = Talk::new();
        let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
        talk.shutdown(Side::Client, ours, Shutdown::AbortSend(code));
        assert_eq!(talk.of(Side::Client, ours), [CUT]);
        let mut chunks = [Bytes::from_static(b"more")];
        let write = talk.act(Side::Client, |access| access.write(ours, &mut chunks));
        assert_eq!(write, Err(WriteError::Reset));
        assert_eq!(talk.of(Side::Server, theirs), [StreamEvent::Reset(code)]);
        assert_eq!(
            talk.try_read(Side::Server, theirs),
            Err(ReadError::Reset(code))
        );
        // The other half is as it was.
        talk.write(Side::Server, theirs, b"still here");
        talk.shutdown(Side::Server, theirs, Shutdown::Graceful);
        assert_eq!(talk.of(Side::Client, ours), [StreamEvent::Readable]);
        assert_eq!(talk.read(Side::Client, ours).0, b"still here");
        let ended = closed(true, false, Some(code));
        assert_eq!(talk.of(Side::Client, ours), [ended]);
        let ended = closed(false, true, Some(code));
        assert_eq!(talk.of(Side::Server, theirs), [OVER, ended]);
    }
}

/// STOP_SENDING is answered by RESET_STREAM with its code.
#[test]
fn an_abandoned_receiving_half() {
    for code in CODES {
        let mut talk = Talk::new();
        let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
        talk.shutdown(Side::Client, ours, Shutdown::AbortReceive(code));
        assert_eq!(talk.try_read(Side::Client, ours), Err(ReadError::Stopped));
        assert_eq!(
            talk.of(Side::Server, theirs),
            [StreamEvent::Stopped(code), CUT]
        );
        let mut chunks = [Bytes::from_static(b"more")];
        let write = talk.act(Side::Server, |access| access.write(theirs, &mut chunks));
        assert_eq!(write, Err(WriteError::Stopped(code)));
        assert_eq!(
            talk.of(Side::Client, ours),
            [],
            "the answer is of no interest"
        );
        talk.shutdown(Side::Client, ours, Shutdown::Graceful);
        talk.pair.drive();
        assert_eq!(talk.read(Side::Server, theirs).1, ReadState::Finished);
        let ended = closed(false, true, Some(code));
        assert_eq!(
            talk.of(Side::Server, theirs),
            [StreamEvent::Readable, ended]
        );
        let ended = closed(true, false, Some(code));
        assert_eq!(talk.of(Side::Client, ours), [OVER, ended]);
    }
}

#[test]
fn both_halves_abandoned() {
    for code in CODES {
        for how in [Shutdown::Abort(code), Shutdown::Immediate(code)] {
            let mut talk = Talk::new();
            let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
            talk.shutdown(Side::Client, ours, how);
            let ended = closed(true, false, Some(code));
            assert_eq!(talk.of(Side::Client, ours), [CUT, ended]);
            let (reset, stopped) = (StreamEvent::Reset(code), StreamEvent::Stopped(code));
            let ended = closed(false, true, Some(code));
            let told = talk.of(Side::Server, theirs);
            assert_eq!(told, [reset, stopped, CUT, ended]);
            assert_eq!((talk.live(Side::Client), talk.live(Side::Server)), (0, 0));
        }
    }
}

/// What was to arrive need not, when it is abandoned after its end was said.
#[test]
fn a_finished_half_can_still_be_abandoned() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.shutdown(Side::Client, ours, Shutdown::Graceful);
    talk.shutdown(Side::Client, ours, Shutdown::AbortSend(4));
    assert_eq!(talk.of(Side::Client, ours), [CUT]);
    assert_eq!(talk.of(Side::Server, theirs), [StreamEvent::Reset(4)]);
}

#[test]
fn halves_that_a_stream_does_not_have() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Uni);
    let mut end = |side, key, how| talk.act(side, |access| access.shutdown(key, how));
    let none = Err(ShutdownError::NoSuchHalf);
    assert_eq!(end(Side::Client, ours, Shutdown::AbortReceive(1)), none);
    assert_eq!(end(Side::Server, theirs, Shutdown::Graceful), none);
    assert_eq!(end(Side::Server, theirs, Shutdown::AbortSend(1)), none);
    let read = talk.try_read(Side::Client, ours);
    assert_eq!(read, Err(ReadError::NoSuchHalf));
    let mut chunks = [Bytes::from_static(b"back")];
    let write = talk.act(Side::Server, |access| access.write(theirs, &mut chunks));
    assert_eq!(write, Err(WriteError::NoSuchHalf));
    // Of both, the one that there is.
    talk.shutdown(Side::Server, theirs, Shutdown::Abort(3));
    let ended = closed(true, false, Some(3));
    assert_eq!(talk.of(Side::Server, theirs), [ended]);
    let ended = closed(false, true, Some(3));
    let told = talk.of(Side::Client, ours);
    assert_eq!(told, [StreamEvent::Stopped(3), CUT, ended]);
}

#[test]
fn codes_of_more_than_62_bits_are_refused() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    for code in [MAX_CODE + 1, u64::MAX] {
        for how in [
            Shutdown::AbortSend(code),
            Shutdown::AbortReceive(code),
            Shutdown::Abort(code),
            Shutdown::Immediate(code),
        ] {
            let refused = talk.act(Side::Client, |access| access.shutdown(ours, how));
            assert_eq!(refused, Err(ShutdownError::CodeOutOfRange));
        }
    }
    assert_eq!(talk.of(Side::Client, ours), []);
    assert_eq!(talk.of(Side::Server, theirs), []);
}

/// The first code is the one that is told.
#[test]
fn each_half_has_its_code_and_the_first_counts() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.shutdown(Side::Client, ours, Shutdown::AbortSend(1));
    talk.shutdown(Side::Server, theirs, Shutdown::AbortSend(2));
    let told = talk.of(Side::Client, ours);
    assert_eq!(
        told,
        [CUT, StreamEvent::Reset(2), closed(true, true, Some(1))]
    );
    let told = talk.of(Side::Server, theirs);
    assert_eq!(
        told,
        [CUT, StreamEvent::Reset(1), closed(true, true, Some(2))]
    );
}
