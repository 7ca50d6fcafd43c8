//! Streams and datagrams that came before their session: QUIC delivers streams
//! in any order, so a stream may name a CONNECT that is still on its way.
//!
//! Bounded in number, bytes and time. A waiting stream's body is not read, so
//! flow control holds its sender back.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::{Cx, Sessions, Standing};
use crate::code::Code;
use crate::fault::Fault;
use crate::id::{SessionKey, StreamId, StreamKey};
use crate::transport::Transport;

#[derive(Debug)]
struct EarlyStream {
    stream: StreamKey,
    session: StreamId,
    until: Instant,
}

#[derive(Debug)]
struct EarlyDatagram {
    session: StreamId,
    payload: Bytes,
    until: Instant,
}

/// What waits for a session.
#[derive(Debug, Default)]
pub(super) struct Pending {
    streams: VecDeque<EarlyStream>,
    datagrams: VecDeque<EarlyDatagram>,
    datagram_bytes: usize,
}

impl Pending {
    pub(super) fn forget_stream(&mut self, stream: StreamKey) {
        self.streams.retain(|early| early.stream != stream);
    }

    pub(super) fn forget_session(&mut self, session: StreamId) {
        self.streams.retain(|early| early.session != session);
        let bytes = &mut self.datagram_bytes;
        self.datagrams.retain(|early| {
            let keep = early.session != session;
            if !keep {
                *bytes -= early.payload.len();
            }
            keep
        });
    }

    fn deadline(&self) -> Option<Instant> {
        let stream = self.streams.front().map(|early| early.until);
        let datagram = self.datagrams.front().map(|early| early.until);
        match (stream, datagram) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

impl Sessions {
    /// When the oldest arrival has waited long enough.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.pending.deadline()
    }

    /// Keeps a stream until its session opens.
    pub(super) fn hold_stream<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        session: StreamId,
    ) -> Result<(), Fault> {
        let limits = &cx.h3.config.limits;
        if self.pending.streams.len() >= limits.early_streams {
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.6
            // Beyond the limit a stream is refused with a code of its own.
            cx.h3.stats.early_streams_rejected += 1;
            self.refuse(cx, stream, Code::WT_BUFFERED_STREAM_REJECTED);
            self.on_stream_lost(cx);
            return cx.h3.nuisance(1);
        }
        let until = cx.now + limits.early_timeout;
        cx.h3.stats.early_streams += 1;
        self.pending.streams.push_back(EarlyStream {
            stream,
            session,
            until,
        });
        Ok(())
    }

    /// Keeps a datagram until its session opens, or drops it.
    pub(super) fn hold_datagram<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        session: StreamId,
        payload: Bytes,
    ) {
        let limits = &cx.h3.config.limits;
        let pending = &mut self.pending;
        if pending.datagrams.len() >= limits.early_datagrams
            || pending.datagram_bytes + payload.len() > limits.early_datagram_bytes
        {
            cx.h3.stats.datagrams_overflowed += 1;
            return;
        }
        let until = cx.now + limits.early_timeout;
        pending.datagram_bytes += payload.len();
        pending.datagrams.push_back(EarlyDatagram {
            session,
            payload,
            until,
        });
    }

    /// A session opened: hands over what waited for it, in order of arrival.
    pub(super) fn release<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        session: SessionKey,
    ) -> Result<(), Fault> {
        let mut result = Ok(());
        let id = session.id();
        let (mine, others) = std::mem::take(&mut self.pending.streams)
            .into_iter()
            .partition(|early| early.session == id);
        self.pending.streams = others;
        let mine: VecDeque<EarlyStream> = mine;
        for early in mine {
            // Beyond the limit we announced, the rest is not taken either.
            if result.is_ok() {
                result = self.attach(cx, session, early.stream, early.stream.id().dir());
            } else {
                self.refuse(cx, early.stream, Code::WT_SESSION_GONE);
            }
        }
        self.release_datagrams(cx, session.stream());
        result
    }

    /// A stream takes datagrams from now on: hands over those that waited for it.
    pub(crate) fn release_datagrams<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
    ) {
        if self.pending.datagrams.is_empty() {
            return;
        }
        let (mine, others): (VecDeque<EarlyDatagram>, _) =
            std::mem::take(&mut self.pending.datagrams)
                .into_iter()
                .partition(|early| early.session == stream.id());
        self.pending.datagrams = others;
        for early in mine {
            self.pending.datagram_bytes -= early.payload.len();
            self.deliver(cx, stream, early.payload);
        }
    }

    /// A session will not open, or is over: refuses what waited for it.
    pub(super) fn refuse_pending<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        id: StreamId,
        code: Code,
    ) {
        self.refuse_streams(cx, id, code);
        self.pending.forget_session(id);
    }

    /// As [`Self::refuse_pending`] for streams alone: the id is a request's, which
    /// may have datagrams of its own.
    pub(super) fn refuse_streams<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        id: StreamId,
        code: Code,
    ) {
        if self.pending.streams.is_empty() {
            return;
        }
        let (mine, others): (VecDeque<EarlyStream>, _) = std::mem::take(&mut self.pending.streams)
            .into_iter()
            .partition(|early| early.session == id);
        self.pending.streams = others;
        for early in mine {
            self.refuse(cx, early.stream, code);
        }
    }

    /// Refuses what has waited too long. What waits for a session that the
    /// application or the peer is deciding on goes on waiting.
    pub(crate) fn handle_timeout<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        let timeout = cx.h3.config.limits.early_timeout;
        while let Some(early) = self.pending.streams.front()
            && early.until <= cx.now
        {
            let Some(mut early) = self.pending.streams.pop_front() else {
                break;
            };
            if self.is_being_decided(cx, early.session) {
                early.until = cx.now + timeout;
                self.pending.streams.push_back(early);
                continue;
            }
            cx.h3.stats.early_streams_rejected += 1;
            self.refuse(cx, early.stream, Code::WT_BUFFERED_STREAM_REJECTED);
            self.on_stream_lost(cx);
            cx.h3.nuisance(1)?;
        }
        while let Some(early) = self.pending.datagrams.front()
            && early.until <= cx.now
        {
            let Some(mut early) = self.pending.datagrams.pop_front() else {
                break;
            };
            if self.is_being_decided(cx, early.session) {
                early.until = cx.now + timeout;
                self.pending.datagrams.push_back(early);
                continue;
            }
            self.pending.datagram_bytes -= early.payload.len();
            cx.h3.stats.datagrams_unclaimed += 1;
        }
        Ok(())
    }

    fn is_being_decided<T: Transport>(&self, cx: &Cx<'_, T>, session: StreamId) -> bool {
        cx.h3.table.find(session).is_some_and(|key| {
            self.registry.get(cx.h3, SessionKey(key)).is_some()
                && matches!(self.standing(cx.h3, session), Standing::Expected)
        })
    }
}
