//! The sessions of a connection, and the list of streams of each.

use slab::Slab;

use super::flow::Flow;
use crate::error::SessionError;
use crate::h3::connection::H3;
use crate::h3::streams::{Link, NONE};
use crate::head::ConnectRequest;
use crate::id::{SessionKey, StreamKey};
use crate::stats::SessionStats;
use crate::wire::capsule_reader::CapsuleReader;

/// Where a session is in its life.
///
/// ```text
///  server: Waiting (for SETTINGS) ──▶ Requested ──▶ Open ──▶ Over
///  client:                            Asked ──────▶ Open ──▶ Over
/// ```
#[derive(Debug)]
pub(crate) enum State {
    /// A request that came before the peer's SETTINGS.
    Waiting(Box<ConnectRequest>),
    /// The application has been asked.
    Requested,
    /// The peer has been asked.
    Asked,
    /// Streams and datagrams flow.
    Open,
    /// Ended and told; the CONNECT stream is seen off.
    Over {
        /// The peer ended it and may send nothing more.
        by_peer: bool,
    },
}

/// One session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) state: State,
    /// The request carried the version field of draft 02.
    pub(crate) draft02: bool,
    /// Application protocols the client offered.
    pub(crate) offered: Vec<String>,
    /// The session ends when none is selected (client).
    pub(crate) protocol_required: bool,
    /// Limits of its own, when negotiated.
    pub(crate) flow: Option<Flow>,
    pub(crate) capsules: CapsuleReader,
    /// First stream of the list threaded through the slots.
    first: u32,
    /// Streams with an order of their own.
    pub(super) ordered: u32,
    pub(crate) drain_sent: bool,
    pub(crate) drain_told: bool,
    pub(crate) stats: SessionStats,
}

impl Session {
    pub(crate) fn new(key: SessionKey, state: State) -> Self {
        Self {
            key,
            state,
            draft02: false,
            offered: Vec::new(),
            protocol_required: false,
            flow: None,
            capsules: CapsuleReader::new(),
            first: NONE,
            ordered: 0,
            drain_sent: false,
            drain_told: false,
            stats: SessionStats::default(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Over { .. })
    }
}

/// All sessions of a connection. The slot of a CONNECT stream links to its
/// session, so finding one is three array reads.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Slab<Session>,
}

impl Registry {
    /// Adds a session and links its CONNECT stream to it.
    pub(crate) fn insert(&mut self, h3: &mut H3, session: Session) {
        let stream = session.key.stream();
        let index = u32::try_from(self.sessions.insert(session)).unwrap_or(NONE);
        if let Some(slot) = h3.table.get_mut(stream) {
            slot.link = Link {
                session: index,
                ..Link::FREE
            };
        }
    }

    /// Removes a session. Its streams have been unlinked.
    pub(crate) fn remove(&mut self, h3: &mut H3, key: SessionKey) {
        if let Some(slot) = h3.table.get_mut(key.stream()) {
            let index = slot.link.session;
            slot.link = Link::FREE;
            self.sessions.try_remove(index as usize);
        }
    }

    fn index(h3: &H3, key: SessionKey) -> Option<usize> {
        let slot = h3.table.get(key.stream())?;
        slot.exchange_ref()?;
        (slot.link.session != NONE).then_some(slot.link.session as usize)
    }

    pub(crate) fn get(&self, h3: &H3, key: SessionKey) -> Option<&Session> {
        self.sessions.get(Self::index(h3, key)?)
    }

    pub(crate) fn get_mut(&mut self, h3: &H3, key: SessionKey) -> Option<&mut Session> {
        self.sessions.get_mut(Self::index(h3, key)?)
    }

    /// A session in one state, for an operation that no other state allows.
    pub(crate) fn in_state(
        &mut self,
        h3: &H3,
        key: SessionKey,
        right: impl FnOnce(&State) -> bool,
    ) -> Result<&mut Session, SessionError> {
        let session = self.get_mut(h3, key).ok_or(SessionError::Gone)?;
        match &session.state {
            state if right(state) => Ok(session),
            State::Over { .. } => Err(SessionError::Gone),
            _ => Err(SessionError::WrongState),
        }
    }

    /// The session a data stream belongs to.
    pub(crate) fn owner_mut(&mut self, h3: &H3, stream: StreamKey) -> Option<&mut Session> {
        let slot = h3.table.get(stream)?;
        self.sessions.get_mut(slot.link.session as usize)
    }

    /// The key of the session a data stream belongs to.
    pub(crate) fn owner(&self, h3: &H3, stream: StreamKey) -> Option<SessionKey> {
        let slot = h3.table.get(stream)?;
        self.sessions
            .get(slot.link.session as usize)
            .map(|session| session.key)
    }

    /// Sessions that are not over. O(sessions).
    pub(crate) fn live(&self) -> usize {
        self.sessions
            .iter()
            .filter(|(_, session)| !session.is_over())
            .count()
    }

    /// Whether there is more than one session.
    pub(crate) fn is_shared(&self) -> bool {
        self.sessions.len() > 1
    }

    /// Live sessions that the application has been asked about. O(sessions).
    pub(crate) fn asked(&self) -> usize {
        self.sessions
            .iter()
            .filter(|(_, session)| {
                !session.is_over() && !matches!(session.state, State::Waiting(_))
            })
            .count()
    }

    /// Keys of all sessions, in table order. O(sessions).
    pub(crate) fn keys(&self) -> Vec<SessionKey> {
        self.sessions
            .iter()
            .map(|(_, session)| session.key)
            .collect()
    }

    /// Puts a stream at the front of a session's list.
    pub(crate) fn link(&mut self, h3: &mut H3, key: SessionKey, stream: StreamKey) {
        let Some(index) = Self::index(h3, key) else {
            return;
        };
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        let next = std::mem::replace(&mut session.first, stream.slot);
        session.stats.streams += 1;
        if let Some(slot) = h3.table.at_mut(next) {
            slot.link.prev = stream.slot;
        }
        if let Some(slot) = h3.table.get_mut(stream) {
            let session = u32::try_from(index).unwrap_or(NONE);
            slot.link = Link {
                session,
                prev: NONE,
                next,
            };
        }
    }

    /// Takes a stream out of its session's list, if it is in one.
    pub(crate) fn unlink(&mut self, h3: &mut H3, stream: StreamKey) {
        let Some(slot) = h3.table.get_mut(stream) else {
            return;
        };
        let link = std::mem::replace(&mut slot.link, Link::FREE);
        let place = std::mem::take(&mut slot.place);
        let Some(session) = self.sessions.get_mut(link.session as usize) else {
            return;
        };
        session.ordered -= u32::from(place.order != 0);
        session.stats.streams = session.stats.streams.saturating_sub(1);
        match h3.table.at_mut(link.prev) {
            Some(prev) => prev.link.next = link.next,
            None => session.first = link.next,
        }
        if let Some(next) = h3.table.at_mut(link.next) {
            next.link.prev = link.prev;
        }
    }

    /// Keys of a session's streams, the latest first. O(streams of the session).
    pub(crate) fn streams(&self, h3: &H3, key: SessionKey) -> Vec<StreamKey> {
        let mut streams = Vec::new();
        let mut next = self.get(h3, key).map_or(NONE, |session| session.first);
        while let Some(slot) = h3.table.at(next) {
            streams.push(StreamKey {
                slot: next,
                id: slot.id,
            });
            next = slot.link.next;
        }
        streams
    }

    /// Takes the first stream out of a session's list.
    pub(crate) fn pop(&mut self, h3: &mut H3, key: SessionKey) -> Option<StreamKey> {
        let first = self.get(h3, key)?.first;
        let id = h3.table.at(first)?.id;
        let stream = StreamKey { slot: first, id };
        self.unlink(h3, stream);
        Some(stream)
    }
}
