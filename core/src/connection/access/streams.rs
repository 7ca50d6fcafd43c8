//! Streams: content of messages, and data streams of sessions.

use bytes::Bytes;

use super::super::command::Call;
use super::super::command::Command;
use super::Access;
use crate::error::{Gone, PeerCode, ReadError, ResetError, SendError, WriteError};
use crate::fault::Fault;
use crate::h3::connection::H3;
use crate::h3::read::RawGone;
use crate::h3::streams::Kind;
use crate::id::{Dir, StreamKey};
use crate::session::Owner;
use crate::transport::{Read, Transport};
use crate::webtransport::OpenStreamError;
use crate::wire::varint::{Head, VarInt};

/// What a stream carries, and so who looks after it.
#[derive(Copy, Clone, Debug)]
enum Whose {
    /// The content of a request or response.
    Message,
    /// What a session's application sends: its place among the data streams.
    Session(u32),
    /// What follows a type that is the application's own.
    Claimed,
}

impl<T: Transport> Access<'_, T> {
    /// The sending half of a stream.
    ///
    /// # Errors
    /// [`Gone`]: the stream is over or never was; it is a session's own CONNECT stream or
    /// has no sending half.
    pub fn send(&mut self, stream: StreamKey) -> Result<SendStream<'_, T>, Gone> {
        if self.shell.is_closed() {
            return Err(Gone::Over);
        }
        let of = self.whose(stream)?;
        if stream.id.dir() == Dir::Uni && stream.id.initiator() != self.side() {
            return Err(Gone::NoSuchHalf);
        }
        Ok(SendStream {
            access: self.reborrow(),
            stream,
            of,
        })
    }

    /// The receiving half of a stream.
    ///
    /// # Errors
    /// [`Gone`]: the stream is over or never was; it is a session's own CONNECT stream or
    /// has no receiving half.
    pub fn recv(&mut self, stream: StreamKey) -> Result<RecvStream<'_, T>, Gone> {
        let of = self.whose(stream)?;
        if stream.id.dir() == Dir::Uni && stream.id.initiator() == self.side() {
            return Err(Gone::NoSuchHalf);
        }
        Ok(RecvStream {
            access: self.reborrow(),
            stream,
            of,
        })
    }

    /// Opens a stream of a type that the application claims
    /// ([`Config::claimed_uni`](crate::config::Config::claimed_uni)). The type goes out at
    /// once, and what is written follows it as it is.
    ///
    /// Such streams keep no connection alive that has no request or session, and a drain
    /// does not wait for them.
    ///
    /// # Errors
    /// [`OpenStreamError::NotClaimed`], [`OpenStreamError::Blocked`] while the peer allows
    /// no more or the handshake is not complete, [`OpenStreamError::Closed`].
    pub fn open_claimed(&mut self, dir: Dir, ty: u64) -> Result<StreamKey, OpenStreamError> {
        if self.shell.is_closed() {
            return Err(OpenStreamError::Closed);
        }
        let head = VarInt::new(ty).ok().map(Head::one);
        let Some(head) = head.filter(|_| self.h3().config.claims(dir, ty)) else {
            return Err(OpenStreamError::NotClaimed);
        };
        if !self.h3().established {
            return Err(OpenStreamError::Blocked);
        }
        let call = self.shell.noted(|| Command::OpenClaimed(dir, ty));
        self.run_http(call, |h3, t| {
            let opened = h3.open_raw(t, dir, head.as_slice(), 0);
            let stream = opened.ok_or(OpenStreamError::Blocked)?;
            Owner::Claimed.give(h3, stream);
            Ok(stream)
        })
    }

    /// What a stream carries that the application may use.
    fn whose(&self, stream: StreamKey) -> Result<Whose, Gone> {
        let slot = self.slot(stream)?;
        match &slot.kind {
            Kind::Raw(_) => match Owner::of(slot.owner) {
                Owner::Data(place) => Ok(Whose::Session(place)),
                Owner::Claimed | Owner::Request(_) => Ok(Whose::Claimed),
                // Its session has given it up.
                _ => Err(Gone::Over),
            },
            Kind::Exchange(_) if !matches!(Owner::of(slot.owner), Owner::Connect(_)) => {
                Ok(Whose::Message)
            }
            _ => Err(Gone::NoSuchHalf),
        }
    }
}

/// Deals with what a read or a stop has revealed.
fn failed<T: Transport, R>(h3: &mut H3, t: &mut T, result: Result<R, Fault>) -> Result<R, Fault> {
    if let Err(fault) = &result {
        h3.fail(t, Err(*fault));
    }
    result
}

/// Codes of HTTP/3 have 62 bits.
fn check_http(code: u64) -> Result<(), ResetError> {
    match code {
        0..0x4000_0000_0000_0000 => Ok(()),
        _ => Err(ResetError::CodeOutOfRange),
    }
}

/// The sending half of a stream.
#[derive(Debug)]
pub struct SendStream<'a, T> {
    access: Access<'a, T>,
    stream: StreamKey,
    of: Whose,
}

impl<T: Transport> SendStream<'_, T> {
    /// Takes whole or partial chunks from the front of `chunks` (taken ones become
    /// empty) and tells how many bytes it took. Less than offered means blocked:
    /// `StreamEvent::Writable` follows.
    ///
    /// # Errors
    /// [`WriteError`]; nothing was taken.
    pub fn write(&mut self, chunks: &mut [Bytes]) -> Result<usize, WriteError> {
        let stream = self.stream;
        let call = self
            .access
            .shell
            .noted(|| Call::Write(stream, chunks.to_vec()));
        match self.of {
            Whose::Session(place) => self.access.run(call, |sessions, cx| {
                sessions.write(cx, place, stream, chunks)
            }),
            Whose::Message => self
                .access
                .run_http(call, |h3, t| h3.write_content(t, stream, chunks)),
            Whose::Claimed => self
                .access
                .run_http(call, |h3, t| h3.write_raw(t, stream, chunks)),
        }
    }

    /// Ends the stream or message after what was written. `Delivered` tells when the peer
    /// has it, which is not that it was read.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn finish(&mut self) -> Result<(), SendError> {
        let stream = self.stream;
        let call = self.access.shell.noted(|| Command::Finish(stream));
        match self.of {
            Whose::Session(place) => self
                .access
                .run(call, |sessions, cx| sessions.finish(cx, place, stream)),
            Whose::Message | Whose::Claimed => {
                self.access.run_http(call, |h3, t| h3.finish(t, stream))
            }
        }
    }

    /// Abandons the stream. `code` is a WebTransport application code (32 bits) on a
    /// session's stream, an HTTP/3 code (62 bits) on any other.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&mut self, code: u64) -> Result<(), ResetError> {
        let stream = self.stream;
        let call = self.access.shell.noted(|| Command::Reset(stream, code));
        match self.of {
            Whose::Session(place) => {
                let code = u32::try_from(code).map_err(|_| ResetError::CodeOutOfRange)?;
                self.access
                    .run(call, |sessions, cx| sessions.reset(cx, place, stream, code))
            }
            Whose::Message | Whose::Claimed => {
                check_http(code)?;
                self.access
                    .run_http(call, |h3, t| h3.reset(t, stream, code))
            }
        }
    }

    /// Order of this stream among the streams of its session and group: higher goes
    /// first, streams of the same order share. Default 0. No effect on a request's
    /// stream, which has a [`Priority`](crate::priority::Priority) instead.
    ///
    /// An order counts within its session only. The highest order in use of every
    /// session shares with that of the others; streams of lower orders step back,
    /// behind what other sessions of the same urgency have to send. Beyond 64
    /// different orders in use in one group the lowest share. Bytes the transport
    /// holds already may keep their turn. O(n log n) for n streams of the session,
    /// as is then the end of each of them.
    pub fn set_send_order(&mut self, order: i32) {
        self.reorder(Command::SetSendOrder(self.stream, order), Some(order), None);
    }

    /// Group of this stream in its session: orders are compared within a group, and
    /// groups share. Default 0. Otherwise as [`Self::set_send_order`].
    pub fn set_send_group(&mut self, group: u32) {
        self.reorder(Command::SetSendGroup(self.stream, group), None, Some(group));
    }

    fn reorder(&mut self, command: Command, order: Option<i32>, group: Option<u32>) {
        let stream = self.stream;
        let call = self.access.shell.noted(|| command);
        if let Whose::Session(place) = self.of {
            self.access.run(call, |sessions, cx| {
                sessions.reorder(cx, place, stream, order, group);
            });
        }
    }
}

/// The receiving half of a stream.
#[derive(Debug)]
pub struct RecvStream<'a, T> {
    access: Access<'a, T>,
    stream: StreamKey,
    of: Whose,
}

impl<T: Transport> RecvStream<'_, T> {
    /// Moves up to `out.len()` chunks, at most `max` bytes, into the front of `out`.
    /// `ReadState::Finished` is told once; after it the half is gone. After
    /// `ReadState::Blocked` a `StreamEvent::Readable` follows.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&mut self, max: usize, out: &mut [Bytes]) -> Result<Read, ReadError> {
        let (stream, slots) = (self.stream, out.len());
        let call = self.access.shell.noted(|| Call::Read(stream, max, slots));
        let result = match self.of {
            Whose::Session(place) => self.access.run(call, |sessions, cx| {
                let read = sessions.read(cx, place, stream, max, out);
                failed(cx.h3, cx.t, read)
            }),
            Whose::Message => self.access.run_http(call, |h3, t| {
                let read = h3.read_content(t, stream, max, out);
                failed(h3, t, read)
            }),
            Whose::Claimed => self.access.run_http(call, |h3, t| {
                let read = h3.read_raw(t, stream, max, out);
                Ok(read.map_err(|gone| match gone {
                    RawGone::Reset { code, .. } => ReadError::Reset(PeerCode::http(code)),
                    RawGone::Over(how) => how,
                }))
            }),
        };
        match result {
            Ok(read) => read,
            Err(Fault::Stream(_, why) | Fault::Connection(why)) => Err(ReadError::Malformed(why)),
        }
    }

    /// Discards what arrives and asks the peer to stop. `code` as for
    /// [`SendStream::reset`].
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn stop(&mut self, code: u64) -> Result<(), ResetError> {
        let stream = self.stream;
        let call = self.access.shell.noted(|| Command::Stop(stream, code));
        let stopped = match self.of {
            Whose::Session(place) => {
                let code = u32::try_from(code).map_err(|_| ResetError::CodeOutOfRange)?;
                self.access.run(call, |sessions, cx| {
                    let stopped = sessions.stop(cx, place, stream, code);
                    failed(cx.h3, cx.t, stopped)
                })
            }
            Whose::Message | Whose::Claimed => {
                check_http(code)?;
                self.access.run_http(call, |h3, t| {
                    let stopped = h3.stop(t, stream, code);
                    failed(h3, t, stopped)
                })
            }
        };
        if stopped == Ok(true) {
            Ok(())
        } else {
            Err(ResetError::Gone)
        }
    }
}
