//! Row E23: keys of streams that are over, of other connections and made up name nothing.

use aqueduct_core::id::{Dir, Side, StreamId, StreamKey};
use aqueduct_core::quic::{ReadError, Shutdown, ShutdownError, WriteError};
use bytes::Bytes;

use super::talk::Talk;

/// Every use of the key says that there is no such stream.
fn names_nothing(talk: &mut Talk, side: Side, key: StreamKey) {
    talk.act(side, |access| {
        assert!(!access.has_stream(key));
        assert_eq!(access.offset(key), None);
        let read = access.read(key, 1, &mut [Bytes::new()]);
        assert_eq!(read, Err(ReadError::Gone));
        let write = access.write(key, &mut [Bytes::from_static(b"x")]);
        assert_eq!(write, Err(WriteError::Gone));
        for how in [
            Shutdown::Graceful,
            Shutdown::Abort(1),
            Shutdown::Immediate(1),
        ] {
            let ended = access.shutdown(key, how);
            assert_eq!(ended, Err(ShutdownError::Gone));
        }
        let prior = access.set_priority(key, 1);
        assert_eq!(prior, Err(ShutdownError::Gone));
    });
}

/// Its place in the table is another's, and the key is not.
#[test]
fn a_key_of_a_stream_that_is_over() {
    let mut talk = Talk::new();
    let [old, _] = talk.stream(Side::Client, Dir::Bi);
    talk.shutdown(Side::Client, old, Shutdown::Abort(0));
    talk.pair.drive();
    let [new, _] = talk.stream(Side::Client, Dir::Bi);
    assert_eq!(old.slot(), new.slot(), "the test is about this");
    names_nothing(&mut talk, Side::Client, old);
    assert!(talk.act(Side::Client, |access| access.has_stream(new)));
}

#[test]
fn keys_that_never_were() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    for side in [Side::Client, Side::Server] {
        for dir in [Dir::Bi, Dir::Uni] {
            for number in [1, 7, u64::MAX] {
                for slot in [0, 1, u32::MAX] {
                    let key = StreamKey::new(StreamId::new(side, dir, number), slot);
                    names_nothing(&mut talk, Side::Client, key);
                    names_nothing(&mut talk, Side::Server, key);
                }
            }
        }
    }
    // The right stream in the wrong place.
    let astray = StreamKey::new(ours.id(), 999);
    names_nothing(&mut talk, Side::Client, astray);
    assert!(talk.act(Side::Server, |access| access.has_stream(theirs)));
}

/// Streams are told in the table, each once.
#[test]
fn keys_are_those_of_the_live_streams() {
    let mut talk = Talk::new();
    let ours = [(); 3].map(|()| talk.stream(Side::Client, Dir::Bi)[0]);
    talk.shutdown(Side::Client, ours[1], Shutdown::Abort(0));
    talk.pair.drive();
    let mut keys = talk.act(Side::Client, |it| it.streams().collect::<Vec<_>>());
    keys.sort();
    let mut left = vec![ours[0], ours[2]];
    left.sort();
    assert_eq!(keys, left);
    assert_eq!(talk.live(Side::Client), 2);
}

/// So many bytes have been read.
#[test]
fn the_offset_is_where_the_next_byte_stands() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.write(Side::Client, ours, b"0123456789");
    talk.pair.drive();
    let read = talk.act(Side::Server, |it| it.read(theirs, 4, &mut [Bytes::new()]));
    assert_eq!(read.map(|read| read.bytes), Ok(4));
    let offset = talk.act(Side::Server, |access| access.offset(theirs));
    assert_eq!(offset, Some(9));
}
