//! Sessions on one HTTP/3 connection: extended CONNECT streams, the data streams
//! that name them, and their datagrams.
//!
//! ```text
//!  H3Event ──▶ route.rs ──┬─▶ the application       what no session owns
//!                         └─▶ a kind                webtransport/
//!  datagram ─▶ datagrams.rs ─▶ a ring
//!              floor/      what every kind stands on, and which knows none of them
//! ```
//!
//! Only the files directly in this folder name all kinds. `route.rs` finds the owner of
//! a stream with one look-up and hands the event on; it also looks after what came
//! before its session, since that is of no kind yet.

pub(crate) mod datagrams;
pub(crate) mod floor;
mod route;
pub(crate) mod webtransport;

pub(crate) use self::floor::Cx;
pub(crate) use self::floor::owner::Owner;

use bytes::Bytes;

use crate::code::Code;
use crate::config::Config;
use crate::error::{ReadError, ResetError, SendError, WriteError};
use crate::fault::Fault;
use crate::h3::Claims;
use crate::h3::connection::H3;
use crate::head::ResponseHead;
use crate::id::{Dir, SessionKey, Side, StreamKey};
use crate::time::heap::Timers;
#[cfg(feature = "quinn")]
use crate::transport::Caps;
use crate::transport::{Read, Transport};
use crate::webtransport::dialect::{Negotiated, NegotiationFailure};
use crate::webtransport::{
    AcceptError, ConnectAnswer, ConnectRequest, OpenSessionError, OpenStreamError, RejectError,
    SessionError, SessionStats,
};
#[cfg(feature = "quinn")]
use crate::wire::settings::SettingId;
use crate::wire::stream_type::{UniType, WT_BIDI_SIGNAL};

use self::floor::pending::Pending;
use self::floor::registry::{Entry, Life, Registry};
use self::floor::rings::{Outbox, Rings};
use self::webtransport::{Session, WebTransport};

/// What a session is, beside what all of them are.
#[derive(Debug)]
pub(crate) enum Kind {
    WebTransport(Session),
}

/// The session storey of one connection.
#[derive(Debug)]
pub(crate) struct Sessions {
    registry: Registry<Kind>,
    rings: Rings,
    outbox: Outbox,
    pending: Pending,
    /// Sessions that have ended and whose CONNECT streams have not.
    closing: Timers<SessionKey>,
    webtransport: WebTransport,
}

/// The stream types this storey takes.
pub(crate) fn claims(webtransport: bool) -> Claims {
    if !webtransport {
        return Claims::default();
    }
    Claims {
        uni: Some(UniType::WebTransport.value()),
        bidi: Some(WT_BIDI_SIGNAL),
    }
}

/// The settings of this storey over such a transport.
#[cfg(feature = "quinn")]
pub(crate) fn announced(config: &Config, caps: Caps) -> Vec<(SettingId, u64)> {
    webtransport::negotiate::settings(config, webtransport::negotiate::offered(config, caps))
}

impl Sessions {
    pub(crate) fn new(side: Side, config: &Config) -> Self {
        Self {
            registry: Registry::default(),
            rings: Rings::default(),
            outbox: Outbox::default(),
            pending: Pending::default(),
            closing: Timers::default(),
            webtransport: WebTransport::new(side, config),
        }
    }

    /// Chooses what to announce on this transport.
    pub(crate) fn announce<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        self.webtransport.announce(cx);
    }

    /// What was agreed on for WebTransport, or everything that is missing.
    pub(crate) fn negotiate<T: Transport>(
        &self,
        h3: &H3,
        t: &T,
    ) -> Result<Negotiated, NegotiationFailure> {
        self.webtransport.negotiate(h3, t)
    }

    /// Whether a WebTransport session could be opened now (client).
    pub(crate) fn may_open<T: Transport>(&self, h3: &H3, t: &T) -> Result<(), OpenSessionError> {
        self.webtransport.may_open(h3, t, self.registry.live())
    }

    /// Asks the server for a WebTransport session.
    pub(crate) fn open<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        request: &ConnectRequest,
    ) -> Result<SessionKey, OpenSessionError> {
        self.may_open(cx.h3, cx.t)?;
        let (key, session) = self.webtransport.open(cx, request)?;
        let entry = Entry::new(key, Life::Asked, Kind::WebTransport(session));
        self.registry.insert(cx.h3, entry);
        Ok(key)
    }

    /// Accepts a WebTransport session (server).
    pub(crate) fn accept<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        answer: &ConnectAnswer,
    ) -> Result<(), AcceptError> {
        let accepted = self.with_key(cx, key, |session| session.accept(answer));
        accepted.unwrap_or(Err(AcceptError::Gone))?;
        // What came with the request, and waited for the answer.
        let result = self.with_key(cx, key, |session| session.on_readable());
        cx.h3.fail(cx.t, result.unwrap_or(Ok(())));
        Ok(())
    }

    /// Turns a WebTransport session down (server).
    pub(crate) fn reject<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        head: &ResponseHead,
        content: Bytes,
    ) -> Result<(), RejectError> {
        let rejected = self.with_key(cx, key, |session| session.reject(head, content));
        rejected.unwrap_or(Err(RejectError::Gone))
    }

    /// Closes a WebTransport session from this side.
    pub(crate) fn close<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        code: u32,
        reason: &str,
    ) -> Result<(), SessionError> {
        let closed = self.with_key(cx, key, |session| session.close(code, reason));
        closed.unwrap_or(Err(SessionError::Gone))
    }

    /// Asks the peer to wind a WebTransport session down.
    pub(crate) fn drain<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
    ) -> Result<(), SessionError> {
        let drained = self.with_key(cx, key, |session| session.drain());
        drained.unwrap_or(Err(SessionError::Gone))
    }

    /// Opens a data stream in a session.
    pub(crate) fn open_stream<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        dir: Dir,
    ) -> Result<StreamKey, OpenStreamError> {
        let index = Registry::<Kind>::find(cx.h3, key).ok_or(OpenStreamError::SessionGone)?;
        let mut session = self.lend(cx, index).ok_or(OpenStreamError::SessionGone)?;
        session.open_stream(dir)
    }

    /// Writes to a session's data stream.
    #[inline]
    pub(crate) fn write<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        place: u32,
        stream: StreamKey,
        chunks: &mut [Bytes],
    ) -> Result<usize, WriteError> {
        let mut session = self.lend_for(cx, place, stream).ok_or(WriteError::Gone)?;
        session.write(place, stream, chunks)
    }

    /// Reads from a session's data stream.
    #[inline]
    pub(crate) fn read<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        place: u32,
        stream: StreamKey,
        max: usize,
        out: &mut [Bytes],
    ) -> Result<Result<Read, ReadError>, Fault> {
        let Some(mut session) = self.lend_for(cx, place, stream) else {
            return Ok(Err(ReadError::Gone));
        };
        let read = session.read(stream, max, out)?;
        if let Err(ReadError::Reset(code)) = read {
            self.on_stream_cut(cx, place, code)?;
        }
        Ok(read)
    }

    /// Ends a session's data stream after what was written.
    pub(crate) fn finish<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        place: u32,
        stream: StreamKey,
    ) -> Result<(), SendError> {
        let mut session = self.lend_for(cx, place, stream).ok_or(SendError::Gone)?;
        session.finish(stream)
    }

    /// Abandons the sending half of a session's data stream.
    pub(crate) fn reset<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        place: u32,
        stream: StreamKey,
        code: u32,
    ) -> Result<(), ResetError> {
        let mut session = self.lend_for(cx, place, stream).ok_or(ResetError::Gone)?;
        session.reset(stream, code)
    }

    /// Gives up the receiving half of a session's data stream; false when it was over.
    pub(crate) fn stop<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        place: u32,
        stream: StreamKey,
        code: u32,
    ) -> Result<bool, Fault> {
        match self.lend_for(cx, place, stream) {
            Some(mut session) => session.stop(stream, code),
            None => Ok(false),
        }
    }

    /// Changes the order or group of a session's data stream.
    pub(crate) fn reorder<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        place: u32,
        stream: StreamKey,
        order: Option<i32>,
        group: Option<u32>,
    ) {
        if let Some(mut session) = self.lend_for(cx, place, stream) {
            session.reorder(place, order, group);
        }
    }

    /// What a session that is not over has counted.
    pub(crate) fn stats(&self, h3: &H3, key: SessionKey) -> Option<SessionStats> {
        let entry = self.registry.get(Registry::<Kind>::find(h3, key)?)?;
        let Kind::WebTransport(session) = &entry.kind;
        (!entry.life.is_over()).then(|| SessionStats {
            dialect: self.webtransport.dialect(),
            ..session.stats(entry.ring.as_ref(), &self.webtransport.terms)
        })
    }

    /// Whether a stream is a session's CONNECT stream.
    pub(crate) fn is_session(h3: &H3, stream: StreamKey) -> bool {
        matches!(Owner::find(h3, stream), Owner::Connect(_))
    }

    /// Refuses a stream, both halves as far as they are open; never the connection.
    fn refuse<T: Transport>(cx: &mut Cx<'_, T>, stream: StreamKey, code: Code) {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.6
        // It waits for no session any more, so the code says why.
        cx.h3.abandon(cx.t, stream, code);
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests;
