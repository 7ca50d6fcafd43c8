//! Everything between an [`Endpoint`] and a UDP socket but the system calls:
//! receive buffers, batching, GSO and GRO, a bounded send queue, budgets.
//!
//! A single owner calls [`Driver::turn`] whenever the socket may be ready, the
//! deadline has come, or it has used the endpoint. Where the endpoint is behind
//! a lock, the four phases are called one by one, and the lock is held for the
//! two in the middle alone, so never during one of these system calls:
//!
//! ```text
//! receive(now, io)       no endpoint   system calls
//!   .. divert ..         no endpoint   what is another endpoint's goes there
//!   .. deliver ..        endpoint      while is_filled: receive again after it
//! feed(core, now)        endpoint      arrivals and time go in
//!   .. poll_event ..     endpoint      the owner hands events out
//! collect(core, now)     endpoint      transmits and the deadline come out
//! flush(io)              no endpoint   system calls
//! ```
//!
//! Readiness is a hint: every phase tries, and `WouldBlock` is the truth. All of
//! it is safe to call at any time, and none of it waits.

mod faults;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::time::{Duration, Instant};

pub use quinn_udp;
use quinn_udp::{EcnCodepoint, RecvMeta, UdpSockRef, UdpSocketState};

use crate::endpoint::{Arrival, Ecn, Endpoint, EndpointConfig, Transmit};
use crate::event::Event;
use crate::id::ConnKey;

use faults::Faults;

/// Buffers filled by one receive call. With GRO each holds many datagrams.
const BATCH: usize = if quinn_udp::BATCH_SIZE < 16 {
    quinn_udp::BATCH_SIZE
} else {
    16
};
/// The kernel coalesces at most this much into one buffer.
const MAX_BUFFER: usize = 65_535;
/// The most bytes a system takes at once, however many datagrams they make: what fits an IPv4
/// packet. Beyond it all of them are refused, as too long.
const MAX_SEND: usize = 65_507;
/// Transmits that wait for the socket; each is one system call.
const MAX_QUEUE: usize = 64;
/// Transmits of a part of a turn, and datagrams after which it is over.
const PART: usize = 8;
const SEGMENTS: usize = 10;
/// Datagrams of a turn that are much: as few calls as possible are made then.
const MUCH: usize = 40;
/// Buffers for transmits that are kept however few are sent.
const KEPT: usize = 4;
/// Bytes and datagrams after which a turn receives no more, in front of which others
/// wait no longer than it takes to look at their headers.
const MAX_RECEIVED: usize = 1 << 20;
const MAX_DATAGRAMS: usize = 1024;
/// Receive calls, events and flushed queues per [`Driver::turn`].
const ROUNDS: usize = 8;
/// Shortest time between two calls of [`UdpIo::restore`].
const RESTORE_EVERY: Duration = Duration::from_secs(1);
/// Events handed out per round before the socket is looked at again.
const EVENTS: usize = 256;

/// A non-blocking UDP socket: `quinn_udp::UdpSocketState` and the socket of a
/// runtime behind one object.
pub trait UdpIo {
    /// Fills buffers from the front and tells how many.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there.
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize>;

    /// Sends one transmit.
    ///
    /// # Errors
    /// `WouldBlock` when the socket's buffer is full; the transmit is tried again.
    fn send(&mut self, transmit: &quinn_udp::Transmit<'_>) -> io::Result<()>;

    /// What the socket can do at present.
    fn limits(&self) -> IoLimits;

    /// Whether a call of [`Self::recv`] that filled fewer buffers than it was given has
    /// emptied the socket, so that what comes afterwards is told as readiness anew: of
    /// `quinn_udp::UdpSocketState::recv` that is [`RECV_EMPTIES`]. By default it is not
    /// known, and another call finds out.
    fn recv_empties(&self) -> bool {
        false
    }

    /// Asks the system anew what the socket can do: with a new
    /// `quinn_udp::UdpSocketState`, which an error about one receiver (EINVAL, EIO) has
    /// made give up GSO and ECN for all. Called at most once a second, and by default
    /// nothing is done.
    ///
    /// # Errors
    /// The socket stays as it is.
    fn restore(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a call that receives many datagrams at once gives all that there are: where the
/// system has such calls. Elsewhere each gives one.
pub const RECV_EMPTIES: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// What a socket can do.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct IoLimits {
    /// Datagrams per send call (GSO); at least 1.
    pub gso: usize,
    /// Datagrams per receive buffer (GRO); at least 1.
    pub gro: usize,
    /// Whether the system may fragment what is sent; for
    /// [`EndpointConfig::may_fragment`](crate::endpoint::EndpointConfig::may_fragment).
    pub may_fragment: bool,
}

impl IoLimits {
    /// A socket that takes and gives datagrams one by one, and whose system may
    /// fragment them.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            gso: 1,
            gro: 1,
            may_fragment: true,
        }
    }

    /// The same with so many datagrams per send call.
    #[must_use]
    pub const fn gso(mut self, datagrams: usize) -> Self {
        self.gso = datagrams;
        self
    }

    /// The same with so many datagrams per receive buffer.
    #[must_use]
    pub const fn gro(mut self, datagrams: usize) -> Self {
        self.gro = datagrams;
        self
    }

    /// The same, and whether the system may fragment.
    #[must_use]
    pub const fn may_fragment(mut self, may: bool) -> Self {
        self.may_fragment = may;
        self
    }
}

impl Default for IoLimits {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&UdpSocketState> for IoLimits {
    fn from(state: &UdpSocketState) -> Self {
        Self {
            gso: state.max_gso_segments(),
            gro: state.gro_segments(),
            may_fragment: state.may_fragment(),
        }
    }
}

/// Bytes of a socket's buffers that [`prepare`] asks for.
const SOCKET_BUFFER: usize = 2 << 20;

/// Makes a socket non-blocking, turns on what the platform offers beyond send and
/// receive, and asks for 2 MiB of room for what arrives while nobody calls
/// [`Driver::receive`], and as much the other way. Systems begin with about
/// 200 KiB, which a fast sender fills in a millisecond; what overflows counts as
/// loss on the path and costs most of the speed. For adapters, once per socket.
///
/// # Errors
/// The socket cannot be used.
pub fn prepare<'s>(socket: impl Fn() -> UdpSockRef<'s>) -> io::Result<UdpSocketState> {
    let state = UdpSocketState::new(socket())?;
    // A system that grants less still works, only slower.
    let is_small = |size: io::Result<usize>| size.is_ok_and(|size| size < SOCKET_BUFFER);
    if is_small(state.recv_buffer_size(socket()))
        && let Err(error) = state.set_recv_buffer_size(socket(), SOCKET_BUFFER)
    {
        tracing::debug!(%error, "the socket's receive buffer stays small");
    }
    if is_small(state.send_buffer_size(socket()))
        && let Err(error) = state.set_send_buffer_size(socket(), SOCKET_BUFFER)
    {
        tracing::debug!(%error, "the socket's send buffer stays small");
    }
    Ok(state)
}

/// An endpoint and the driver between it and a socket of these limits.
///
/// # Errors
/// `InvalidInput` when the configuration does not suit.
pub fn open(config: EndpointConfig, limits: IoLimits) -> io::Result<(Endpoint, Driver)> {
    let core = Endpoint::new(config.may_fragment(limits.may_fragment))
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let driver = Driver::new(core.max_udp_payload(), limits);
    Ok((core, driver))
}

/// What to do next.
#[must_use]
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Turn {
    /// There is more to do at once: a budget was the limit.
    pub more: bool,
    /// The socket's send buffer is full: call again when it is writable.
    pub wants_write: bool,
    /// The socket fails at present: until the deadline nothing is received, so do not
    /// wait for it to be readable, which it may be all the time.
    pub paused: bool,
    /// Call again at this time, whatever happens before.
    pub deadline: Option<Instant>,
}

impl Turn {
    /// How long a loop may sleep when nothing wakes it; `None` for ever.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        if self.more {
            return Some(Duration::ZERO);
        }
        self.deadline.map(|at| at.saturating_duration_since(now))
    }
}

/// Buffers and queues between one endpoint and one socket.
pub struct Driver {
    scratch: Vec<u8>,
    buffer_len: usize,
    meta: [RecvMeta; BATCH],
    received: usize,
    /// Bytes and datagrams delivered in this turn.
    delivered: (usize, usize),
    /// For each received datagram, in order, whether somebody else took it; empty
    /// when all are the endpoint's.
    taken: Vec<bool>,
    queue: VecDeque<Queued>,
    spare: Vec<Vec<u8>>,
    gso: usize,
    /// Datagrams made in this turn and in the one before.
    segments: usize,
    segments_before: usize,
    /// The socket may hold more than the last call gave.
    rest: bool,
    /// The last round fed something, so the socket may hold more; its collection
    /// stopped at a full queue; its flush stopped at a full socket.
    fed: bool,
    full: bool,
    blocked: bool,
    /// The endpoint had more to do than one turn takes.
    due: bool,
    deadline: Option<Instant>,
    faults: Faults,
    /// The socket does less than it can, because of an error about one receiver.
    lessened: bool,
    /// When [`UdpIo::restore`] may be called again.
    restore_at: Option<Instant>,
}

/// A transmit that waits for the socket.
#[derive(Debug)]
struct Queued {
    transmit: Transmit,
    contents: Vec<u8>,
    /// Bytes at the front that have been sent.
    sent: usize,
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("received", &self.received)
            .field("queued", &self.queue.len())
            .field("blocked", &self.blocked)
            .finish_non_exhaustive()
    }
}

impl Driver {
    /// A driver for datagrams of at most `max_udp_payload` bytes
    /// ([`Endpoint::max_udp_payload`]) on a socket with these limits. Allocates
    /// the receive buffers, at most 1 MiB.
    #[must_use]
    pub fn new(max_udp_payload: usize, limits: IoLimits) -> Self {
        let buffer_len = max_udp_payload
            .saturating_mul(limits.gro.max(1))
            .min(MAX_BUFFER);
        Self {
            scratch: vec![0; buffer_len * BATCH],
            buffer_len,
            meta: [RecvMeta::default(); BATCH],
            received: 0,
            delivered: (0, 0),
            taken: Vec::new(),
            queue: VecDeque::with_capacity(MAX_QUEUE),
            spare: Vec::with_capacity(MAX_QUEUE),
            gso: limits.gso.max(1),
            segments: 0,
            segments_before: 0,
            rest: false,
            fed: false,
            full: false,
            blocked: false,
            due: false,
            deadline: None,
            faults: Faults::default(),
            lessened: false,
            restore_at: None,
        }
    }

    /// Receives one batch, unless the last one has not been fed yet, and tells
    /// whether there is anything to feed.
    ///
    /// After an error that may pass, the socket is left alone for a while, from 1 ms to
    /// 1 s ([`Turn::paused`]), and the endpoint is told by the next [`Self::feed`].
    ///
    /// # Errors
    /// The socket is gone for good: the system does not know it (EBADF, ENOTSOCK) or
    /// does not let it be used (kinds `NotConnected`, `BrokenPipe`, `Unsupported`).
    pub fn receive(&mut self, now: Instant, io: &mut impl UdpIo) -> io::Result<bool> {
        let may = self.faults.may_receive(now)?;
        self.restore(now, io);
        if self.received > 0 || !may {
            return Ok(self.received > 0);
        }
        let mut chunks = self.scratch.chunks_exact_mut(self.buffer_len.max(1));
        let mut bufs: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        match io.recv(&mut bufs, &mut self.meta) {
            Ok(count) => {
                self.received = count.min(BATCH);
                self.rest |= count >= BATCH || !io.recv_empties();
                self.faults.received();
            }
            Err(error) => self.faults.on_receive(now, error)?,
        }
        Ok(self.received > 0)
    }

    /// Takes back what the socket was made to do without by an error that was not about
    /// the socket.
    fn restore(&mut self, now: Instant, io: &mut impl UdpIo) {
        if !self.lessened || self.restore_at.is_some_and(|at| now < at) {
            return;
        }
        self.lessened = false;
        self.restore_at = now.checked_add(RESTORE_EVERY);
        if let Err(error) = io.restore() {
            tracing::debug!(%error, "the socket stays as it is");
        }
    }

    /// Shows what was received to `take`, once: what it answers `true` for, because
    /// it is another endpoint's, is not fed.
    pub fn divert(&mut self, mut take: impl FnMut(Arrival, &[u8]) -> bool) {
        let Self {
            scratch,
            buffer_len,
            meta,
            received,
            taken,
            ..
        } = self;
        if taken.is_empty() {
            let all = datagrams(scratch, *buffer_len, meta, *received);
            taken.extend(all.map(|(from, datagram)| take(from, datagram)));
        }
    }

    /// Whether the last call of [`Self::receive`] filled all buffers, so that the socket
    /// may hold more, and this turn takes more. Who asks for little is behind who asks for
    /// much there, and only the endpoint tells them apart.
    #[must_use]
    pub fn is_filled(&self) -> bool {
        let (bytes, datagrams) = self.delivered;
        self.received == BATCH && bytes < MAX_RECEIVED && datagrams < MAX_DATAGRAMS
    }

    /// Hands what was received to the endpoint, and not the time: more is received in this
    /// turn, and [`Self::feed`] follows.
    pub fn deliver(&mut self, core: &mut Endpoint, now: Instant) {
        let received = std::mem::take(&mut self.received);
        self.fed |= received > 0 && std::mem::take(&mut self.rest);
        let mut taken = self.taken.drain(..);
        for (from, datagram) in datagrams(&self.scratch, self.buffer_len, &self.meta, received) {
            self.delivered.0 += datagram.len();
            self.delivered.1 += 1;
            if taken.next().unwrap_or(false) {
                continue;
            }
            let datagram = core.copy_datagram(datagram);
            core.handle_datagram(now, from, datagram);
        }
    }

    /// Receives, and delivers, until the socket is empty or this turn has taken enough:
    /// [`Self::feed`] follows.
    ///
    /// # Errors
    /// As [`Self::receive`]; what was received before is the endpoint's.
    pub fn fill(
        &mut self,
        now: Instant,
        core: &mut Endpoint,
        io: &mut impl UdpIo,
    ) -> io::Result<()> {
        while self.receive(now, io)? && self.is_filled() {
            self.deliver(core, now);
        }
        Ok(())
    }

    /// Hands what was received to the endpoint, and the time.
    pub fn feed(&mut self, core: &mut Endpoint, now: Instant) {
        self.deliver(core, now);
        self.delivered = (0, 0);
        self.faults.tell(core, now);
        core.handle_timeout(now);
    }

    /// Takes transmits from the endpoint until it has no more or the queue is
    /// full, then its deadline. Call it after events were handed out, because what
    /// the owner does with them is sent here.
    pub fn collect(&mut self, core: &mut Endpoint, now: Instant) {
        self.full = true;
        while self.queue.len() < MAX_QUEUE && self.take(core, now) {}
        self.settle(core, now);
    }

    /// As [`Self::collect`] for a part of a turn, and tells whether there may be more. What is
    /// sent while the next is made arrives earlier: an owner behind a lock collects and
    /// flushes a part at a time ([`Self::flush_some`]), until this is `false`, the socket is
    /// full or [`Self::MAX_TRANSMITS`] were taken.
    pub fn collect_some(&mut self, core: &mut Endpoint, now: Instant) -> bool {
        let before = self.segments;
        self.full = true;
        for _ in 0..PART {
            let enough = self.queue.len() >= MAX_QUEUE || self.segments - before >= SEGMENTS;
            if enough || !self.take(core, now) {
                break;
            }
        }
        self.settle(core, now);
        self.full
    }

    /// Transmits of one turn.
    pub const MAX_TRANSMITS: usize = MAX_QUEUE;

    /// Puts one transmit into the queue, if there is one.
    fn take(&mut self, core: &mut Endpoint, now: Instant) -> bool {
        let mut contents = self.spare.pop().unwrap_or_default();
        // Of little the first datagrams leave before the last are made. Of much, the calls
        // are what costs.
        let is_much = self.segments.max(self.segments_before) >= MUCH;
        let most = if is_much {
            self.gso
        } else {
            self.gso.min(SEGMENTS)
        };
        let Some(transmit) = core.poll_transmit(now, most, &mut contents) else {
            self.spare.push(contents);
            self.full = false;
            return false;
        };
        let size = transmit.segment_size.unwrap_or(transmit.size);
        self.segments += transmit.size.div_ceil(size.max(1));
        self.queue.push_back(Queued {
            transmit,
            contents,
            sent: 0,
        });
        true
    }

    /// What is to be known of an endpoint from which enough was taken.
    fn settle(&mut self, core: &mut Endpoint, now: Instant) {
        self.deadline = core.poll_timeout().map(|deadline| deadline.at);
        self.due = self.deadline.is_some_and(|at| at <= now);
        // What the busiest turn has used is kept while turns use as much, and goes one by
        // one when they do not: a buffer holds up to 64 KiB.
        if self.spare.len() > self.queue.len().max(KEPT) {
            self.spare.pop();
        }
    }

    /// Sends what is queued until the socket is full, and tells what to do next. A
    /// datagram that cannot be sent is a lost datagram, which QUIC repairs.
    pub fn flush(&mut self, io: &mut impl UdpIo) -> Turn {
        self.flush_some(io);
        self.finish()
    }

    /// As [`Self::flush`] in the midst of a turn: more is collected, and `flush` follows.
    /// `false` when the socket is full.
    pub fn flush_some(&mut self, io: &mut impl UdpIo) -> bool {
        self.gso = io.limits().gso.max(1);
        self.drain(io);
        !self.blocked
    }

    /// Sends what is queued until the socket is full.
    fn drain(&mut self, io: &mut impl UdpIo) {
        self.blocked = false;
        while let Some(queued) = self.queue.front_mut() {
            match send(queued, self.gso, io) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::debug!(remote = %queued.transmit.remote, %error, "datagram not sent");
                    self.lessened |= faults::lessens(&error);
                    self.faults.on_send(queued.transmit, error);
                }
            }
            if let Some(done) = self.queue.pop_front() {
                self.spare.push(done.contents);
            }
        }
    }

    /// The end of a turn.
    fn finish(&mut self) -> Turn {
        let fed = std::mem::take(&mut self.fed);
        let paused = self.faults.paused;
        self.segments_before = std::mem::take(&mut self.segments);
        Turn {
            // A full queue before a full socket waits for the socket.
            more: fed || self.due || (self.full && !self.blocked) || self.faults.is_urgent(),
            wants_write: self.blocked,
            paused: paused.is_some(),
            deadline: self.deadline.into_iter().chain(paused).min(),
        }
    }

    /// [`Self::collect`] and [`Self::flush`] of a single owner: each transmit is sent as
    /// soon as it is made, so that the peer is at work on the first while the next ones
    /// are encrypted.
    pub fn send(&mut self, core: &mut Endpoint, now: Instant, io: &mut impl UdpIo) -> Turn {
        self.flush_some(io);
        self.full = true;
        for _ in 0..MAX_QUEUE {
            if self.blocked || !self.take(core, now) {
                break;
            }
            self.drain(io);
        }
        self.settle(core, now);
        self.finish()
    }

    /// One bounded turn of a single owner: receives, lets time pass, hands events
    /// to `sink`, sends. Never waits, and harmless when there is nothing to do.
    ///
    /// # Errors
    /// The socket is gone for good, as [`Self::receive`] says.
    pub fn turn(
        &mut self,
        now: Instant,
        core: &mut Endpoint,
        io: &mut impl UdpIo,
        sink: &mut impl FnMut(&mut Endpoint, ConnKey, Event),
    ) -> io::Result<Turn> {
        let mut turn = Turn::default();
        for _ in 0..ROUNDS {
            self.fill(now, core, io)?;
            self.feed(core, now);
            for _ in 0..EVENTS {
                let Some((key, event)) = core.poll_event() else {
                    break;
                };
                sink(core, key, event);
            }
            turn = self.send(core, now, io);
            // Sending makes events too: a full datagram buffer has room again.
            turn.more |= core.has_events();
            if !turn.more {
                break;
            }
        }
        Ok(turn)
    }

    /// Goes on with another socket, of these limits: every connection tries the new
    /// path at once. What waited for the old socket is lost, as packets are.
    pub fn rebind(&mut self, core: &mut Endpoint, now: Instant, limits: IoLimits) {
        *self = Self::new(core.max_udp_payload(), limits);
        core.handle_rebind(now);
    }

    /// Transmits that wait for the socket.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queue.len()
    }
}

/// What was received, in order, one by one.
fn datagrams<'a>(
    scratch: &'a [u8],
    buffer_len: usize,
    meta: &'a [RecvMeta],
    received: usize,
) -> impl Iterator<Item = (Arrival, &'a [u8])> {
    let buffers = scratch.chunks_exact(buffer_len.max(1));
    let filled = meta.iter().zip(buffers).take(received);
    filled.flat_map(|(meta, buffer)| {
        let from = Arrival {
            remote: meta.addr,
            local_ip: meta.dst_ip,
            ecn: meta.ecn.map(from_ecn),
        };
        let filled = buffer.get(..meta.len).unwrap_or_default();
        let datagrams = filled.chunks(meta.stride.max(1));
        datagrams.map(move |datagram| (from, datagram))
    })
}

/// Sends one transmit, in parts when it holds more datagrams than the socket now
/// takes at once. After `WouldBlock` the rest is sent by the next call.
fn send(queued: &mut Queued, gso: usize, io: &mut impl UdpIo) -> io::Result<()> {
    let Queued {
        transmit,
        contents,
        sent,
    } = queued;
    let mut step = match transmit.segment_size {
        Some(size) => size
            .saturating_mul(gso.min(MAX_SEND / size.max(1)))
            .max(size),
        None => contents.len(),
    }
    .max(1);
    while let Some(rest) = contents.get(*sent..).filter(|rest| !rest.is_empty()) {
        let part = rest.get(..step).unwrap_or(rest);
        let segments = transmit.segment_size.filter(|size| *size < part.len());
        let result = io.send(&quinn_udp::Transmit {
            destination: transmit.remote,
            ecn: transmit.ecn.map(to_ecn),
            contents: part,
            segment_size: segments,
            src_ip: transmit.local_ip,
        });
        match (result, segments) {
            (Ok(()), _) => *sent += part.len(),
            // Whether the device does not segment or the receiver cannot be reached shows
            // when the datagrams go one by one, and in the first case none is lost.
            (Err(error), Some(size)) if faults::lessens(&error) => step = size,
            (Err(error), _) => return Err(error),
        }
    }
    Ok(())
}

fn from_ecn(mark: EcnCodepoint) -> Ecn {
    match mark {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

fn to_ecn(mark: Ecn) -> EcnCodepoint {
    match mark {
        Ecn::Ect0 => EcnCodepoint::Ect0,
        Ecn::Ect1 => EcnCodepoint::Ect1,
        Ecn::Ce => EcnCodepoint::Ce,
    }
}

#[cfg(all(test, feature = "pair"))]
mod tests;
