//! The tunnels of one connection, in either role: requests in, tunnel events out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use slab::Slab;

use super::event::{
    AnswerTunnelError, Cancelled, Drops, OpenTunnelError, TunnelClose, TunnelEvent, TunnelKey,
    TunnelStats,
};
use super::gate::{Gate, GateConfig, GateStats};
use super::head::{self, OpenTunnel};
use super::lives::abandon;
use super::tunnel::{Flow, Life, Room, Tunnel};
use super::{Refusal, Target, TunnelKind, codec};
use crate::code::Code;
use crate::connection::Access;
use crate::event::Event;
use crate::head::End;
use crate::id::StreamKey;
use crate::time::heap::{TimerKey, Timers};
use crate::time::{Deadline, Why, after};
use crate::transport::Transport;

/// What a connection's tunnels are made with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TunnelsConfig {
    /// Which tunnels are offered (server); of this a client uses `max_tunnels` alone.
    pub gate: GateConfig,
    /// How long a tunnel may take to be answered, by this side (server) or the peer
    /// (client), for which the connection's
    /// [`connect_timeout`](crate::config::Limits::connect_timeout) holds as well.
    /// Default 30 s.
    pub start_timeout: Duration,
    /// After how long without a payload a tunnel is closed; RFC 9298 section 6.1 wants two
    /// minutes at least. Default 5 min.
    pub idle_timeout: Duration,
    /// The same once one direction of a TCP tunnel has ended. Default 30 s.
    pub half_closed_timeout: Duration,
    /// How long the peer may take to end the stream of a tunnel that is over. Default 3 s.
    pub close_timeout: Duration,
    /// How long what came before a tunnel's end is kept for the application, of as many
    /// tunnels as there may be at once. Default 30 s.
    pub linger: Duration,
    /// UDP payloads from capsules that wait in a tunnel; beyond it the peer is held back.
    /// Those in datagrams wait in the connection, up to
    /// [`Limits::datagrams`](crate::config::Limits::datagrams). Default 1,000.
    pub queue: usize,
    /// Those that wait before it is open; until the request has been looked at they wait in
    /// the connection, up to
    /// [`Limits::early_datagrams`](crate::config::Limits::early_datagrams). Default 100.
    pub early: usize,
    /// Bytes of them; before it is open no more than one payload may have. Default 256 KiB.
    pub queue_bytes: usize,
}

impl Default for TunnelsConfig {
    fn default() -> Self {
        Self {
            gate: GateConfig::default(),
            start_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(300),
            half_closed_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(3),
            linger: Duration::from_secs(30),
            queue: 1000,
            early: 100,
            queue_bytes: 256 * 1024,
        }
    }
}

/// The tunnels of one connection.
///
/// A state machine on top of the connection's: every [`Event`] goes through
/// [`Self::handle_event`], which gives back those that are no tunnel's; then
/// [`Self::poll_event`] is drained, and [`Self::poll_timeout`] asked for beside the
/// connection's own. One connection carries requests and sessions as well.
#[derive(Debug)]
pub struct Tunnels {
    pub(super) config: TunnelsConfig,
    pub(super) gate: Gate,
    pub(super) tunnels: Slab<Tunnel>,
    pub(super) places: BTreeMap<StreamKey, usize>,
    pub(super) timers: Timers<Place>,
    /// Those with content that was left for another turn.
    pub(super) busy: VecDeque<TunnelKey>,
    pub(super) events: VecDeque<(TunnelKey, TunnelEvent)>,
    /// Those that are over and keep what had come, oldest first.
    pub(super) lingering: VecDeque<TunnelKey>,
    /// Of tunnels that are gone.
    pub(super) past: TunnelStats,
    /// Streams of such, of which the connection may have more to tell; the latest.
    pub(super) past_streams: BTreeSet<StreamKey>,
}

/// Streams of past tunnels that are remembered. What is told of others is the
/// application's, and means nothing to it.
const PAST_STREAMS: usize = 256;

/// A tunnel's place in the table.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd)]
pub(super) struct Place(pub(super) usize, pub(super) TunnelKey);

impl TimerKey for Place {
    fn slot(self) -> usize {
        self.0
    }
}

impl Tunnels {
    /// No tunnels yet.
    #[must_use]
    pub fn new(config: TunnelsConfig) -> Self {
        Self {
            gate: Gate::new(config.gate.clone()),
            config,
            tunnels: Slab::new(),
            places: BTreeMap::new(),
            timers: Timers::default(),
            busy: VecDeque::new(),
            events: VecDeque::new(),
            lingering: VecDeque::new(),
            past: TunnelStats::default(),
            past_streams: BTreeSet::new(),
        }
    }

    // ---- inputs ------------------------------------------------------------------

    /// Takes in an event of the connection, and gives it back if it is not of a tunnel
    /// alone. Tunnel events may follow in either case.
    pub fn handle_event<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        event: Event,
    ) -> Option<Event> {
        match event {
            Event::Request {
                stream,
                head,
                early,
            } => {
                if self.on_request(access, now, stream, &head, early) {
                    return None;
                }
                Some(Event::Request {
                    stream,
                    head,
                    early,
                })
            }
            Event::Response { stream, ref head } if self.places.contains_key(&stream) => {
                self.on_response(access, now, TunnelKey(stream), head);
                None
            }
            // Of no meaning to a tunnel.
            Event::Interim { stream, .. } | Event::Trailers { stream, .. }
                if self.places.contains_key(&stream) =>
            {
                None
            }
            Event::Stream(stream, what) if self.places.contains_key(&stream) => {
                self.on_stream(access, now, TunnelKey(stream), what);
                None
            }
            // Of one that is gone, as far as that is known.
            Event::Response { stream, .. }
            | Event::Interim { stream, .. }
            | Event::Trailers { stream, .. }
            | Event::Stream(stream, _)
                if self.past_streams.contains(&stream) =>
            {
                None
            }
            Event::Draining { by } => {
                for (_, tunnel) in &self.tunnels {
                    if !tunnel.life.is_over() {
                        self.events.push_back((tunnel.key, TunnelEvent::Draining));
                    }
                }
                Some(Event::Draining { by })
            }
            Event::Closed(reason) => {
                let keys: Vec<_> = self.tunnels.iter().map(|(_, tunnel)| tunnel.key).collect();
                for key in keys {
                    // The connection is over, whatever was wrong with them.
                    let _ = self.keep_datagrams(access, key);
                    let why = TunnelClose::Connection((*reason).clone());
                    self.end(access, now, key, why, None);
                    self.gone(access, now, key);
                }
                self.past_streams.clear();
                Some(Event::Closed(reason))
            }
            event => Some(event),
        }
    }

    /// Does what is due.
    pub fn handle_timeout<T: Transport>(&mut self, access: &mut Access<'_, T>, now: Instant) {
        for _ in 0..self.busy.len() {
            if let Some(key) = self.busy.pop_front() {
                if let Some(tunnel) = self.tunnel_mut(key) {
                    tunnel.busy = false;
                }
                self.on_readable(access, now, key);
            }
        }
        while let Some(Place(_, key)) = self.timers.pop_due(now) {
            let Some(tunnel) = self.tunnel(key) else {
                continue;
            };
            match tunnel.life {
                Life::Pending => {
                    self.answer_refusal(access, key, &Refusal::StartTimeout);
                    self.gate.refused();
                    self.end(access, now, key, TunnelClose::StartTimedOut, None);
                }
                Life::Asked => {
                    let code = Some(Code::H3_REQUEST_CANCELLED);
                    self.end(access, now, key, TunnelClose::StartTimedOut, code);
                }
                Life::Open => self.on_idle(access, now, key),
                Life::Closing => self.leave_off(access, now, key),
                Life::Over => self.remove(key),
            }
        }
    }

    // ---- outputs -----------------------------------------------------------------

    /// The next event of any tunnel, in the order in which they happened.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<(TunnelKey, TunnelEvent)> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is wanted; `None` for never.
    #[must_use]
    pub fn poll_timeout(&mut self, now: Instant) -> Option<Deadline> {
        let work = (!self.busy.is_empty()).then_some(Deadline {
            at: now,
            why: Why::Work,
        });
        work.or_else(|| self.timers.next())
    }

    // ---- what an application does ----------------------------------------------------

    /// Asks a proxy for a tunnel (client).
    ///
    /// # Errors
    /// [`OpenTunnelError`]; nothing was sent.
    pub fn open<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        open: &OpenTunnel,
    ) -> Result<TunnelKey, OpenTunnelError> {
        if self.live() >= self.config.gate.max_tunnels {
            return Err(OpenTunnelError::TooManyTunnels);
        }
        let head = open.head().map_err(|_| OpenTunnelError::Head)?;
        let stream = access.request(&head, End::More)?;
        let key = TunnelKey(stream);
        let target = open.target.clone();
        self.insert(
            access,
            Tunnel::new(key, open.dialect, target, Life::Asked, now),
        );
        self.arm(now, key);
        Ok(key)
    }

    /// Opens a tunnel that was asked for (server): its target is reached, and its name has
    /// been checked by [`Gate::check_address`]. `next_hop` is told to the client; leave it
    /// out for those who must not know addresses of the inside.
    ///
    /// # Errors
    /// [`AnswerTunnelError`]: nothing was sent, and whoever reached the target lets it go.
    pub fn accept<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        next_hop: Option<std::net::SocketAddr>,
    ) -> Result<(), AnswerTunnelError> {
        let tunnel = self.tunnel(key).ok_or(AnswerTunnelError::Gone)?;
        match tunnel.life {
            Life::Pending => {}
            Life::Closing | Life::Over => return Err(AnswerTunnelError::Gone),
            _ => return Err(AnswerTunnelError::Answered),
        }
        let (dialect, name) = (tunnel.dialect, &self.config.gate.name);
        let head = head::opening(dialect, name, next_hop);
        if access.respond(key.0, &head, End::More).is_err() {
            let code = Code::H3_REQUEST_CANCELLED;
            self.end(access, now, key, TunnelClose::Reset(code), Some(code));
            return Err(AnswerTunnelError::Gone);
        }
        self.gate.opened();
        self.opened(access, now, key);
        Ok(())
    }

    /// Refuses a tunnel that was asked for (server).
    ///
    /// # Errors
    /// [`AnswerTunnelError`]; nothing was sent.
    pub fn refuse<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        refusal: &Refusal,
    ) -> Result<(), AnswerTunnelError> {
        match self.tunnel(key).map(|tunnel| tunnel.life) {
            Some(Life::Pending) => {}
            Some(Life::Asked | Life::Open) => return Err(AnswerTunnelError::Answered),
            Some(Life::Closing | Life::Over) | None => return Err(AnswerTunnelError::Gone),
        }
        self.turn_down(access, now, key, refusal);
        Ok(())
    }

    /// Gives a start up (row C8): a pending tunnel is refused with 503, or the request
    /// for it taken back (client).
    pub fn cancel<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) -> Cancelled {
        match self.tunnel(key).map(|tunnel| tunnel.life) {
            Some(Life::Pending) => {
                self.turn_down(access, now, key, &Refusal::Unavailable);
                Cancelled::Pending
            }
            Some(Life::Asked) => {
                abandon(access, key, Code::H3_REQUEST_CANCELLED);
                self.forget(access, now, key);
                self.untell(key);
                Cancelled::Pending
            }
            Some(Life::Open) => Cancelled::Active,
            Some(Life::Closing | Life::Over) | None => Cancelled::Unknown,
        }
    }

    /// Closes a tunnel: UDP ends in order, TCP is aborted unless both of its directions have
    /// ended. No event follows.
    pub fn close<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        match self.tunnel(key).map(|tunnel| tunnel.life) {
            Some(Life::Open) => {
                let in_order = self.tunnel(key).is_some_and(|tunnel| match &tunnel.flow {
                    Flow::Udp(_) => true,
                    Flow::Tcp(tcp) => tcp.ended && tcp.end_told,
                });
                let code = (!in_order).then_some(Code::H3_CONNECT_ERROR);
                self.close_with(access, now, key, code);
            }
            Some(Life::Over) => self.remove(key),
            _ => _ = self.cancel(access, now, key),
        }
    }

    /// Aborts a tunnel because this side has failed: of TCP, the peer's connection is reset.
    /// No event follows.
    pub fn abort<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        let open = |tunnel: &&Tunnel| tunnel.life == Life::Open;
        let kind = self.tunnel(key).filter(open).map(|t| t.dialect.kind());
        match kind {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
            // A connection that was reset, or has failed, is a stream error of this type.
            Some(TunnelKind::Tcp) => {
                self.close_with(access, now, key, Some(Code::H3_CONNECT_ERROR));
            }
            Some(TunnelKind::Udp) => {
                self.close_with(access, now, key, Some(Code::H3_INTERNAL_ERROR));
            }
            None => self.close(access, now, key),
        }
    }

    /// The same with a code of the application's choice, of 62 bits; of a tunnel that is
    /// not open, as [`Self::close`] does. No event follows.
    pub fn abort_with<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        code: Code,
    ) {
        match self.tunnel(key).map(|tunnel| tunnel.life) {
            Some(Life::Open) => self.close_with(access, now, key, Some(code)),
            _ => self.close(access, now, key),
        }
    }

    /// A pending tunnel gets this answer, and nothing more is told of it.
    fn turn_down<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        refusal: &Refusal,
    ) {
        self.answer_refusal(access, key, refusal);
        self.gate.refused();
        self.forget(access, now, key);
        self.untell(key);
    }

    fn close_with<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        code: Option<Code>,
    ) {
        // Who closes takes nothing any more.
        if let Some(tunnel) = self.tunnel_mut(key) {
            tunnel.forget_received();
        }
        self.end(access, now, key, TunnelClose::Local, code);
        self.untell(key);
    }

    /// Whoever ends a tunnel is told nothing more of it.
    fn untell(&mut self, key: TunnelKey) {
        self.events.retain(|(of, _)| *of != key);
    }

    /// Remembers a stream of which nothing more is an application's.
    pub(super) fn note_past(&mut self, stream: StreamKey) {
        self.past_streams.insert(stream);
        if self.past_streams.len() > PAST_STREAMS {
            let _ = self.past_streams.pop_first();
        }
    }

    /// Takes no new tunnels, or takes them again; those that are there stay.
    pub fn set_draining(&mut self, draining: bool) {
        self.gate.set_draining(draining);
    }

    /// Who is let in.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Tunnels that are open or asked for. O(tunnels).
    #[must_use]
    pub fn live(&self) -> usize {
        let tunnels = self.tunnels.iter();
        tunnels.filter(|(_, tunnel)| !tunnel.life.is_over()).count()
    }

    /// Whether there is none, not even one that is over.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tunnels.is_empty()
    }

    /// The tunnel of a stream, if it is one's.
    #[must_use]
    pub fn find(&self, stream: StreamKey) -> Option<TunnelKey> {
        self.places
            .contains_key(&stream)
            .then_some(TunnelKey(stream))
    }

    /// What a tunnel carries, and to where.
    #[must_use]
    pub fn target(&self, key: TunnelKey) -> Option<(TunnelKind, &Target)> {
        let tunnel = self.tunnel(key)?;
        Some((tunnel.dialect.kind(), &tunnel.target))
    }

    /// What a tunnel has counted.
    #[must_use]
    pub fn stats(&self, key: TunnelKey) -> Option<TunnelStats> {
        Some(self.tunnel(key)?.stats)
    }

    /// What all tunnels have counted, those that are gone included. O(tunnels).
    #[must_use]
    pub fn all_stats(&self) -> (GateStats, TunnelStats) {
        let mut all = self.past;
        for (_, tunnel) in &self.tunnels {
            add(&mut all, &tunnel.stats);
        }
        (self.gate.stats(), all)
    }

    // ---- for the files of this folder -------------------------------------------

    /// When something is due in a tunnel; of one that is over, counted from now.
    pub(super) fn due(&self, now: Instant, key: TunnelKey) -> Option<Instant> {
        let tunnel = self.tunnel(key)?;
        let config = &self.config;
        let idle = match tunnel.is_half_closed() {
            true => config.half_closed_timeout.min(config.idle_timeout),
            false => config.idle_timeout,
        };
        Some(match tunnel.life {
            Life::Pending | Life::Asked => after(tunnel.begun, config.start_timeout),
            Life::Open => after(tunnel.active, idle),
            Life::Closing => after(now, config.close_timeout),
            Life::Over => after(now, config.linger),
        })
    }

    /// Sets the tunnel's timer by its life at present.
    pub(super) fn arm(&mut self, now: Instant, key: TunnelKey) {
        let Some(place) = self.places.get(&key.0).copied() else {
            return;
        };
        let why = Why::Tunnel;
        let due = self.due(now, key).map(|at| Deadline { at, why });
        self.timers.arm(Place(place, key), due);
    }

    /// How much may wait in a tunnel at present.
    pub(super) fn room(&self, key: TunnelKey) -> Room {
        let open = self.tunnel(key).is_some_and(|t| t.life == Life::Open);
        let least = codec::MAX_UDP_PAYLOAD;
        match open {
            true => Room {
                payloads: self.config.queue,
                bytes: self.config.queue_bytes.max(least),
            },
            false => Room {
                payloads: self.config.early,
                bytes: least,
            },
        }
    }

    pub(super) fn tunnel(&self, key: TunnelKey) -> Option<&Tunnel> {
        self.tunnels.get(*self.places.get(&key.0)?)
    }

    pub(super) fn tunnel_mut(&mut self, key: TunnelKey) -> Option<&mut Tunnel> {
        self.tunnels.get_mut(*self.places.get(&key.0)?)
    }
}

pub(super) fn add(all: &mut TunnelStats, one: &TunnelStats) {
    all.bytes_received += one.bytes_received;
    all.bytes_sent += one.bytes_sent;
    all.received += one.received;
    all.sent += one.sent;
    let drops: Drops = one.drops;
    all.drops += drops;
}
