//! What an application does with a connection: requests, sessions, streams,
//! datagrams, shutdown.

use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::code::Code;
use crate::command::{Call, Command, Outcome};
use crate::connection::{Connection, Life, State, Watched};
use crate::dialect::{Negotiated, NegotiationFailure};
use crate::error::{
    DatagramError, Gone, OpenError, ReadError, ResetError, SendError, SessionError, WriteError,
};
use crate::fault::Fault;
use crate::h3::connection::H3;
use crate::h3::streams::{Kind, Slot};
use crate::head::{ConnectAnswer, ConnectRequest, End, RequestHead, ResponseHead};
use crate::id::{Dir, SessionKey, Side, StreamKey};
use crate::session::{Cx, Sessions};
use crate::stats::{SessionStats, Stats};
use crate::transport::{Read, Transport};
use crate::wire::datagram::ContextId;
use crate::wire::priority::Priority;
use crate::wire::settings::Settings;

/// A connection borrowed together with its transport.
#[derive(Debug)]
pub struct Access<'a, T> {
    pub(crate) conn: &'a mut Connection,
    pub(crate) t: &'a mut T,
    pub(crate) now: Instant,
}

impl<T: Transport> Access<'_, T> {
    /// Sends a request (client). With [`End::More`], content follows through
    /// [`Self::send`]. CONNECT, plain or extended, is never ended by its head.
    ///
    /// A request is over when its response was read to the end, or stopped, and
    /// its own content was finished, or reset.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was sent.
    pub fn request(&mut self, head: &RequestHead, end: End) -> Result<StreamKey, OpenError> {
        self.may_open()?;
        //= https://www.rfc-editor.org/rfc/rfc9220#section-3
        // `:protocol` goes to servers alone that have said they take it.
        if head.protocol.is_some() {
            let settings = self.peer_settings().ok_or(OpenError::SettingsNotReceived)?;
            if !settings.enable_connect_protocol() {
                return Err(OpenError::ConnectProtocolNotEnabled);
            }
        }
        let call = self
            .conn
            .noted(|| Command::Request(Box::new(head.clone()), end));
        self.run(call, |_, cx| cx.h3.request(cx.t, head, end))
    }

    /// Whether this side may begin something new.
    fn may_open(&self) -> Result<(), OpenError> {
        match self.conn.state.life {
            Life::Handshaking => return Err(OpenError::NotConnected),
            Life::Closed => return Err(OpenError::Closed),
            Life::Established => {}
        }
        if self.conn.side() == Side::Server {
            return Err(OpenError::WrongSide);
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
        // After a GOAWAY in either direction no request is begun.
        if self.conn.state.h3.goaway_received.is_some() || self.conn.state.h3.goaway_sent.is_some()
        {
            return Err(OpenError::Draining);
        }
        Ok(())
    }

    /// Answers a request (server). A status of 100 to 199 (not 101) sends an
    /// interim response and leaves the final one to be sent.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn respond(
        &mut self,
        stream: StreamKey,
        head: &ResponseHead,
        end: End,
    ) -> Result<(), SendError> {
        if self.is_session(stream) {
            return Err(SendError::WrongState);
        }
        let call = self
            .conn
            .noted(|| Command::Respond(stream, Box::new(head.clone()), end));
        self.run(call, |_, cx| cx.h3.respond(cx.t, stream, head, end))
    }

    /// Sends trailers and ends the message.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn trailers(&mut self, stream: StreamKey, trailers: &HeaderMap) -> Result<(), SendError> {
        if self.is_session(stream) {
            return Err(SendError::WrongState);
        }
        let call = self
            .conn
            .noted(|| Command::Trailers(stream, Box::new(trailers.clone())));
        self.run(call, |_, cx| cx.h3.send_trailers(cx.t, stream, trailers))
    }

    /// Announces the request's priority to the server (client, PRIORITY_UPDATE of
    /// RFC 9218), or overrides it locally (server).
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over or no request's.
    pub fn set_priority(&mut self, stream: StreamKey, priority: Priority) -> Result<(), Gone> {
        let slot = self.slot(stream).ok_or(Gone)?;
        slot.exchange_ref().ok_or(Gone)?;
        let call = self.conn.noted(|| Command::SetPriority(stream, priority));
        self.run(call, |_, cx| {
            cx.h3.reprioritize(cx.t, stream, priority);
            if cx.h3.side == Side::Client {
                cx.h3.send_priority_update(cx.t, stream.id(), priority);
            }
        });
        Ok(())
    }

    /// Asks for a WebTransport session (client). The request is never early data and
    /// waits for the SETTINGS of this very connection, whatever an earlier one to the
    /// same server has announced.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was sent.
    pub fn open_session(&mut self, request: &ConnectRequest) -> Result<SessionKey, OpenError> {
        self.may_open()?;
        let call = self
            .conn
            .noted(|| Command::OpenSession(Box::new(request.clone())));
        self.run(call, |sessions, cx| sessions.open(cx, request))
    }

    /// Accepts a requested session (server).
    ///
    /// # Errors
    /// [`SessionError`]; nothing was sent.
    pub fn accept_session(
        &mut self,
        session: SessionKey,
        answer: &ConnectAnswer,
    ) -> Result<(), SessionError> {
        let call = self
            .conn
            .noted(|| Command::AcceptSession(session, Box::new(answer.clone())));
        self.run(call, |sessions, cx| sessions.accept(cx, session, answer))
    }

    /// Rejects a requested session with a status of 300 to 599 (server). The
    /// session is gone; no `Closed` event follows.
    ///
    /// # Errors
    /// [`SessionError`]; nothing was sent.
    pub fn reject_session(
        &mut self,
        session: SessionKey,
        status: StatusCode,
    ) -> Result<(), SessionError> {
        self.reject_session_with(session, &ResponseHead::new(status), Bytes::new())
    }

    /// As [`Self::reject_session`], with fields and content that say why. The
    /// content is held until the peer takes it: keep it short.
    ///
    /// # Errors
    /// [`SessionError`]; nothing was sent.
    pub fn reject_session_with(
        &mut self,
        session: SessionKey,
        head: &ResponseHead,
        content: Bytes,
    ) -> Result<(), SessionError> {
        let call = self
            .conn
            .noted(|| Command::RejectSession(session, Box::new(head.clone()), content.clone()));
        self.run(call, |sessions, cx| {
            sessions.reject(cx, session, head, content)
        })
    }

    /// Asks the peer to wind the session down (WT_DRAIN_SESSION). Repeating it is
    /// harmless.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn drain_session(&mut self, session: SessionKey) -> Result<(), SessionError> {
        let call = self.conn.noted(|| Command::DrainSession(session));
        self.run(call, |sessions, cx| sessions.drain(cx, session))
    }

    /// Ends the session: code and reason reach the peer, its streams are reset.
    /// `Closed` is queued as the session's last event. O(streams of the session).
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn close_session(
        &mut self,
        session: SessionKey,
        code: u32,
        reason: &str,
    ) -> Result<(), SessionError> {
        let call = self
            .conn
            .noted(|| Command::CloseSession(session, code, reason.to_owned()));
        self.run(call, |sessions, cx| {
            sessions.close(cx, session, code, reason)
        })
    }

    /// Opens a stream in an established session. Its header goes out at once.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_stream(&mut self, session: SessionKey, dir: Dir) -> Result<StreamKey, OpenError> {
        if self.conn.state.life == Life::Closed {
            return Err(OpenError::Closed);
        }
        let call = self.conn.noted(|| Command::OpenStream(session, dir));
        self.run(call, |sessions, cx| sessions.open_stream(cx, session, dir))
    }

    /// The sending half of a stream.
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over, a session's own CONNECT stream, and one
    /// that has no sending half.
    pub fn send(&mut self, stream: StreamKey) -> Result<SendStream<'_, T>, Gone> {
        if self.conn.state.life == Life::Closed {
            return Err(Gone);
        }
        self.check_stream(stream)?;
        if stream.id.dir() == Dir::Uni && stream.id.initiator() != self.conn.side() {
            return Err(Gone);
        }
        Ok(SendStream {
            access: self.reborrow(),
            stream,
        })
    }

    /// The receiving half of a stream.
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over, a session's own CONNECT stream, and one
    /// that has no receiving half.
    pub fn recv(&mut self, stream: StreamKey) -> Result<RecvStream<'_, T>, Gone> {
        self.check_stream(stream)?;
        if stream.id.dir() == Dir::Uni && stream.id.initiator() == self.conn.side() {
            return Err(Gone);
        }
        Ok(RecvStream {
            access: self.reborrow(),
            stream,
        })
    }

    fn check_stream(&self, stream: StreamKey) -> Result<(), Gone> {
        let slot = self.slot(stream).ok_or(Gone)?;
        let is_public = matches!(slot.kind, Kind::Exchange(_) | Kind::Raw);
        if is_public && !self.is_session(stream) {
            Ok(())
        } else {
            Err(Gone)
        }
    }

    fn run<R>(
        &mut self,
        call: Option<Box<Call>>,
        work: impl FnOnce(&mut Sessions, &mut Cx<'_, Watched<'_, T>>) -> R,
    ) -> R
    where
        for<'r> Outcome: From<&'r R>,
    {
        self.conn.run(self.t, self.now, call, work)
    }

    fn reborrow(&mut self) -> Access<'_, T> {
        Access {
            conn: self.conn,
            t: self.t,
            now: self.now,
        }
    }

    fn slot(&self, stream: StreamKey) -> Option<&Slot> {
        self.conn.state.h3.table.get(stream)
    }

    fn is_session(&self, stream: StreamKey) -> bool {
        Sessions::is_session(&self.conn.state.h3, stream)
    }

    /// Takes datagrams for a request that is not a session from here on. For CONNECT
    /// there are those, too, that came since its head, within the limits for early
    /// ones; a datagram ends any other request before this.
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over or no request's.
    pub fn enable_datagrams(&mut self, stream: StreamKey) -> Result<(), Gone> {
        let slot = self.slot(stream).ok_or(Gone)?;
        slot.exchange_ref().ok_or(Gone)?;
        if self.is_session(stream) {
            return Ok(());
        }
        let call = self.conn.noted(|| Command::EnableDatagrams(stream));
        self.run(call, |sessions, cx| sessions.enable_datagrams(cx, stream));
        Ok(())
    }

    /// Sends one datagram of a session or request. One copy; no allocation once the
    /// buffer is warm. After `Blocked` an unblocked event follows.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was sent.
    pub fn send_datagram(
        &mut self,
        stream: impl Into<StreamKey>,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        self.send_datagram_parts(stream.into(), [payload, &[]])
    }

    /// As [`Self::send_datagram`] for a request, with a context id before the payload:
    /// still one copy.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was sent.
    pub fn send_datagram_in(
        &mut self,
        stream: StreamKey,
        context: ContextId,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        self.send_datagram_parts(stream, [&context.encode(), payload])
    }

    fn send_datagram_parts(
        &mut self,
        stream: StreamKey,
        payload: [&[u8]; 2],
    ) -> Result<(), DatagramError> {
        if self.conn.state.life == Life::Closed {
            return Err(DatagramError::Gone);
        }
        let call = self
            .conn
            .noted(|| Call::SendDatagram(stream, payload.concat().into()));
        self.run(call, |sessions, cx| {
            sessions.send_datagram(cx, stream, payload)
        })
    }

    /// The oldest datagram that waits for a session or request, a context id included:
    /// see [`ContextId::split`].
    pub fn recv_datagram(&mut self, stream: impl Into<StreamKey>) -> Option<Bytes> {
        let stream = stream.into();
        self.conn.pop_datagram(self.t, self.now, stream)
    }

    /// Largest payload [`Self::send_datagram`] takes at present, in bytes, a context id
    /// included; `None` when datagrams are not usable.
    #[must_use]
    pub fn max_datagram_size(&self, stream: impl Into<StreamKey>) -> Option<usize> {
        self.conn
            .state
            .sessions
            .max_datagram_size(&self.conn.state.h3, self.t, stream.into())
    }

    /// Datagrams of a session or request that were dropped because the application did
    /// not take them; 0 when it is gone.
    #[must_use]
    pub fn datagrams_overflowed(&self, stream: impl Into<StreamKey>) -> u64 {
        let State { h3, sessions, .. } = &self.conn.state;
        sessions.datagrams_overflowed(h3, stream.into())
    }

    /// Winds the connection down: GOAWAY, WT_DRAIN_SESSION to each session, nothing
    /// new; closes with H3_NO_ERROR when all has ended or `until` has come.
    /// Repeating it can only bring `until` forward.
    pub fn drain(&mut self, until: Instant) {
        self.conn.drain(self.t, self.now, until);
    }

    /// Closes the connection at once. No effect on one that is closed. The reason is for
    /// people, best in UTF-8; as much of it as fits a packet reaches the peer.
    pub fn close(&mut self, code: Code, reason: impl Into<Bytes>) {
        self.conn.close(self.t, self.now, code, reason.into());
    }

    /// The peer's SETTINGS, once they arrived.
    #[must_use]
    pub fn peer_settings(&self) -> Option<&Settings> {
        self.conn.state.h3.peer_settings.as_ref()
    }

    /// Whether a session could be opened now, and why not (client).
    ///
    /// # Errors
    /// The [`OpenError`] that [`Self::open_session`] would give.
    pub fn webtransport(&self) -> Result<(), OpenError> {
        self.may_open()?;
        self.conn
            .state
            .sessions
            .may_open(&self.conn.state.h3, self.t)
    }

    /// What both sides agreed on for sessions.
    ///
    /// # Errors
    /// [`NegotiationFailure`] names everything that is missing, on either side.
    pub fn negotiated(&self) -> Result<Negotiated, NegotiationFailure> {
        self.conn
            .state
            .sessions
            .negotiate(&self.conn.state.h3, self.t)
    }

    /// What the connection has counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.conn.stats()
    }

    /// Streams of every kind that are in the tables at present.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.conn.live_streams()
    }

    /// What a session has counted; `None` when it is gone.
    #[must_use]
    pub fn session_stats(&self, session: SessionKey) -> Option<SessionStats> {
        let State { h3, sessions, .. } = &self.conn.state;
        sessions.stats(h3, session)
    }

    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        self.conn.side()
    }
}

/// The sending half of a stream.
#[derive(Debug)]
pub struct SendStream<'a, T> {
    access: Access<'a, T>,
    stream: StreamKey,
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
            .conn
            .noted(|| Call::Write(stream, chunks.to_vec()));
        self.access
            .run(call, |sessions, cx| match kind(cx.h3, stream) {
                Some(Kind::Raw) => sessions.write(cx, stream, chunks),
                Some(Kind::Exchange(_)) => cx.h3.write_content(cx.t, stream, chunks),
                _ => Err(WriteError::Gone),
            })
    }

    /// Ends the stream or message after what was written.
    ///
    /// # Errors
    /// [`SendError`].
    pub fn finish(&mut self) -> Result<(), SendError> {
        let stream = self.stream;
        let call = self.access.conn.noted(|| Command::Finish(stream));
        self.access
            .run(call, |sessions, cx| match kind(cx.h3, stream) {
                Some(Kind::Raw) => sessions.finish(cx, stream),
                _ => cx.h3.finish(cx.t, stream),
            })
    }

    /// Abandons the stream. `code` is a WebTransport application code (32 bits) on a
    /// session's stream, an HTTP/3 code (62 bits) on any other.
    ///
    /// # Errors
    /// [`ResetError`].
    pub fn reset(&mut self, code: u64) -> Result<(), ResetError> {
        let stream = self.stream;
        let call = self.access.conn.noted(|| Command::Reset(stream, code));
        let code = self.access.code(stream, code)?;
        self.access.run(call, |sessions, cx| match code {
            StreamCode::WebTransport(code) => sessions.reset(cx, stream, code),
            StreamCode::Http(code) => cx.h3.reset(cx.t, stream, code),
        })
    }

    /// Order of this stream among the streams of its session and group: higher goes
    /// first, streams of the same order share. Default 0. No effect on a request's
    /// stream, which has a [`Priority`] instead.
    ///
    /// An order counts within its session only. The highest order in use of every
    /// session shares with that of the others; streams of lower orders step back,
    /// behind what other sessions of the same urgency have to send. Beyond 64
    /// different orders in use in one group the lowest share. Bytes the transport
    /// holds already may keep their turn. O(n log n) for n streams of the session,
    /// as is then the end of each of them.
    pub fn set_order(&mut self, order: i32) {
        self.reorder(Command::SetOrder(self.stream, order), Some(order), None);
    }

    /// Group of this stream in its session: orders are compared within a group, and
    /// groups share. Default 0. Otherwise as [`Self::set_order`].
    pub fn set_group(&mut self, group: u32) {
        self.reorder(Command::SetGroup(self.stream, group), None, Some(group));
    }

    fn reorder(&mut self, command: Command, order: Option<i32>, group: Option<u32>) {
        let stream = self.stream;
        let call = self.access.conn.noted(|| command);
        self.access.run(call, |sessions, cx| {
            sessions.reorder(cx, stream, order, group);
        });
    }
}

/// The receiving half of a stream.
#[derive(Debug)]
pub struct RecvStream<'a, T> {
    access: Access<'a, T>,
    stream: StreamKey,
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
        let call = self.access.conn.noted(|| Call::Read(stream, max, slots));
        let Access { conn, t, now } = &mut self.access;
        let result = conn.run_fallible(*t, *now, call, |sessions, cx| match kind(cx.h3, stream) {
            Some(Kind::Raw) => sessions.read(cx, stream, max, out),
            Some(Kind::Exchange(_)) => cx.h3.read_content(cx.t, stream, max, out),
            _ => Ok(Err(ReadError::Gone)),
        });
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
        let call = self.access.conn.noted(|| Command::Stop(stream, code));
        let code = self.access.code(stream, code)?;
        let Access { conn, t, now } = &mut self.access;
        let stopped = conn.run_fallible(*t, *now, call, |sessions, cx| match code {
            StreamCode::WebTransport(code) => sessions.stop(cx, stream, code),
            StreamCode::Http(code) => cx.h3.stop(cx.t, stream, code),
        });
        if stopped == Ok(true) {
            Ok(())
        } else {
            Err(ResetError::Gone)
        }
    }
}

/// What a stream is, as the layer below knows it.
fn kind(h3: &H3, stream: StreamKey) -> Option<&Kind> {
    h3.table.get(stream).map(|slot| &slot.kind)
}

/// An application's code, by whose stream it is for.
#[derive(Copy, Clone)]
enum StreamCode {
    WebTransport(u32),
    Http(u64),
}

impl<T: Transport> Access<'_, T> {
    /// An application's code for a stream, if it is in the stream's range.
    fn code(&self, stream: StreamKey, code: u64) -> Result<StreamCode, ResetError> {
        match kind(&self.conn.state.h3, stream) {
            None => Err(ResetError::Gone),
            Some(Kind::Raw) => u32::try_from(code)
                .map(StreamCode::WebTransport)
                .map_err(|_| ResetError::CodeOutOfRange),
            Some(_) if code < 1 << 62 => Ok(StreamCode::Http(code)),
            Some(_) => Err(ResetError::CodeOutOfRange),
        }
    }
}
