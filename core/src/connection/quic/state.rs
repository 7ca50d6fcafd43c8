//! The state machine of a connection of raw QUIC.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::stream::{Recv, Send, Stream};
use crate::code::Code;
use crate::error::CloseReason;
use crate::event::Event;
use crate::id::{Dir, Side, StreamId, StreamKey, StreamMap};
use crate::quic::{
    self, About, CloseError, Config, ConfirmError, DatagramError, MAX_CODE, StreamEvent,
};
use crate::time::{Deadline, Why, after, earliest};
use crate::transport::{
    DatagramRefused, EarlyData, StreamGone, Transport, TransportEvent, crypto_error,
};

/// Where the connection is in its life.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Life {
    Handshaking,
    /// The handshake is complete, and the application is to confirm the certificates until
    /// then.
    Confirming {
        until: Instant,
        early: EarlyData,
    },
    Established,
    Closed,
}

/// A stream of this side's that waits for the peer's limit. It keeps its place, and so its
/// id, whatever becomes of it meanwhile.
#[derive(Copy, Clone, Debug)]
pub(super) struct Queued {
    pub(super) key: StreamKey,
    /// It was abandoned with this code.
    pub(super) abandoned: Option<u64>,
}

/// What a connection of raw QUIC is.
#[derive(Debug)]
pub(super) struct State {
    pub(super) side: Side,
    pub(super) config: Arc<Config>,
    pub(super) life: Life,
    about: Option<Box<About>>,
    pub(super) events: VecDeque<Event>,
    /// Of which kinds of [`once`] one is in `events`.
    untaken: [bool; 9],
    pub(super) streams: StreamMap<Stream>,
    pub(super) queued: [VecDeque<Queued>; 2],
    /// Streams that the peer opened and whose end the application has not been told.
    peer_open: usize,
    /// The transport may have streams that nobody has accepted.
    unaccepted: [bool; 2],
    /// Codes of the peer for streams that nobody has accepted. No more than its stream
    /// limit lets it open.
    stopped_before: BTreeMap<StreamId, u64>,
    datagrams_waiting: bool,
    datagrams_told: bool,
    /// The largest datagram, as it was told last.
    datagram_max: Option<Option<usize>>,
    /// What had arrived when the connection ended may be read.
    readable: bool,
    /// Early data may be sent, or comes.
    pub(super) early_begun: bool,
    pub(super) drain_until: Option<Instant>,
    ended: Option<Box<CloseReason>>,
    /// Streams and events that may still be dealt with in this turn.
    left: usize,
    /// When the turn ran out with more to do, or room was made for it.
    deferred: Option<Instant>,
    /// The latest time that it was told.
    seen: Option<Instant>,
    pub(super) work: u64,
}

pub(super) fn way(dir: Dir) -> usize {
    match dir {
        Dir::Bi => 0,
        Dir::Uni => 1,
    }
}

/// Which kind of event it is, of those that a peer can cause as often as it likes and that
/// say no more when they are told twice: one of each waits for the application.
fn once(event: &Event) -> Option<usize> {
    Some(match event {
        Event::Available(dir) => way(*dir),
        Event::Ticket => 2,
        Event::Quic(quic::Event::PeerNeedsStreams(dir)) => 3 + way(*dir),
        Event::Quic(quic::Event::DatagramsUnblocked) => 5,
        Event::Quic(quic::Event::PeerAddress(_)) => 6,
        Event::Quic(quic::Event::LocalAddress(_)) => 7,
        Event::Quic(quic::Event::DatagramState(_)) => 8,
        _ => return None,
    })
}

const DIRS: [Dir; 2] = [Dir::Bi, Dir::Uni];

impl State {
    pub(super) fn new(side: Side, config: Arc<Config>) -> Self {
        Self {
            side,
            left: config.work,
            config,
            life: Life::Handshaking,
            about: None,
            events: VecDeque::new(),
            untaken: [false; 9],
            streams: StreamMap::default(),
            queued: Default::default(),
            peer_open: 0,
            unaccepted: [false; 2],
            stopped_before: BTreeMap::new(),
            datagrams_waiting: false,
            datagrams_told: false,
            datagram_max: None,
            readable: false,
            early_begun: false,
            drain_until: None,
            ended: None,
            deferred: None,
            seen: None,
            work: 0,
        }
    }

    // ---- what is known ---------------------------------------------------------

    pub(super) fn is_closed(&self) -> bool {
        self.life == Life::Closed
    }

    pub(super) fn is_established(&self) -> bool {
        self.life == Life::Established
    }

    pub(super) fn close_reason(&self) -> Option<&CloseReason> {
        self.ended.as_deref()
    }

    pub(super) fn about(&self) -> Option<&About> {
        self.about.as_deref()
    }

    pub(super) fn side(&self) -> Side {
        self.side
    }

    pub(super) fn live_streams(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.streams.keys()
    }

    /// Streams of this direction that this side has begun in all, those that wait included.
    pub(super) fn begun(&self, dir: Dir) -> u64 {
        self.streams.end(StreamId::new(self.side, dir, 0)).number()
    }

    pub(super) fn stream(&self, key: StreamKey) -> Option<&Stream> {
        self.streams.get(key)
    }

    #[cfg(feature = "quinn")]
    pub(super) fn has_unread(&self) -> bool {
        let unread = |stream: &Stream| stream.recv == Recv::Open && stream.readable_told;
        self.datagrams_told || self.streams.values().any(unread)
    }

    #[cfg(feature = "quinn")]
    pub(super) fn work_done(&self) -> u64 {
        self.work
    }

    // ---- outputs ----------------------------------------------------------------

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        let event = self.poll_ahead()?;
        self.note_taken(&event);
        Some(event)
    }

    pub(super) fn poll_ahead(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The application has been told.
    pub(super) fn note_taken(&mut self, event: &Event) {
        if let Event::Quic(quic::Event::Stream(key, StreamEvent::Closed(_))) = event {
            return self.note_end_taken(*key);
        }
        if let Some(untaken) = once(event).and_then(|which| self.untaken.get_mut(which)) {
            *untaken = false;
            self.tell_since(event);
        }
    }

    /// Tells what has changed again while the application had not been told.
    fn tell_since(&mut self, taken: &Event) {
        let Event::Quic(taken) = taken else { return };
        if self.is_closed() {
            return;
        }
        let about = self.about.as_deref();
        let present = match taken {
            quic::Event::PeerAddress(_) => {
                about.map(|about| quic::Event::PeerAddress(about.remote))
            }
            quic::Event::LocalAddress(_) => {
                about.map(|about| quic::Event::LocalAddress(about.local_ip))
            }
            quic::Event::DatagramState(_) => self.datagram_max.map(quic::Event::DatagramState),
            _ => None,
        };
        if let Some(present) = present.filter(|present| present != taken) {
            self.tell(present);
        }
    }

    /// The application has been told of a stream's end: one that waits for its place can be
    /// accepted, in a turn that is due.
    fn note_end_taken(&mut self, key: StreamKey) {
        if key.id().initiator() != self.side {
            self.peer_open = self.peer_open.saturating_sub(1);
            if self.unaccepted.contains(&true) {
                self.deferred = self.deferred.or(self.seen);
            }
        }
    }

    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        let (drain, work) = match self.life {
            Life::Closed => return None,
            _ => (self.drain_until, self.deferred),
        };
        let confirm = match self.life {
            Life::Confirming { until, .. } => Some(until),
            _ => None,
        };
        let due = |at: Option<Instant>, why| at.map(|at| Deadline { at, why });
        let first = earliest(due(work, Why::Work), due(drain, Why::Drain));
        earliest(first, due(confirm, Why::Handshake))
    }

    fn tell(&mut self, event: quic::Event) {
        self.tell_once(Event::Quic(event));
    }

    /// Tells something, if it is not something that a peer can cause at will and that waits
    /// to be taken already.
    pub(super) fn tell_once(&mut self, event: Event) {
        if let Some(untaken) = once(&event).and_then(|which| self.untaken.get_mut(which))
            && std::mem::replace(untaken, true)
        {
            return;
        }
        self.events.push_back(event);
    }

    pub(super) fn tell_stream(&mut self, key: StreamKey, event: StreamEvent) {
        self.tell(quic::Event::Stream(key, event));
    }

    // ---- inputs -------------------------------------------------------------------

    pub(super) fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        self.work += 1;
        self.seen = Some(now);
        match event {
            TransportEvent::Readable(id) => self.on_readable(t, id),
            TransportEvent::Writable(id) => self.on_writable(id),
            TransportEvent::Finished(id) => self.on_finished(id),
            TransportEvent::Stopped(id, code) => self.on_stopped(t, id, code),
            TransportEvent::Opened(dir) => {
                if let Some(unaccepted) = self.unaccepted.get_mut(way(dir)) {
                    *unaccepted = true;
                }
            }
            TransportEvent::Available(dir) => self.on_available(t, dir),
            TransportEvent::Datagrams if self.config.datagrams => self.datagrams_waiting = true,
            // Another protocol of the server's takes them, so that the peer may send some.
            TransportEvent::Datagrams => while t.recv_datagram().is_some() {},
            TransportEvent::DatagramsUnblocked => self.tell(quic::Event::DatagramsUnblocked),
            TransportEvent::Ticket => {
                if self.config.tell_tickets {
                    self.tell_once(Event::Ticket);
                }
            }
            TransportEvent::About(about) => self.on_about(about),
            TransportEvent::StreamsBlocked(dir) => self.tell(quic::Event::PeerNeedsStreams(dir)),
            TransportEvent::Early { .. } => self.early_begun = true,
            TransportEvent::Connected { early } => self.on_connected(now, early),
            TransportEvent::Closed(reason) => return self.finish(reason),
        }
        self.catch_up(t, now);
    }

    pub(super) fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        self.left = self.config.work;
        self.deferred = None;
        self.seen = Some(now);
        match self.life {
            Life::Confirming { until, .. } if until <= now => {
                return self.refuse(t, CERTIFICATE_UNKNOWN);
            }
            _ => {}
        }
        if self.drain_until.is_some_and(|until| until <= now) {
            return self.end_drained(t);
        }
        self.catch_up(t, now);
    }

    /// Does what could not be done before: for want of the application's word, of room, or
    /// of the turn's work.
    pub(super) fn catch_up<T: Transport>(&mut self, t: &mut T, now: Instant) {
        if self.may_tell() {
            self.accept(t, now);
            if self.datagrams_waiting && !self.datagrams_told {
                self.datagrams_told = true;
                self.tell(quic::Event::Datagrams);
            }
        }
        if self.is_established() {
            self.tell_datagram_state(t);
        }
        self.end_if_drained(t);
    }

    /// Whether what the peer sends may be told.
    fn may_tell(&self) -> bool {
        match self.life {
            Life::Handshaking => !self.config.confirm,
            Life::Established => true,
            Life::Confirming { .. } => false,
            Life::Closed => self.readable,
        }
    }

    fn tell_datagram_state<T: Transport>(&mut self, t: &T) {
        let max = t.max_datagram_size().filter(|_| self.config.datagrams);
        if self.datagram_max != Some(max) {
            self.datagram_max = Some(max);
            self.tell(quic::Event::DatagramState(max));
        }
    }

    /// Accepts what the peer has opened, as far as there is room for it.
    fn accept<T: Transport>(&mut self, t: &mut T, now: Instant) {
        for dir in DIRS {
            while self.unaccepted.get(way(dir)) == Some(&true) {
                if self.peer_open >= self.config.open_streams {
                    break;
                }
                if self.left == 0 {
                    self.deferred = Some(now);
                    return;
                }
                let Some(id) = t.accept(dir) else {
                    if let Some(unaccepted) = self.unaccepted.get_mut(way(dir)) {
                        *unaccepted = false;
                    }
                    break;
                };
                self.left -= 1;
                self.work += 1;
                self.on_opened(t, id);
            }
        }
    }

    fn on_opened<T: Transport>(&mut self, t: &mut T, id: StreamId) {
        self.peer_open += 1;
        let key = self.streams.insert(Stream::new(id, self.side));
        self.tell(quic::Event::Opened(key));
        if let Some(code) = self.stopped_before.remove(&id) {
            self.on_stopped(t, id, code);
        }
        // Whatever came with it was not told by itself.
        self.on_readable(t, id);
    }

    fn on_readable<T: Transport>(&mut self, t: &mut T, id: StreamId) {
        let Some(key) = self.streams.find(id) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(key) else {
            return;
        };
        if stream.recv != Recv::Open {
            return;
        }
        if let Err(StreamGone::Reset { code, .. }) = t.read(id, 0, &mut []) {
            self.on_reset(key, code);
            return;
        }
        if !std::mem::replace(&mut stream.readable_told, true) {
            self.tell_stream(key, StreamEvent::Readable);
        }
    }

    pub(super) fn on_reset(&mut self, key: StreamKey, code: u64) {
        if let Some(stream) = self.streams.get_mut(key) {
            stream.recv = Recv::Reset(code);
            stream.abandoned_by_peer(code);
            self.tell_stream(key, StreamEvent::Reset(code));
            self.settle(key);
        }
    }

    fn on_writable(&mut self, id: StreamId) {
        let Some(key) = self.streams.find(id) else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(key)
            && stream.send == Send::Open
            && std::mem::take(&mut stream.wants_writable)
        {
            self.tell_stream(key, StreamEvent::Writable);
        }
    }

    fn on_finished(&mut self, id: StreamId) {
        let Some(key) = self.streams.find(id) else {
            return;
        };
        if let Some(stream) = self.streams.get_mut(key)
            && stream.send == Send::Finishing
        {
            stream.send = Send::Finished;
            self.tell_stream(key, StreamEvent::SendOver { graceful: true });
            self.settle(key);
        }
    }

    pub(super) fn on_stopped<T: Transport>(&mut self, t: &mut T, id: StreamId, code: u64) {
        let Some(key) = self.streams.find(id) else {
            if id.initiator() != self.side && !self.streams.was_seen(id) {
                self.stopped_before.insert(id, code);
            }
            return;
        };
        if let Some(stream) = self.streams.get_mut(key)
            && stream.sending().is_ok()
        {
            //= https://www.rfc-editor.org/rfc/rfc9000#section-3.5
            // STOP_SENDING is answered with RESET_STREAM, and its code is copied.
            t.reset(id, code, &[]);
            stream.send = Send::Stopped(code);
            stream.abandoned_by_peer(code);
            self.tell_stream(key, StreamEvent::Stopped(code));
            self.tell_stream(key, StreamEvent::SendOver { graceful: false });
            self.settle(key);
        }
    }

    fn on_about(&mut self, about: Box<About>) {
        let before = self.about.replace(about.clone());
        match before {
            None if self.side == Side::Server => self.tell(quic::Event::Begun),
            None => {}
            Some(before) => {
                if before.remote != about.remote {
                    self.tell(quic::Event::PeerAddress(about.remote));
                }
                if before.local_ip != about.local_ip {
                    self.tell(quic::Event::LocalAddress(about.local_ip));
                }
            }
        }
    }

    fn on_connected(&mut self, now: Instant, early: EarlyData) {
        if self.life != Life::Handshaking {
            return;
        }
        if self.config.confirm {
            let until = after(now, self.config.confirm_timeout);
            self.life = Life::Confirming { until, early };
            self.tell(quic::Event::Confirm);
        } else {
            self.establish(early);
        }
    }

    fn establish(&mut self, early: EarlyData) {
        self.life = Life::Established;
        if early == EarlyData::Rejected && self.side == Side::Client {
            self.reject_early();
        }
        self.events.push_back(Event::Connected { early });
    }

    /// The server has seen nothing of what was sent early, and ids begin anew.
    fn reject_early(&mut self) {
        let mut before = std::mem::take(&mut self.streams);
        self.streams.restart_after(&before);
        self.queued = Default::default();
        let keys: Vec<_> = before.keys().collect();
        for key in keys {
            self.tell_stream(key, StreamEvent::EarlyDataRejected);
            let closed = before.remove(key).map(|stream| stream.closed);
            self.tell_stream(key, StreamEvent::Closed(closed.unwrap_or_default()));
        }
    }

    // ---- what the application does --------------------------------------------------

    pub(super) fn confirm<T: Transport>(
        &mut self,
        t: &mut T,
        now: Instant,
        verdict: Result<(), u8>,
    ) -> Result<(), ConfirmError> {
        match (self.life, verdict) {
            (Life::Closed, _) => return Err(ConfirmError::Closed),
            (Life::Confirming { early, .. }, Ok(())) => {
                self.establish(early);
                self.catch_up(t, now);
            }
            (Life::Confirming { .. }, Err(alert)) => self.refuse(t, alert),
            _ => return Err(ConfirmError::NotAsked),
        }
        Ok(())
    }

    /// Ends a connection whose peer is not who it should be.
    fn refuse<T: Transport>(&mut self, t: &mut T, alert: u8) {
        let reason = Bytes::from_static(b"certificate refused");
        t.refuse(alert, reason.clone());
        let code = Code::new(crypto_error(alert));
        self.finish(CloseReason::Local { code, reason });
    }

    pub(super) fn send_datagram<T: Transport>(
        &mut self,
        t: &mut T,
        datagram: Bytes,
    ) -> Result<(), DatagramError> {
        match self.life {
            Life::Closed => return Err(DatagramError::Closed),
            // Those that QUIC holds after a rejection it would send once more.
            Life::Handshaking | Life::Confirming { .. } => return Err(DatagramError::NotConnected),
            Life::Established => {}
        }
        if !self.config.datagrams {
            return Err(DatagramError::Disabled);
        }
        let len = datagram.len();
        t.send_datagram(datagram).map_err(|refused| match refused {
            DatagramRefused::Blocked(_) => DatagramError::Blocked,
            DatagramRefused::Disabled => DatagramError::Disabled,
            DatagramRefused::TooLarge => match t.peer_max_datagram_size() {
                Some(max) if len <= max => DatagramError::TooLargeForPath,
                _ => DatagramError::TooLarge,
            },
        })
    }

    pub(super) fn recv_datagram<T: Transport>(&mut self, t: &mut T) -> Option<Bytes> {
        if !self.may_tell() || !self.config.datagrams {
            return None;
        }
        let datagram = t.recv_datagram();
        match datagram {
            Some(_) => self.work += 1,
            None => (self.datagrams_waiting, self.datagrams_told) = (false, false),
        }
        datagram
    }

    pub(super) fn drain<T: Transport>(&mut self, t: &mut T, until: Instant) {
        if self.is_closed() {
            return;
        }
        let first = self.drain_until.is_none();
        let until = self.drain_until.map_or(until, |before| before.min(until));
        self.drain_until = Some(until);
        if first && self.life != Life::Handshaking {
            self.events.push_back(Event::Draining { by: self.side });
        }
        self.end_if_drained(t);
    }

    pub(super) fn end_if_drained<T: Transport>(&mut self, t: &mut T) {
        let over = self.streams.len() == 0 && self.queued.iter().all(VecDeque::is_empty);
        if self.drain_until.is_some() && over && self.life != Life::Closed {
            self.end_drained(t);
        }
    }

    fn end_drained<T: Transport>(&mut self, t: &mut T) {
        t.close(0, Bytes::new());
        self.finish(CloseReason::Drained);
    }

    pub(super) fn close<T: Transport>(
        &mut self,
        t: &mut T,
        code: u64,
        reason: Bytes,
    ) -> Result<(), CloseError> {
        if self.is_closed() {
            return Err(CloseError::Closed);
        }
        if code > MAX_CODE {
            return Err(CloseError::CodeOutOfRange);
        }
        self.end(t, code, reason);
        Ok(())
    }

    fn end<T: Transport>(&mut self, t: &mut T, code: u64, reason: Bytes) {
        t.close(code, reason.clone());
        let code = Code::new(code);
        self.finish(CloseReason::Local { code, reason });
    }

    /// The end, of all streams too. What has arrived on them may still be read.
    fn finish(&mut self, reason: CloseReason) {
        if self.is_closed() {
            return;
        }
        self.readable = self.may_tell();
        self.life = Life::Closed;
        self.queued = Default::default();
        self.stopped_before.clear();
        self.deferred = None;
        self.ended = Some(Box::new(reason.clone()));
        self.events.push_back(Event::Closed(Box::new(reason)));
    }
}

/// The alert of certificates about which nothing was said in time (RFC 8446 §6.2).
const CERTIFICATE_UNKNOWN: u8 = 46;
