//! Behaviours of raw QUIC in the application's own loop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use aqueduct_core::behaviour::{Action, Behaviour, Config, Runner};
use aqueduct_core::endpoint::{ConnectError, Protocol, Target};
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Side};
use aqueduct_core::quic;

use crate::key::PortKey;
use crate::mailbox::{Mailbox, Peer, Post};
use crate::ports::Ports;

/// Messages that a behaviour is told in one turn.
const MESSAGES: usize = 64;

type Make<B> = Box<dyn FnMut(Mailbox<<B as Behaviour>::Message>) -> B + Send>;
type Over<B> = Box<dyn FnMut(PortKey, ConnKey, B) + Send>;

/// The behaviours of connections of raw QUIC, on any of an application's [`Ports`]: the loop
/// hands them events and gives them turns.
///
/// ```no_run
/// use std::time::Instant;
///
/// use aqueduct_mio::protocol::behaviour::Behaviour;
/// use aqueduct_mio::protocol::{event::Event, id::ConnKey};
/// use aqueduct_mio::{App, Behaviours, PortKey, Ports};
///
/// struct Server<B: Behaviour> {
///     chat: Behaviours<B>,
/// }
///
/// impl<B: Behaviour> App for Server<B> {
///     fn on_event(&mut self, ports: &mut Ports, port: PortKey, key: ConnKey, event: Event) {
///         if let Some(event) = self.chat.on_event(ports, port, key, event) {
///             // HTTP/3, or another protocol of the application's.
///             drop(event);
///         }
///     }
///
///     fn deadline(&mut self) -> Option<Instant> {
///         self.chat.deadline()
///     }
///
///     fn on_timeout(&mut self, ports: &mut Ports) {
///         self.chat.turn(ports);
///     }
/// }
/// ```
///
/// A loop without [`run`](crate::run) calls [`turn`](Self::turn) when the events are out,
/// before [`Ports::send`], and sleeps no longer than to [`deadline`](Self::deadline).
///
/// A callback that panics ends what the loop's thread ends: there is nobody else to go on.
pub struct Behaviours<B: Behaviour> {
    make: Make<B>,
    over: Option<Over<B>>,
    config: Config,
    post: Arc<Post>,
    peers: BTreeMap<Peer, Kept<B>>,
    /// Those that have something to do, once each.
    line: VecDeque<Peer>,
    timers: BTreeSet<(Instant, Peer)>,
}

struct Kept<B: Behaviour> {
    runner: Runner<B>,
    mailbox: Mailbox<B::Message>,
    in_line: bool,
    timer: Option<Instant>,
    /// The connection has told its end.
    ended: bool,
}

impl<B: Behaviour> fmt::Debug for Behaviours<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviours")
            .field("connections", &self.peers.len())
            .finish_non_exhaustive()
    }
}

impl<B: Behaviour> Behaviours<B> {
    /// None yet. Each connection that a client begins gets the behaviour that `make` makes,
    /// which is told the way to it.
    #[must_use]
    pub fn new(ports: &Ports, make: impl FnMut(Mailbox<B::Message>) -> B + Send + 'static) -> Self {
        Self {
            make: Box::new(make),
            over: None,
            config: Config::default(),
            post: Post::new(ports.remote()),
            peers: BTreeMap::new(),
            line: VecDeque::new(),
            timers: BTreeSet::new(),
        }
    }

    /// The same with other bounds, for connections that begin from here on.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The same, and `over` is given each behaviour whose connection is over, or whose port
    /// was removed.
    #[must_use]
    pub fn on_over(mut self, over: impl FnMut(PortKey, ConnKey, B) + Send + 'static) -> Self {
        self.over = Some(Box::new(over));
        self
    }

    /// Begins a connection of raw QUIC (client).
    ///
    /// # Errors
    /// [`ConnectError`]; `WrongProtocol` for a target that speaks HTTP/3.
    pub fn connect(
        &mut self,
        ports: &mut Ports,
        port: PortKey,
        target: Target,
        make: impl FnOnce(Mailbox<B::Message>) -> B,
    ) -> Result<ConnKey, ConnectError> {
        if target.protocol() != Protocol::Quic {
            return Err(ConnectError::WrongProtocol);
        }
        let key = ports.connect(port, target)?;
        self.insert((port, key), Side::Client, make);
        Ok(key)
    }

    /// Takes an event if it is of a connection of these, or of a new one of raw QUIC; gives
    /// back every other. Calls nothing of the behaviour's: the next [`turn`](Self::turn)
    /// does.
    #[must_use = "what is not taken is the application's"]
    pub fn on_event(
        &mut self,
        ports: &mut Ports,
        port: PortKey,
        connection: ConnKey,
        event: Event,
    ) -> Option<Event> {
        let peer = (port, connection);
        let Some(mut quic) = ports.quic(port, connection) else {
            return Some(event);
        };
        if !self.peers.contains_key(&peer) {
            let first = matches!(event, Event::Quic(quic::Event::Begun | quic::Event::Ready));
            if !first || quic.access().side() == Side::Client {
                return Some(event);
            }
            let mailbox = Mailbox::new(peer, &self.post);
            let behaviour = (self.make)(mailbox.clone());
            self.keep(peer, Side::Server, behaviour, mailbox);
        }
        let kept = self.peers.get_mut(&peer)?;
        kept.ended |= matches!(event, Event::Closed(_));
        if event == Event::Quic(quic::Event::Ready) {
            while let Some(event) = quic.poll_event() {
                kept.ended |= matches!(event, Event::Closed(_));
                kept.runner.handle(&mut quic.access(), event);
            }
        } else {
            kept.runner.handle(&mut quic.access(), event);
        }
        self.enqueue(peer);
        None
    }

    /// When [`turn`](Self::turn) is wanted, if nothing happens before; in the past when it
    /// is wanted at once.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if !self.line.is_empty() || !self.post.is_empty() {
            return Some(Instant::now());
        }
        self.timers.first().map(|(at, _)| *at)
    }

    /// Calls what is due on each connection, and does what the callbacks want done. Each has
    /// one turn, of [`Config::callbacks`] at most; what is left waits for the next. Calling
    /// it early or twice is harmless.
    pub fn turn(&mut self, ports: &mut Ports) {
        let now = Instant::now();
        while let Some((at, peer)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, peer));
            if let Some(kept) = self.peers.get_mut(&peer) {
                kept.timer = None;
            }
            self.enqueue(peer);
        }
        for peer in self.post.take() {
            self.enqueue(peer);
        }
        for _ in 0..self.line.len() {
            if let Some(peer) = self.line.pop_front() {
                self.work(ports, peer, now);
            }
        }
    }

    /// The way to a behaviour; `None` when the connection is over.
    #[must_use]
    pub fn mailbox(&self, port: PortKey, connection: ConnKey) -> Option<Mailbox<B::Message>> {
        let kept = self.peers.get(&(port, connection))?;
        Some(kept.mailbox.clone())
    }

    /// A behaviour; `None` when the connection is over.
    #[must_use]
    pub fn behaviour(&self, port: PortKey, connection: ConnKey) -> Option<&B> {
        let kept = self.peers.get(&(port, connection))?;
        Some(kept.runner.behaviour())
    }

    /// Does something as if a callback of the connection's had returned it; `false` when it
    /// is over.
    pub fn act(&mut self, port: PortKey, connection: ConnKey, action: Action<B::Message>) -> bool {
        let peer = (port, connection);
        let Some(kept) = self.peers.get_mut(&peer) else {
            return false;
        };
        kept.runner.act(Instant::now(), action);
        self.enqueue(peer);
        true
    }

    /// The connections, in the order of their keys. O(1) for each.
    pub fn connections(&self) -> impl Iterator<Item = (PortKey, ConnKey)> + '_ {
        self.peers.keys().copied()
    }

    /// Forgets what ran on a port that was [removed](Ports::remove). O(connections).
    pub fn forget(&mut self, port: PortKey) {
        let of_port = self.peers.keys().filter(|(of, _)| *of == port);
        let gone: Vec<_> = of_port.copied().collect();
        for peer in gone {
            self.remove(peer);
        }
    }

    // ---- within ----------------------------------------------------------------------

    fn insert(&mut self, peer: Peer, side: Side, make: impl FnOnce(Mailbox<B::Message>) -> B) {
        let mailbox = Mailbox::new(peer, &self.post);
        let behaviour = make(mailbox.clone());
        self.keep(peer, side, behaviour, mailbox);
    }

    fn keep(&mut self, peer: Peer, side: Side, behaviour: B, mailbox: Mailbox<B::Message>) {
        let kept = Kept {
            runner: Runner::new(side, behaviour, self.config.clone()),
            mailbox,
            in_line: false,
            timer: None,
            ended: false,
        };
        self.peers.insert(peer, kept);
    }

    fn enqueue(&mut self, peer: Peer) {
        if let Some(kept) = self.peers.get_mut(&peer)
            && !std::mem::replace(&mut kept.in_line, true)
        {
            self.line.push_back(peer);
        }
    }

    /// The turn of one connection.
    fn work(&mut self, ports: &mut Ports, peer: Peer, now: Instant) {
        let Some(kept) = self.peers.get_mut(&peer) else {
            return;
        };
        kept.in_line = false;
        let (messages, more) = kept.mailbox.take(MESSAGES);
        for message in messages {
            kept.runner.message(message);
        }
        let gone = match ports.quic(peer.0, peer.1) {
            Some(mut quic) => {
                kept.runner.turn(&mut quic.access());
                false
            }
            None => {
                // Its last callbacks need no connection.
                kept.runner.run(now);
                !kept.ended
            }
        };
        if gone || kept.runner.is_over() {
            return self.remove(peer);
        }
        let due = kept.runner.poll_timeout().map(|deadline| deadline.at);
        let again = more || kept.runner.has_work();
        if due != kept.timer {
            if let Some(before) = std::mem::replace(&mut kept.timer, due) {
                self.timers.remove(&(before, peer));
            }
            self.timers.extend(due.map(|at| (at, peer)));
        }
        if again {
            self.enqueue(peer);
        }
    }

    fn remove(&mut self, peer: Peer) {
        let Some(kept) = self.peers.remove(&peer) else {
            return;
        };
        if let Some(at) = kept.timer {
            self.timers.remove(&(at, peer));
        }
        kept.mailbox.end();
        if let Some(over) = &mut self.over {
            over(peer.0, peer.1, kept.runner.into_behaviour());
        }
    }
}
