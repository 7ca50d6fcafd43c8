//! Runs a behaviour on its connection.
//!
//! ```text
//!  events ──▶ handle ──▶ due ──▶ run ──▶ to do ──▶ apply ──▶ the connection
//!               │                 │                  │
//!               └── reads what    └── calls back;    └── writes, begins and ends;
//!                   is wanted         no connection      reads what is wanted since
//! ```
//!
//! | file | what it does |
//! |---|---|
//! | `mod` | what the runner keeps, and its contract |
//! | `events` | takes what the connection tells |
//! | `callbacks` | calls the behaviour and the owners of streams |
//! | `actions` | takes what they return: what can be done at once is done |
//! | `apply` | does the rest on the connection |
//! | `stream` | one stream |

mod actions;
mod apply;
mod callbacks;
mod events;
mod stream;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::stream::Stream;
use super::action::{Action, ActionError, NewStream};
use super::config::Config;
use super::connection::{Behaviour, ConnectionClosed, Opened};
use super::context::{Context, Facts};
use super::stream::Owner;
use crate::connection::quic::QuicAccess;
use crate::error::CloseReason;
use crate::id::{Dir, Side, StreamKey};
use crate::quic::StartError;
use crate::time::{Deadline, Why, earliest};
use crate::transport::{EarlyData, Transport};

/// A behaviour at work on one connection.
///
/// It is lent the connection for each step and calls the behaviour in one of them alone,
/// [`Self::run`], which needs no connection: who keeps connections under a lock calls it
/// outside. Events go in one by one, in their order, and after each there are turns of `run`
/// and `apply` while [`Self::has_work`] says so: then callbacks come in the order of the
/// events. Of a stream about which several were handed in before a turn, data come first. What `apply` does makes events of the
/// connection, so these are looked for afterwards. Once `Event::Closed` has gone in, `run`
/// alone is wanted, and the connection may be gone. Where it is gone before, events go to
/// [`Self::handle_gone`].
///
/// Whoever drops it before it [`is_over`](Self::is_over) closes the connection.
pub struct Runner<B: Behaviour> {
    behaviour: B,
    config: Config,
    facts: Facts,
    streams: BTreeMap<StreamKey, Stream<B::Message>>,
    /// Callbacks, in the order in which they are made. A stream stands here once.
    due: VecDeque<Due<B::Message>>,
    /// Actions of the connection that have not been done.
    todo: VecDeque<Todo<B::Message>>,
    /// Streams that want something of the connection; each stands here once.
    waiting: VecDeque<StreamKey>,
    /// Directions whose `Available` and `PeerNeedsStreams` are in `due`.
    told: [[bool; 2]; 2],
    /// Datagrams in `due`.
    datagrams: usize,
    /// QUIC may have more.
    datagrams_waiting: bool,
    /// When `timeout` is to be called.
    wake: Option<Instant>,
    /// Streams that are over and wait for what they have to be taken.
    lingering: BTreeSet<(Instant, StreamKey)>,
    /// How the connection has ended.
    ended: Option<Box<ConnectionClosed>>,
    /// `closed` has been called.
    over: bool,
}

/// A callback that is due.
enum Due<M> {
    Begun,
    Connected(EarlyData),
    Certificate,
    Available(Dir),
    NeedsStreams(Dir),
    PeerAddress(SocketAddr),
    LocalAddress(Option<IpAddr>),
    Ticket,
    DatagramState(Option<usize>),
    Datagram(Bytes),
    DatagramsUnblocked,
    NewStream(StreamKey, Opened),
    Orphaned(StreamKey),
    NotStarted(StartError, Owner<M>),
    Message(M),
    Continued,
    Failed(ActionError),
    Draining,
    Shutdown(CloseReason),
    /// Whatever is due on the stream.
    Stream(StreamKey),
}

/// An action that needs the connection.
enum Todo<M> {
    Start(Box<NewStream<M>>),
    Datagram(Bytes),
    Confirm(Result<(), u8>),
    Abandon(StreamKey, u64),
    Drain(Duration),
    Close(u64, Bytes),
}

impl<B: Behaviour> Runner<B> {
    /// A behaviour whose connection has told nothing yet.
    #[must_use]
    pub fn new(side: Side, behaviour: B, config: Config) -> Self {
        Self {
            behaviour,
            config,
            facts: Facts {
                side,
                about: None,
                established: false,
                established_once: false,
                max_datagram: None,
            },
            streams: BTreeMap::new(),
            due: VecDeque::new(),
            todo: VecDeque::new(),
            waiting: VecDeque::new(),
            told: Default::default(),
            datagrams: 0,
            datagrams_waiting: false,
            wake: None,
            lingering: BTreeSet::new(),
            ended: None,
            over: false,
        }
    }

    /// [`Self::run`] and [`Self::apply`] until nothing is left to do, or about
    /// [`Config::callbacks`] have been called.
    pub fn turn<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>) {
        let mut left = self.config.callbacks.max(1);
        loop {
            let called = self.call(access.now(), left);
            self.apply(access);
            left = left.saturating_sub(called.max(1));
            if left == 0 || !self.has_work() {
                return;
            }
        }
    }

    /// Tells the behaviour something, by [`Behaviour::message`].
    pub fn message(&mut self, message: B::Message) {
        if !self.over {
            self.due.push_back(Due::Message(message));
        }
    }

    /// Does something as if a callback of the connection's had returned it at that time.
    pub fn act(&mut self, now: Instant, action: Action<B::Message>) {
        if !self.over {
            self.perform(now, action.into());
        }
    }

    /// Whether [`Self::run`] or [`Self::apply`] has something to do at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        !self.over
            && (!self.due.is_empty()
                || !self.todo.is_empty()
                || !self.waiting.is_empty()
                || self.wants_datagrams()
                || self.is_at_end())
    }

    /// When [`Self::run`] is wanted, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.over {
            return None;
        }
        let due = |at: Option<Instant>, why| at.map(|at| Deadline { at, why });
        let linger = self.lingering.first().map(|(at, _)| *at);
        earliest(due(self.wake, Why::Alarm), due(linger, Why::Linger))
    }

    /// Whether [`Behaviour::closed`] has been called. Nothing more is.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Streams whose end has not been told.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.streams.len()
    }

    /// The behaviour.
    #[must_use]
    pub fn behaviour(&self) -> &B {
        &self.behaviour
    }

    /// The behaviour, to be changed.
    pub fn behaviour_mut(&mut self) -> &mut B {
        &mut self.behaviour
    }

    /// The behaviour again. Whoever takes it before the connection is over closes that.
    #[must_use]
    pub fn into_behaviour(self) -> B {
        self.behaviour
    }

    // ---- within -------------------------------------------------------------------

    fn context(&self, now: Instant) -> Context<'_> {
        Context {
            facts: &self.facts,
            now,
            streams: self.streams.len(),
        }
    }

    /// Whether nothing is left to be told but the end of the connection.
    fn is_at_end(&self) -> bool {
        self.ended.is_some()
            && self.streams.is_empty()
            && self.due.is_empty()
            && self.todo.is_empty()
    }

    fn wants_datagrams(&self) -> bool {
        self.datagrams_waiting && self.datagrams < self.config.datagrams.max(1)
    }

    /// Puts a stream where it belongs after something has happened to it.
    fn touch(&mut self, key: StreamKey) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let due = stream.is_due() || (stream.lingers() && stream.linger.is_none());
        if due && !std::mem::replace(&mut stream.in_line, true) {
            self.due.push_back(Due::Stream(key));
        }
        if stream.wants_access(self.config.piece) && !std::mem::replace(&mut stream.in_wait, true) {
            self.waiting.push_back(key);
        }
    }

    fn remove(&mut self, key: StreamKey) -> Option<Stream<B::Message>> {
        let stream = self.streams.remove(&key)?;
        if let Some(until) = stream.linger {
            self.lingering.remove(&(until, key));
        }
        Some(stream)
    }
}

impl<B: Behaviour> fmt::Debug for Runner<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner")
            .field("facts", &self.facts)
            .field("streams", &self.streams.len())
            .field("due", &self.due.len())
            .field("ended", &self.ended)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
