//! [`Transport`] over a quinn connection, and quinn's events in our words.

use std::fmt;
use std::time::Instant;

use bytes::{Buf, Bytes};
use quinn_proto::{
    ConnectionError, Event, ReadError, SendDatagramError, StreamEvent, VarInt, WriteError,
};
use smallvec::SmallVec;

use super::received::Copies;
use super::reset_at::streams::{Left, Resets, give_back, stop};
use super::tls;
use super::writers::{Ended, Writers};
use crate::code::Code;
use crate::error::{CloseReason, TransportFailure};
use crate::id::{Dir, Side, StreamId};
use crate::transport::{
    Caps, DatagramRefused, EarlyData, Read, ReadState, StreamGone, Transport, TransportEvent,
    crypto_error,
};

/// A QUIC connection of an [`Endpoint`](super::Endpoint), borrowed for one call.
pub struct QuinnTransport<'a> {
    pub(super) quic: &'a mut quinn_proto::Connection,
    pub(super) now: Instant,
    pub(super) datagrams: DatagramLimits,
    /// Bytes of streams that have been read, in all.
    pub(super) read: &'a mut u64,
    pub(super) copies: &'a mut Copies,
    pub(super) credit_spent: bool,
    pub(super) resets: &'a mut Resets,
    pub(super) writers: &'a mut Writers,
}

/// Largest datagrams, as the layers above may know them: by the path, and by the
/// peer's transport parameters.
///
/// quinn works the first one out anew each time, from several others. It changes with
/// what quinn is fed, after which a connection is pumped, so it is asked once for each
/// pump.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct DatagramLimits {
    pub(super) path: Option<usize>,
    pub(super) peer: Option<usize>,
}

impl fmt::Debug for QuinnTransport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuinnTransport")
            .field("quic", &self.quic)
            .finish_non_exhaustive()
    }
}

impl<'a> QuinnTransport<'a> {
    /// quinn asserts that a stream is used in a direction it has.
    fn receives(&self, id: StreamId) -> bool {
        id.dir() == Dir::Bi || id.initiator() != self.side()
    }

    fn sends(&self, id: StreamId) -> bool {
        id.dir() == Dir::Bi || id.initiator() == self.side()
    }
}

impl Transport for QuinnTransport<'_> {
    fn caps(&self) -> Caps {
        let caps = Caps::new().reliable_reset(self.resets.both_take());
        let known = self.resets.takes() && !self.quic.is_handshaking();
        caps.peer_reliable_reset(known.then(|| self.resets.both_take()))
    }

    fn side(&self) -> Side {
        from_side(self.quic.side())
    }

    fn open(&mut self, dir: Dir) -> Option<StreamId> {
        self.quic.streams().open(to_dir(dir)).and_then(from_id)
    }

    fn accept(&mut self, dir: Dir) -> Option<StreamId> {
        self.quic.streams().accept(to_dir(dir)).and_then(from_id)
    }

    fn read(&mut self, id: StreamId, max: usize, out: &mut [Bytes]) -> Result<Read, StreamGone> {
        if !self.receives(id) {
            return Err(StreamGone::Unknown);
        }
        let mut read = Read::new(0, 0, ReadState::Open);
        let left = match self.resets.left(id) {
            Left::All => usize::MAX,
            // What it takes of memory, the caller has.
            Left::Bytes(left) => usize::try_from(left).unwrap_or(usize::MAX),
            Left::Told(reset) => {
                self.resets.forget(id);
                give_back(self.quic, id, reset.code);
                return Err(StreamGone::Reset {
                    code: reset.code,
                    final_size: Some(reset.final_size),
                });
            }
        };
        let mut stream = self.quic.recv_stream(to_id(id));
        if max == 0 {
            return match stream.received_reset() {
                Ok(Some(code)) => Err(StreamGone::Reset {
                    code: code.into_inner(),
                    final_size: self.resets.forget(id),
                }),
                Ok(None) => Ok(read),
                Err(_) => Err(StreamGone::Unknown),
            };
        }
        let max = max.min(left);
        let mut unread = stream.read(true).map_err(|_| StreamGone::Unknown)?;
        // What is read does not hold the datagrams it came in, whose memory is counted
        // until QUIC has no use for it and is used again. The small ones are joined.
        let mut found: SmallVec<[Bytes; 12]> = SmallVec::new();
        let mut out = out.iter_mut();
        let mut place = out.next();
        while let Some(slot) = place.take() {
            let mut joined = 0;
            while joined < JOIN && read.bytes < max {
                match unread.next((max - read.bytes).min(JOIN - joined)) {
                    Ok(Some(chunk)) => {
                        joined += chunk.bytes.len();
                        read.bytes += chunk.bytes.len();
                        found.push(chunk.bytes);
                    }
                    Ok(None) => {
                        read.state = ReadState::Finished;
                        break;
                    }
                    Err(ReadError::Blocked) => {
                        read.state = ReadState::Blocked;
                        break;
                    }
                    // A reset discards what was not read, so nothing was read above.
                    Err(ReadError::Reset(code)) => {
                        return Err(StreamGone::Reset {
                            code: code.into_inner(),
                            final_size: self.resets.forget(id),
                        });
                    }
                }
            }
            if joined > 0 {
                *slot = join(&found, joined);
                found.clear();
                read.chunks += 1;
            }
            if joined == JOIN && read.bytes < max {
                place = out.next();
            }
        }
        *self.read += read.bytes as u64;
        // Credit goes back to the peer with the next transmit, which every use
        // of a connection asks for.
        let _ = unread.finalize();
        match read.state {
            ReadState::Finished => _ = self.resets.forget(id),
            ReadState::Open | ReadState::Blocked => self.resets.on_read(id, read.bytes),
        }
        Ok(read)
    }

    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Result<usize, StreamGone> {
        if !self.sends(id) || self.resets.is_waiting(id) {
            return Err(StreamGone::Unknown);
        }
        let quic = &mut *self.quic;
        let max = if self.writers.is_empty() {
            usize::MAX
        } else {
            let allowed = self.writers.allow(id, || priority(quic, id));
            let Some(allowed) = allowed else {
                return Ok(0);
            };
            allowed
        };
        let mut taken = 0;
        let written = if max == usize::MAX || chunks.iter().map(Bytes::len).sum::<usize>() <= max {
            write_all(quic, id, chunks, &mut taken)
        } else {
            write_part(quic, id, chunks, max, &mut taken)
        };
        match written {
            Ok(ended) => {
                self.writers.wrote(id, taken, ended, || priority(quic, id));
                Ok(taken)
            }
            Err(gone) => {
                self.writers.forget(id);
                if taken > 0 { Ok(taken) } else { Err(gone) }
            }
        }
    }

    fn finish(&mut self, id: StreamId) {
        if self.sends(id) && !self.resets.is_waiting(id) {
            self.writers.forget(id);
            // The only failures are a stream that has ended or that the peer has
            // stopped, which an event tells.
            let _ = self.quic.send_stream(to_id(id)).finish();
        }
    }

    fn reset(&mut self, id: StreamId, code: u64, head: &[u8]) {
        self.writers.forget(id);
        if self.sends(id) && !self.resets.reset(self.quic, id, code, head) {
            // Fails only for a stream that has ended.
            let _ = self.quic.send_stream(to_id(id)).reset(to_code(code));
        }
    }

    fn stop(&mut self, id: StreamId, code: u64) {
        if self.receives(id) {
            self.resets.forget(id);
            stop(self.quic, id, code);
        }
    }

    fn set_priority(&mut self, id: StreamId, priority: i32) {
        if self.sends(id) {
            // Fails only for a stream that has ended.
            let _ = self.quic.send_stream(to_id(id)).set_priority(priority);
            self.writers.set_priority(id, priority);
        }
    }

    fn recv_datagram(&mut self) -> Option<Bytes> {
        let Some(datagram) = self.quic.datagrams().recv() else {
            self.copies.end();
            return None;
        };
        Some(self.copies.copy(&datagram))
    }

    fn send_datagram(&mut self, datagram: Bytes) -> Result<(), DatagramRefused> {
        self.quic
            .datagrams()
            .send(datagram, false)
            .map_err(|error| match error {
                SendDatagramError::Blocked(datagram) => DatagramRefused::Blocked(datagram),
                SendDatagramError::TooLarge => DatagramRefused::TooLarge,
                SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled => {
                    DatagramRefused::Disabled
                }
            })
    }

    fn max_datagram_size(&self) -> Option<usize> {
        self.datagrams.path
    }

    fn peer_max_datagram_size(&self) -> Option<usize> {
        self.datagrams.peer
    }

    fn receive_credit_spent(&self) -> bool {
        self.credit_spent
    }

    fn stream_limit(&self, dir: Dir) -> Option<u64> {
        self.resets.stream_limit(dir)
    }

    fn refuse(&mut self, alert: u8, reason: Bytes) {
        self.resets.refuse();
        self.close(crypto_error(alert), reason);
    }

    fn close(&mut self, code: u64, reason: Bytes) {
        self.quic.close(self.now, to_code(code), reason);
    }
}

/// Writes what quinn takes of all chunks, and counts it in `taken`.
fn write_all(
    quic: &mut quinn_proto::Connection,
    id: StreamId,
    chunks: &mut [Bytes],
    taken: &mut usize,
) -> Result<Ended, StreamGone> {
    // quinn notes that a stream is blocked only when it takes nothing at all,
    // so a partial write is followed by one more.
    loop {
        match quic.send_stream(to_id(id)).write_chunks(chunks) {
            Ok(written) => *taken += written.bytes,
            Err(WriteError::Blocked) => return Ok(Ended::Blocked),
            Err(WriteError::Stopped(code)) => return Err(StreamGone::Stopped(code.into_inner())),
            Err(WriteError::ClosedStream) => return Err(StreamGone::Unknown),
        }
        if chunks.iter().all(Bytes::is_empty) {
            return Ok(Ended::All);
        }
    }
}

/// Writes what quinn takes of the first `max` bytes, where there are more.
fn write_part(
    quic: &mut quinn_proto::Connection,
    id: StreamId,
    chunks: &mut [Bytes],
    max: usize,
    taken: &mut usize,
) -> Result<Ended, StreamGone> {
    for chunk in chunks {
        let allowed = chunk.len().min(max - *taken);
        if allowed == 0 {
            continue;
        }
        let mut part = chunk.slice(..allowed);
        let ended = write_all(quic, id, std::slice::from_mut(&mut part), taken);
        chunk.advance(allowed - part.len());
        if ended? == Ended::Blocked {
            return Ok(Ended::Blocked);
        }
    }
    Ok(Ended::Share)
}

/// The priority of a stream that can be written to.
fn priority(quic: &mut quinn_proto::Connection, id: StreamId) -> Option<i32> {
    let stream = quic.send_stream(to_id(id));
    match stream.stopped() {
        Ok(None) => stream.priority().ok(),
        Ok(Some(_)) | Err(_) => None,
    }
}

/// Bytes that one chunk read from a stream is joined of, at most.
const JOIN: usize = 16 * 1024;

/// The bytes of all parts, in memory of their own.
fn join(parts: &[Bytes], len: usize) -> Bytes {
    if let [whole] = parts {
        return Bytes::copy_from_slice(whole);
    }
    let mut joined = Vec::with_capacity(len);
    for part in parts {
        joined.extend_from_slice(part);
    }
    joined.into()
}

/// quinn's event in our words; `None` for one that the upper layers have no use
/// for. `early` data may have been sent.
pub(super) fn translate(
    quic: &quinn_proto::Connection,
    event: Event,
    early: bool,
) -> Option<TransportEvent> {
    Some(match event {
        Event::HandshakeDataReady => return None,
        Event::Connected => TransportEvent::Connected {
            early: early_data(quic, early),
        },
        Event::ConnectionLost { reason } => TransportEvent::Closed(close_reason(reason)),
        Event::Stream(StreamEvent::Opened { dir }) => TransportEvent::Opened(from_dir(dir)),
        Event::Stream(StreamEvent::Available { dir }) => TransportEvent::Available(from_dir(dir)),
        Event::Stream(StreamEvent::Readable { id }) => TransportEvent::Readable(from_id(id)?),
        Event::Stream(StreamEvent::Writable { id }) => TransportEvent::Writable(from_id(id)?),
        Event::Stream(StreamEvent::Finished { id }) => TransportEvent::Finished(from_id(id)?),
        Event::Stream(StreamEvent::Stopped { id, error_code }) => {
            TransportEvent::Stopped(from_id(id)?, error_code.into_inner())
        }
        Event::DatagramReceived => TransportEvent::Datagrams,
        Event::DatagramsUnblocked => TransportEvent::DatagramsUnblocked,
    })
}

/// Whether the peer has closed the connection.
pub(super) fn is_close(event: &Event) -> bool {
    let Event::ConnectionLost { reason } = event else {
        return false;
    };
    matches!(
        reason,
        ConnectionError::ApplicationClosed(_) | ConnectionError::ConnectionClosed(_)
    )
}

/// What became of early data, once the handshake is complete. quinn knows of a client
/// whether some was possible, and `early` whether any was sent.
fn early_data(quic: &quinn_proto::Connection, early: bool) -> EarlyData {
    match (quic.has_0rtt(), quic.side()) {
        // It has keys for what it takes.
        (true, quinn_proto::Side::Server) => EarlyData::Accepted,
        (true, _) if early && quic.accepted_0rtt() => EarlyData::Accepted,
        (true, _) if early => EarlyData::Rejected,
        _ => EarlyData::None,
    }
}

/// Why quinn gave a connection up.
pub(super) fn close_reason(error: ConnectionError) -> CloseReason {
    CloseReason::Transport(match error {
        ConnectionError::ApplicationClosed(close) => {
            let code = Code::new(close.error_code.into_inner());
            return CloseReason::Remote {
                code,
                reason: close.reason,
            };
        }
        ConnectionError::LocallyClosed => {
            return CloseReason::Local {
                code: Code::H3_NO_ERROR,
                reason: Bytes::new(),
            };
        }
        ConnectionError::ConnectionClosed(close) => TransportFailure::ClosedByPeer {
            code: close.error_code.into(),
            reason: close.reason,
        },
        ConnectionError::TransportError(error) => TransportFailure::Error {
            code: error.code.into(),
            reason: tls::in_words(error.reason),
        },
        ConnectionError::TimedOut => TransportFailure::TimedOut,
        ConnectionError::Reset => TransportFailure::Reset,
        ConnectionError::VersionMismatch => TransportFailure::VersionMismatch,
        ConnectionError::CidsExhausted => TransportFailure::CidsExhausted,
    })
}

/// A code as QUIC carries it; one that is out of range becomes the largest.
pub(super) fn to_code(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn to_side(side: Side) -> quinn_proto::Side {
    match side {
        Side::Client => quinn_proto::Side::Client,
        Side::Server => quinn_proto::Side::Server,
    }
}

fn from_side(side: quinn_proto::Side) -> Side {
    match side {
        quinn_proto::Side::Client => Side::Client,
        quinn_proto::Side::Server => Side::Server,
    }
}

pub(super) fn to_dir(dir: Dir) -> quinn_proto::Dir {
    match dir {
        Dir::Bi => quinn_proto::Dir::Bi,
        Dir::Uni => quinn_proto::Dir::Uni,
    }
}

fn from_dir(dir: quinn_proto::Dir) -> Dir {
    match dir {
        quinn_proto::Dir::Bi => Dir::Bi,
        quinn_proto::Dir::Uni => Dir::Uni,
    }
}

pub(super) fn to_id(id: StreamId) -> quinn_proto::StreamId {
    quinn_proto::StreamId::new(to_side(id.initiator()), to_dir(id.dir()), id.number())
}

fn from_id(id: quinn_proto::StreamId) -> Option<StreamId> {
    StreamId::from_wire(id.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_ids_and_codes_survive_the_seam() {
        for wire in [0, 1, 2, 3, 4, 403, StreamId::MAX] {
            let id = StreamId::from_wire(wire).expect("in range");
            assert_eq!(u64::from(to_id(id)), wire);
            assert_eq!(from_id(to_id(id)), Some(id));
        }
        assert_eq!(to_code(0x52e4_a40f_a8db).into_inner(), 0x52e4_a40f_a8db);
        assert_eq!(to_code(u64::MAX), VarInt::MAX);
    }

    #[test]
    fn every_end_of_a_quinn_connection_has_a_name() {
        use CloseReason::Transport;
        for (error, reason) in [
            (
                ConnectionError::TimedOut,
                Transport(TransportFailure::TimedOut),
            ),
            (ConnectionError::Reset, Transport(TransportFailure::Reset)),
            (
                ConnectionError::VersionMismatch,
                Transport(TransportFailure::VersionMismatch),
            ),
            (
                ConnectionError::CidsExhausted,
                Transport(TransportFailure::CidsExhausted),
            ),
            (
                ConnectionError::ApplicationClosed(quinn_proto::ApplicationClose {
                    error_code: to_code(0x102),
                    reason: Bytes::from_static(b"oops"),
                }),
                CloseReason::Remote {
                    code: Code::H3_INTERNAL_ERROR,
                    reason: Bytes::from_static(b"oops"),
                },
            ),
            (
                ConnectionError::TransportError(quinn_proto::TransportErrorCode::crypto(42).into()),
                Transport(TransportFailure::Error {
                    code: 0x12a,
                    reason: String::new(),
                }),
            ),
        ] {
            assert_eq!(close_reason(error), reason);
        }
    }
}
