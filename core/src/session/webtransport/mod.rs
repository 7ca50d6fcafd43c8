//! WebTransport: sessions with streams and datagrams of their own.
//!
//! ```text
//!  handshake.rs   CONNECT over HTTP/3: asking, being asked, answering
//!  negotiate.rs   which dialect a connection speaks, or what is missing
//!  life.rs        capsules, draining, the end
//!  streams.rs     data streams: opening, being given, bytes both ways
//!  flow.rs        the session's own limits          order.rs   who goes first
//!  table.rs       the streams of all sessions
//!  carrier.rs     what a session needs below it  ◀── over_h3.rs
//! ```
//!
//! A session at work is a [`SessionMut`]: its state, its streams and a carrier, on
//! loan from whoever keeps them. What may open or end a session is done by way of
//! `Sessions::with` (`session/route.rs`), which looks at its life afterwards: what
//! waited for it is handed over when it has opened, and refused when it is over. Plain
//! loans, for what happens on data streams, do not look.

pub(crate) mod carrier;
mod flow;
pub(crate) mod handshake;
mod life;
pub(crate) mod negotiate;
mod order;
pub(crate) mod over_h3;
mod streams;
pub(crate) mod table;

use std::collections::VecDeque;
use std::time::Instant;

use self::flow::{Limited, Three};
use self::table::{List, Table};
use super::floor::capsules::CapsuleStream;
use super::floor::registry::Life;
use super::floor::rings::Ring;
use crate::config::{Config, Limits};
use crate::event::{Event, StreamEvent};
use crate::id::{Dir, SessionKey, Side, StreamKey};
use crate::time::after;
use crate::webtransport::dialect::{Dialect, Dialects, Negotiated};
use crate::webtransport::{ConnectRequest, SessionEvent, SessionLimits, SessionStats};

/// What a connection knows of WebTransport beside its sessions.
#[derive(Debug)]
pub(crate) struct WebTransport {
    /// The dialects we announced, and still offer.
    pub(crate) offered: Dialects,
    /// Whether the first request had the token of drafts 15 and 16.
    asked_newest: Option<bool>,
    /// What all its sessions keep to.
    pub(crate) terms: Terms,
    /// The data streams of all sessions.
    pub(crate) streams: Table,
    /// Streams that were lost lately, for sessions whose CONNECT is still under way.
    lost: Lost,
    /// Until when they are remembered.
    lost_until: Option<Instant>,
}

/// Peer's streams that were lost before any session got them. The peer counts each
/// against one session's limits; which one is not known.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Lost {
    bi: u64,
    uni: u64,
}

impl Lost {
    fn of(&mut self, dir: Dir) -> &mut u64 {
        match dir {
            Dir::Bi => &mut self.bi,
            Dir::Uni => &mut self.uni,
        }
    }
}

impl WebTransport {
    pub(crate) fn new(side: Side, config: &Config) -> Self {
        let terms = Terms {
            side,
            negotiated: None,
            first_limits: None,
            strict_draining: config.webtransport.strict_draining,
            end_drained: config.webtransport.end_drained_sessions,
            max_datagram: config.limits.datagram_capsule,
        };
        Self {
            offered: Dialects::NONE,
            asked_newest: None,
            terms,
            streams: Table::default(),
            lost: Lost::default(),
            lost_until: None,
        }
    }

    /// The dialect that is spoken, once that is known.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        self.terms.negotiated.map(|negotiated| negotiated.dialect)
    }

    /// A stream was lost that may belong to a session which is yet to come.
    pub(crate) fn note_lost(&mut self, limits: &Limits, now: Instant, dir: Dir) {
        self.forget_lost(now);
        *self.lost.of(dir) += 1;
        self.lost_until = Some(after(now, limits.early_timeout));
    }

    /// A session that begins now, with what may have been lost of it.
    pub(crate) fn session(&mut self, now: Instant) -> Session {
        self.forget_lost(now);
        Session {
            lost: self.lost,
            ..Session::default()
        }
    }

    /// A CONNECT is under way for so long at most.
    fn forget_lost(&mut self, now: Instant) {
        if self.lost_until.is_some_and(|until| until <= now) {
            self.lost = Lost::default();
            self.lost_until = None;
        }
    }
}

/// What a WebTransport session is beside an entry of the registry.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// The request that the application has not been asked about.
    request: Option<Box<ConnectRequest>>,
    /// The request's token is that of drafts 15 and 16.
    newest: bool,
    /// The request carried the version field of draft 02.
    draft02: bool,
    /// Application protocols the client offered.
    offered: Box<[String]>,
    /// The session ends when none is selected (client).
    protocol_required: bool,
    /// Limits of its own, when negotiated.
    flow: Limited,
    /// Streams of the peer that may have been this session's and were lost.
    lost: Lost,
    /// Its streams.
    list: List,
    drain_sent: bool,
    drain_told: bool,
    /// The peer has stopped the CONNECT stream with the code and has not yet ended the
    /// session.
    pub(crate) stopped: Option<u64>,
    pub(crate) stats: Counts,
}

/// What a session counts.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Counts {
    opened_bi: u64,
    opened_uni: u64,
    accepted_bi: u64,
    accepted_uni: u64,
    bytes_sent: u64,
    bytes_received: u64,
    pub(crate) datagrams_sent: u64,
    pub(crate) datagrams_received: u64,
}

/// What a session keeps to: the connection's terms, as they stand.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) side: Side,
    /// What was agreed on, once both SETTINGS are known.
    pub(crate) negotiated: Option<Negotiated>,
    /// The first limits of every session that has any: the peer's, and ours.
    first_limits: Option<(Three, Three)>,
    /// No new streams while the peer drains the session.
    pub(crate) strict_draining: bool,
    /// A session that drains ends with its last stream.
    pub(crate) end_drained: bool,
    /// Longest DATAGRAM capsule taken, in bytes.
    pub(crate) max_datagram: u64,
}

/// A session at work.
pub(crate) struct SessionMut<'a, C> {
    pub(crate) key: SessionKey,
    /// Its entry in the registry.
    pub(crate) index: u32,
    pub(crate) life: &'a mut Life,
    pub(crate) ring: &'a mut Option<Ring>,
    pub(crate) capsules: &'a mut CapsuleStream,
    pub(crate) session: &'a mut Session,
    pub(crate) streams: &'a mut Table,
    pub(crate) carrier: C,
    pub(crate) out: &'a mut VecDeque<Event>,
    pub(crate) terms: &'a Terms,
    /// Other sessions share the connection.
    pub(crate) shared: bool,
}

impl<C> SessionMut<'_, C> {
    fn tell(&mut self, event: SessionEvent) {
        self.out.push_back(Event::WebTransport(self.key, event));
    }

    fn tell_stream(&mut self, stream: StreamKey, event: StreamEvent) {
        self.out.push_back(Event::Stream(stream, event));
    }

    /// For an operation that one state alone allows; otherwise whether the session is
    /// over.
    fn require(&self, life: Life) -> Result<(), bool> {
        match *self.life {
            now if now == life => Ok(()),
            now => Err(now.is_over()),
        }
    }
}

impl Session {
    /// What it has counted, with its limits when it has any.
    pub(crate) fn stats(&self, ring: Option<&Ring>, terms: &Terms) -> SessionStats {
        let limits = self.flow.limits(terms.first_limits);
        SessionStats {
            streams: self.list.len.into(),
            opened_bi: self.stats.opened_bi,
            opened_uni: self.stats.opened_uni,
            accepted_bi: self.stats.accepted_bi,
            accepted_uni: self.stats.accepted_uni,
            bytes_sent: self.stats.bytes_sent,
            bytes_received: self.stats.bytes_received,
            datagrams_sent: self.stats.datagrams_sent,
            datagrams_received: self.stats.datagrams_received,
            datagrams_overflowed: ring.map_or(0, Ring::overflowed),
            draining: self.is_draining(),
            flow_control: limits.map(|(theirs, ours)| SessionLimits {
                send_data: theirs.data,
                open_bi: theirs.bidi,
                open_uni: theirs.uni,
                recv_data: ours.data,
                accept_bi: ours.bidi,
                accept_uni: ours.uni,
            }),
            ..SessionStats::default()
        }
    }

    /// Whether one of the sides has asked to wind it down.
    fn is_draining(&self) -> bool {
        self.drain_sent || self.drain_told
    }
}
