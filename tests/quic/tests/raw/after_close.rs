//! Row E9: what had arrived when a connection ended can still be read, and how a stream ended
//! is told apart: finished, reset, gone.

use std::time::Duration;

use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{ReadError, Shutdown, StreamEvent};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

use super::talk::{Talk, reason};

/// The server has what the client wrote, and has read none of it.
fn unread(end: Option<Shutdown>) -> (Talk, aqueduct_core::id::StreamKey) {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.write(Side::Client, ours, b"last words");
    talk.pair.advance(Duration::from_millis(15));
    if let Some(how) = end {
        talk.shutdown(Side::Client, ours, how);
        talk.pair.advance(Duration::from_millis(15));
    }
    close(&mut talk);
    (talk, theirs)
}

/// The client closes, and the server hears of it, a moment ago.
fn close(talk: &mut Talk) {
    talk.close(Side::Client, 3, b"");
    talk.pair.advance(Duration::from_millis(12));
    assert!(reason(&talk.told(Side::Server)).is_some());
}

#[test]
fn a_stream_whose_end_had_arrived() {
    let (mut talk, theirs) = unread(Some(Shutdown::Graceful));
    let read = talk.read(Side::Server, theirs);
    assert_eq!(read, (b"last words".to_vec(), ReadState::Finished));
    assert!(talk.pair.server.endpoint.poll_event().is_none());
    gone(&mut talk, theirs);
}

#[test]
fn a_stream_that_goes_no_further() {
    let (mut talk, theirs) = unread(None);
    let read = talk.read(Side::Server, theirs);
    assert_eq!(read, (b"last words".to_vec(), ReadState::Blocked));
    gone(&mut talk, theirs);
}

/// What had been reset is lost, and so nothing is left to be read.
#[test]
fn a_stream_that_was_reset() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.write(Side::Client, ours, b"last words");
    talk.pair.advance(Duration::from_millis(15));
    talk.shutdown(Side::Client, ours, Shutdown::AbortSend(6));
    talk.pair.advance(Duration::from_millis(15));
    talk.close(Side::Client, 3, b"");
    talk.pair.advance(Duration::from_millis(12));
    let events = super::quic(talk.told(Side::Server));
    let told = super::talk::of(&events, theirs);
    assert_eq!(told, [StreamEvent::Readable, StreamEvent::Reset(6)]);
    let (now, key) = (talk.pair.now, talk.server);
    assert!(talk.pair.server.endpoint.quic(now, key).is_none());
}

#[test]
fn datagrams_that_had_arrived() {
    let mut talk = Talk::new();
    let sent = talk.act(Side::Client, |it| {
        it.send_datagram(Bytes::from_static(b"one"))
    });
    sent.expect("goes");
    talk.pair.advance(Duration::from_millis(15));
    close(&mut talk);
    let got = talk.act(Side::Server, |access| access.recv_datagram());
    assert_eq!(got, Some(Bytes::from_static(b"one")));
    assert_eq!(
        talk.act(Side::Server, |access| access.recv_datagram()),
        None
    );
}

/// Who closes may still read what it has.
#[test]
fn the_end_that_closes_reads_on() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.write(Side::Client, ours, b"last words");
    talk.pair.advance(Duration::from_millis(15));
    talk.close(Side::Server, 3, b"");
    assert_eq!(talk.read(Side::Server, theirs).0, b"last words");
    gone(&mut talk, theirs);
}

/// A connection of which all is read is forgotten, whatever is unread in one that nobody asks
/// about.
#[test]
fn the_connection_is_forgotten_when_all_is_read_or_time_is_up() {
    let (mut talk, theirs) = unread(None);
    talk.read(Side::Server, theirs);
    talk.pair.step();
    let (now, key) = (talk.pair.now, talk.server);
    assert!(talk.pair.server.endpoint.quic(now, key).is_none());

    let (mut talk, _) = unread(None);
    talk.pair.advance(Duration::from_secs(10));
    let (now, key) = (talk.pair.now, talk.server);
    assert!(talk.pair.server.endpoint.quic(now, key).is_none());
    assert!(talk.pair.server.endpoint.is_idle());
}

fn gone(talk: &mut Talk, stream: aqueduct_core::id::StreamKey) {
    let (now, key) = (talk.pair.now, talk.server);
    if let Some(mut connection) = talk.pair.server.endpoint.quic(now, key) {
        let read = connection.access().read(stream, 1, &mut [Bytes::new()]);
        assert_eq!(read, Err(ReadError::Gone));
    }
}
