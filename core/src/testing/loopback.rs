//! A [`Transport`](crate::transport::Transport) without QUIC: two ends joined by queues in memory.
//!
//! Nothing moves by itself: [`Loopback::step`] carries one piece of something
//! from one end to the other and tells what each side would hear from QUIC.
//! How much, in which order and what gets lost is drawn from [`Knobs::seed`],
//! so that a run is repeated exactly by repeating its seed.
//!
//! What quinn-proto does is done here too, where a layer above could trip over
//! it: a stream opens all lower ones of its class; the first bytes of a peer's
//! stream are told by `Opened` alone; a reset discards what was not read;
//! closing discards what was not delivered; a stopped stream waits for its
//! reset; the closing side hears nothing about its own close.

mod knobs;
mod transport;

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::code::Code;
use crate::error::{CloseReason, TransportFailure};
use crate::id::{Dir, Side, StreamId};
use crate::transport::{EarlyData, TransportEvent};

pub use self::knobs::{Knobs, Rng};

/// The two ends and the way between them.
#[derive(Debug)]
pub struct Loopback {
    ends: [End; 2],
    rng: Rng,
    delay: u8,
    turn: Side,
}

impl Loopback {
    /// Two ends that behave alike.
    #[must_use]
    pub fn new(knobs: Knobs) -> Self {
        Self::with_ends(knobs.clone(), knobs)
    }

    /// Two ends with limits of their own. Seed and delay are the client's.
    #[must_use]
    pub fn with_ends(client: Knobs, server: Knobs) -> Self {
        let (seed, delay) = (client.seed, client.delay);
        Self {
            ends: [
                End::new(Side::Client, client),
                End::new(Side::Server, server),
            ],
            rng: Rng::new(seed),
            delay,
            turn: Side::Server,
        }
    }

    /// One end.
    pub fn end(&mut self, side: Side) -> &mut End {
        let [client, server] = &mut self.ends;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// Ends the connection for both sides without a word from either.
    pub fn fail(&mut self, failure: &TransportFailure, out: &mut Vec<(Side, TransportEvent)>) {
        for end in &mut self.ends {
            if !end.over {
                end.forget_everything();
                let reason = CloseReason::Transport(failure.clone());
                out.push((end.side, TransportEvent::Closed(reason)));
            }
        }
    }

    /// Moves one piece of something and appends what QUIC would tell. False when
    /// nothing is left to move: more happens only after the sides act.
    pub fn step(&mut self, out: &mut Vec<(Side, TransportEvent)>) -> bool {
        if self.delay > 0 && self.ends.iter().any(End::has_work) && self.rng.percent(self.delay) {
            return true;
        }
        let reorder = self.ends.iter().any(|end| end.knobs.reorder);
        self.turn = if reorder && self.rng.below(2) == 0 {
            self.turn
        } else {
            self.turn.peer()
        };
        for side in [self.turn, self.turn.peer()] {
            let [client, server] = &mut self.ends;
            let (from, to) = match side {
                Side::Client => (client, server),
                Side::Server => (server, client),
            };
            if transmit(from, to, out) {
                return true;
            }
        }
        false
    }
}

/// A message beside the stream data.
#[derive(Debug)]
enum Control {
    Stop(StreamId, u64),
    /// All of a finished stream has arrived.
    Ack(StreamId),
    MaxStreamData(StreamId, u64),
    MaxData(u64),
    MaxStreams(Dir, u64),
}

/// One end of a [`Loopback`].
#[derive(Debug)]
pub struct End {
    side: Side,
    knobs: Knobs,
    rng: Rng,
    connected: bool,
    /// Early data may go out, or comes.
    early: bool,
    /// Closed by either side: nothing is sent or taken any more.
    over: bool,
    close: Option<(u64, Bytes)>,
    streams: BTreeMap<StreamId, Stream>,
    classes: [Class; 2],
    control: VecDeque<Control>,
    /// Streams with something to deliver, each at most once.
    ready: VecDeque<StreamId>,
    /// Streams whose last write was not taken whole, each at most once.
    blocked: VecDeque<StreamId>,
    /// Bytes written, ever, and how many the peer allows.
    sent: u64,
    max_sent: u64,
    /// Bytes written and not delivered.
    unsent: u64,
    /// Bytes read or discarded, ever, and how many the peer was allowed.
    consumed: u64,
    granted: u64,
    datagrams_in: VecDeque<Bytes>,
    datagrams_out: VecDeque<Bytes>,
    datagrams_blocked: bool,
    datagrams_lost: usize,
    peer_datagram_size: Option<usize>,
    peer_stream_window: u64,
}

/// Counts of one direction's streams, both initiators.
#[derive(Debug, Default)]
struct Class {
    opened: u64,
    max_opened: u64,
    /// Opened by the peer, told to the user, allowed to the peer.
    arrived: u64,
    accepted: u64,
    max_arrived: u64,
}

#[derive(Debug, Default)]
struct Stream {
    send: Option<SendHalf>,
    recv: Option<RecvHalf>,
}

#[derive(Debug, Default)]
struct SendHalf {
    queue: VecDeque<Bytes>,
    /// Bytes written, delivered, and allowed by the peer.
    written: u64,
    delivered: u64,
    max: u64,
    fin: bool,
    fin_delivered: bool,
    reset: Option<(u64, u64)>,
    stopped: Option<u64>,
    blocked: bool,
    ready: bool,
    priority: i32,
}

#[derive(Debug, Default)]
struct RecvHalf {
    queue: VecDeque<Bytes>,
    /// Bytes that arrived, were read, and are allowed to the peer.
    arrived: u64,
    read: u64,
    granted: u64,
    fin: bool,
    /// Code and final size.
    reset: Option<(u64, u64)>,
    stopped: bool,
}

const fn ix(dir: Dir) -> usize {
    match dir {
        Dir::Bi => 0,
        Dir::Uni => 1,
    }
}

impl End {
    fn new(side: Side, knobs: Knobs) -> Self {
        let rng = Rng::new(knobs.seed.wrapping_mul(2).wrapping_add(side as u64));
        Self {
            side,
            rng,
            connected: false,
            early: false,
            over: false,
            close: None,
            streams: BTreeMap::new(),
            classes: [Class::default(), Class::default()],
            control: VecDeque::new(),
            ready: VecDeque::new(),
            blocked: VecDeque::new(),
            sent: 0,
            max_sent: 0,
            unsent: 0,
            consumed: 0,
            granted: 0,
            datagrams_in: VecDeque::new(),
            datagrams_out: VecDeque::new(),
            datagrams_blocked: false,
            datagrams_lost: 0,
            peer_datagram_size: None,
            peer_stream_window: 0,
            knobs,
        }
    }

    /// Streams this end has not forgotten: both halves over, and told so.
    #[must_use]
    pub fn live_streams(&self) -> usize {
        self.streams.len()
    }

    /// Datagrams that this end sent and that the network lost.
    #[must_use]
    pub fn datagrams_lost(&self) -> usize {
        self.datagrams_lost
    }

    /// What the limits and losses are; they can be changed at any time.
    pub fn knobs(&mut self) -> &mut Knobs {
        &mut self.knobs
    }

    /// Streams that the peer has allowed this end to open, ever (RFC 9000 §19.11).
    #[must_use]
    pub fn granted(&self, dir: Dir) -> u64 {
        self.classes[ix(dir)].max_opened
    }

    /// The priority last given to a stream that is still sending.
    #[must_use]
    pub fn priority(&self, id: StreamId) -> Option<i32> {
        Some(self.streams.get(&id)?.send.as_ref()?.priority)
    }

    fn has_work(&self) -> bool {
        (!self.connected && !self.knobs.held)
            || self.close.is_some()
            || !self.control.is_empty()
            || !self.ready.is_empty()
            || !self.datagrams_out.is_empty()
    }

    /// Whether it has early data to send, or to take.
    fn may_be_early(&self, peer: &Self) -> bool {
        match self.side {
            Side::Client => self.knobs.remembered.is_some(),
            Side::Server => peer.early && self.knobs.early == EarlyData::Accepted,
        }
    }

    /// As quinn does when early data was rejected: no stream of this side's is known any
    /// more, and none was ever counted.
    fn forget_early(&mut self) {
        let side = self.side;
        self.streams.retain(|id, _| id.initiator() != side);
        self.control.clear();
        self.ready.clear();
        self.blocked.clear();
        for class in &mut self.classes {
            class.opened = 0;
        }
        (self.sent, self.unsent) = (0, 0);
    }

    fn forget_everything(&mut self) {
        self.over = true;
        self.control.clear();
        self.ready.clear();
        self.blocked.clear();
        self.datagrams_out.clear();
    }

    fn pick(&mut self, len: usize) -> usize {
        if self.knobs.reorder {
            self.rng.below(len as u64) as usize
        } else {
            0
        }
    }

    /// How many bytes the stream would take now.
    fn room(&self, send: &SendHalf) -> u64 {
        let stream = send.max.saturating_sub(send.written);
        let connection = self.max_sent.saturating_sub(self.sent);
        stream
            .min(connection)
            .min(self.knobs.send_buffer.saturating_sub(self.unsent))
    }

    fn mark_ready(&mut self, id: StreamId) {
        let send = self.streams.get_mut(&id).and_then(|s| s.send.as_mut());
        if let Some(send) = send.filter(|send| !send.ready) {
            send.ready = true;
            self.ready.push_back(id);
        }
    }

    fn add(&mut self, id: StreamId) {
        let mine = id.initiator() == self.side;
        let stream = Stream {
            send: (id.dir() == Dir::Bi || mine).then(|| SendHalf {
                max: self.peer_stream_window,
                ..SendHalf::default()
            }),
            recv: (id.dir() == Dir::Bi || !mine).then(|| RecvHalf {
                granted: self.knobs.stream_window,
                ..RecvHalf::default()
            }),
        };
        self.streams.insert(id, stream);
    }

    fn end_recv(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.recv = None;
        }
        self.settle(id);
    }

    /// Makes a stream of the peer known, with all lower ones of its class. True
    /// if it was not known before.
    fn arrive(&mut self, id: StreamId, out: &mut Vec<(Side, TransportEvent)>) -> bool {
        if id.initiator() == self.side || id.number() < self.classes[ix(id.dir())].arrived {
            return false;
        }
        while self.classes[ix(id.dir())].arrived <= id.number() {
            let number = self.classes[ix(id.dir())].arrived;
            self.classes[ix(id.dir())].arrived = number + 1;
            self.add(StreamId::new(self.side.peer(), id.dir(), number));
        }
        out.push((self.side, TransportEvent::Opened(id.dir())));
        true
    }

    fn consume(&mut self, bytes: u64) {
        self.consumed += bytes;
        let window = self.knobs.connection_window;
        if self.consumed + window - self.granted >= (window / 8).max(1) {
            self.granted = self.consumed + window;
            self.control.push_back(Control::MaxData(self.granted));
        }
    }

    /// Forgets a stream whose halves are both over and lets the peer open another.
    fn settle(&mut self, id: StreamId) {
        let over = self
            .streams
            .get(&id)
            .is_some_and(|s| s.send.is_none() && s.recv.is_none());
        if !over {
            return;
        }
        self.streams.remove(&id);
        if id.initiator() != self.side {
            let class = &mut self.classes[ix(id.dir())];
            class.max_arrived += 1;
            self.control
                .push_back(Control::MaxStreams(id.dir(), class.max_arrived));
        }
    }

    fn on_data(
        &mut self,
        id: StreamId,
        data: Bytes,
        fin: bool,
        out: &mut Vec<(Side, TransportEvent)>,
    ) {
        let opened = self.arrive(id, out);
        if fin {
            self.control.push_back(Control::Ack(id));
        }
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(recv) = &mut stream.recv else { return };
        let len = data.len() as u64;
        recv.arrived += len;
        recv.fin |= fin;
        if recv.stopped {
            if fin {
                stream.recv = None;
            }
            self.consume(len);
            self.settle(id);
            return;
        }
        if len > 0 {
            recv.queue.push_back(data);
        }
        if !opened {
            out.push((self.side, TransportEvent::Readable(id)));
        }
    }

    /// A reset with the stream's final size; what lies beyond `reliable` is lost.
    fn on_reset(
        &mut self,
        id: StreamId,
        code: u64,
        size: u64,
        reliable: u64,
        out: &mut Vec<(Side, TransportEvent)>,
    ) {
        let opened = self.arrive(id, out);
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let Some(recv) = &mut stream.recv else { return };
        let (was_stopped, read, arrived) = (recv.stopped, recv.read, recv.arrived);
        let mut keep = reliable.saturating_sub(read);
        let mut kept = 0;
        recv.queue.retain_mut(|chunk| {
            let n = keep.min(chunk.len() as u64);
            chunk.truncate(n as usize);
            keep -= n;
            kept += n;
            n > 0
        });
        recv.reset = Some((code, size));
        recv.fin = false;
        if was_stopped {
            stream.recv = None;
            self.consume(size - arrived);
            self.settle(id);
            return;
        }
        if !opened {
            out.push((self.side, TransportEvent::Readable(id)));
        }
        self.consume(size - read - kept);
    }

    fn on_control(&mut self, message: Control, out: &mut Vec<(Side, TransportEvent)>) {
        match message {
            Control::Stop(id, code) => {
                self.arrive(id, out);
                let send = self.streams.get_mut(&id).and_then(|s| s.send.as_mut());
                if let Some(send) = send.filter(|s| s.stopped.is_none() && s.reset.is_none()) {
                    send.stopped = Some(code);
                    out.push((self.side, TransportEvent::Stopped(id, code)));
                }
            }
            Control::Ack(id) => {
                let Some(stream) = self.streams.get_mut(&id) else {
                    return;
                };
                // A finished stream that was reset before the acknowledgement
                // ends by the reset.
                if stream
                    .send
                    .as_ref()
                    .is_some_and(|s| s.fin_delivered && s.reset.is_none())
                {
                    stream.send = None;
                    out.push((self.side, TransportEvent::Finished(id)));
                    self.settle(id);
                }
            }
            Control::MaxStreamData(id, max) => {
                if let Some(send) = self.streams.get_mut(&id).and_then(|s| s.send.as_mut()) {
                    send.max = send.max.max(max);
                }
            }
            Control::MaxData(max) => self.max_sent = self.max_sent.max(max),
            Control::MaxStreams(dir, max) => {
                let class = &mut self.classes[ix(dir)];
                if max > class.max_opened {
                    class.max_opened = max;
                    out.push((self.side, TransportEvent::Available(dir)));
                }
            }
        }
    }

    /// Tells blocked writers that there is room.
    fn unblock(&mut self, out: &mut Vec<(Side, TransportEvent)>) -> bool {
        let before = out.len();
        for _ in 0..self.blocked.len() {
            let Some(id) = self.blocked.pop_front() else {
                break;
            };
            let Some(send) = self.streams.get(&id).and_then(|s| s.send.as_ref()) else {
                continue;
            };
            if send.fin || send.reset.is_some() || send.stopped.is_some() {
                continue;
            }
            if self.room(send) == 0 {
                self.blocked.push_back(id);
                continue;
            }
            if let Some(send) = self.streams.get_mut(&id).and_then(|s| s.send.as_mut()) {
                send.blocked = false;
            }
            out.push((self.side, TransportEvent::Writable(id)));
        }
        if self.datagrams_blocked && self.datagrams_out.len() < self.knobs.datagram_queue {
            self.datagrams_blocked = false;
            out.push((self.side, TransportEvent::DatagramsUnblocked));
        }
        out.len() > before
    }
}

/// Carries one thing from one end to the other.
fn transmit(from: &mut End, to: &mut End, out: &mut Vec<(Side, TransportEvent)>) -> bool {
    if let Some((code, reason)) = from.close.take() {
        if !to.over {
            to.forget_everything();
            to.close = None;
            let reason = CloseReason::Remote {
                code: Code::new(code),
                reason,
            };
            out.push((to.side, TransportEvent::Closed(reason)));
        }
        return true;
    }
    if from.over || to.over {
        return false;
    }
    if !from.connected {
        if !from.early && from.may_be_early(to) {
            return begin_early(from, to, out);
        }
        if !from.knobs.held {
            return greet(from, to, out);
        }
        if !from.early {
            return false;
        }
    }
    // A server can read early data, and a client nothing before the handshake.
    let reads_early = to.early && to.side == Side::Server;
    if !to.connected && !reads_early {
        return false;
    }
    let first = if from.knobs.reorder {
        from.rng.below(3)
    } else {
        0
    };
    (0..3).any(|n| match (first + n) % 3 {
        0 => transmit_control(from, to, out),
        1 => transmit_stream(from, to, out),
        _ => transmit_datagram(from, to, out),
    }) || from.unblock(out)
}

/// The handshake, as far as the layer above notices: limits become known.
fn greet(from: &mut End, to: &mut End, out: &mut Vec<(Side, TransportEvent)>) -> bool {
    from.connected = true;
    let mut early = from.knobs.early;
    if from.side == Side::Server && early == EarlyData::Rejected {
        // It has not seen any.
        early = EarlyData::None;
    }
    if from.early && from.side == Side::Client && early != EarlyData::Accepted {
        early = EarlyData::Rejected;
        from.forget_early();
        from.early = false;
    }
    if !from.early {
        allow(from, to);
    }
    out.push((from.side, TransportEvent::Connected { early }));
    true
}

/// Early data may go out from here on, or comes.
fn begin_early(from: &mut End, to: &mut End, out: &mut Vec<(Side, TransportEvent)>) -> bool {
    from.early = true;
    allow(from, to);
    let remembered = match from.side {
        Side::Client => from.knobs.remembered.clone().map(Box::new),
        Side::Server => None,
    };
    out.push((from.side, TransportEvent::Early { remembered }));
    true
}

/// What an end may send, by the other's limits.
fn allow(from: &mut End, to: &mut End) {
    from.max_sent = to.knobs.connection_window;
    to.granted = to.knobs.connection_window;
    from.peer_stream_window = to.knobs.stream_window;
    from.peer_datagram_size = to.knobs.datagram_size;
    for (dir, max) in [
        (Dir::Bi, to.knobs.bi_streams),
        (Dir::Uni, to.knobs.uni_streams),
    ] {
        from.classes[ix(dir)].max_opened = max;
        to.classes[ix(dir)].max_arrived = max;
    }
}

fn transmit_control(from: &mut End, to: &mut End, out: &mut Vec<(Side, TransportEvent)>) -> bool {
    let at = from.pick(from.control.len());
    let Some(message) = from.control.remove(at) else {
        return false;
    };
    to.on_control(message, out);
    true
}

fn transmit_datagram(from: &mut End, to: &mut End, out: &mut Vec<(Side, TransportEvent)>) -> bool {
    let at = from.pick(from.datagrams_out.len());
    let Some(datagram) = from.datagrams_out.remove(at) else {
        return false;
    };
    if from.rng.percent(from.knobs.datagram_loss) {
        from.datagrams_lost += 1;
    } else {
        to.datagrams_in.push_back(datagram);
        if to.datagrams_in.len() == 1 {
            out.push((to.side, TransportEvent::Datagrams));
        }
    }
    true
}

fn transmit_stream(from: &mut End, to: &mut End, out: &mut Vec<(Side, TransportEvent)>) -> bool {
    let Some(id) = take_ready(from) else {
        return false;
    };
    let limit = match from.knobs.max_chunk {
        usize::MAX => u64::MAX,
        max => 1 + from.rng.below(max as u64),
    };
    let coalesce = from.knobs.coalesce;
    let apart = from.knobs.reorder && from.rng.below(2) == 0;
    let Some(stream) = from.streams.get_mut(&id) else {
        return true;
    };
    let Some(send) = &mut stream.send else {
        return true;
    };
    send.ready = false;

    if let Some((code, reliable)) = send
        .reset
        .filter(|(_, reliable)| send.delivered >= *reliable)
    {
        let size = send.written;
        stream.send = None;
        from.settle(id);
        to.on_reset(id, code, size, reliable, out);
        return true;
    }
    let data = take_chunk(&mut send.queue, limit, coalesce);
    send.delivered += data.len() as u64;
    from.unsent -= data.len() as u64;
    let ends = send.fin && send.queue.is_empty() && send.reset.is_none();
    // The end may come by itself, after the bytes.
    let fin = ends && !send.fin_delivered && (data.is_empty() || !apart);
    send.fin_delivered |= fin;
    let more = !send.queue.is_empty() || send.reset.is_some() || (ends && !send.fin_delivered);
    if more {
        from.mark_ready(id);
    }
    if !data.is_empty() || fin {
        to.on_data(id, data, fin, out);
    }
    true
}

/// The stream that goes next: any one when reordering, else the first of the
/// highest priority.
fn take_ready(from: &mut End) -> Option<StreamId> {
    let at = if from.knobs.reorder {
        from.pick(from.ready.len())
    } else {
        let mut best: Option<(usize, i32)> = None;
        for (at, id) in from.ready.iter().enumerate() {
            let priority = from.priority(*id).unwrap_or(0);
            if best.is_none_or(|(_, highest)| priority > highest) {
                best = Some((at, priority));
            }
        }
        best?.0
    };
    from.ready.remove(at)
}

/// At most `limit` bytes from the front: a piece of the first chunk or, when
/// joining, of as many chunks as it takes.
fn take_chunk(queue: &mut VecDeque<Bytes>, limit: u64, coalesce: bool) -> Bytes {
    let Some(front) = queue.front_mut() else {
        return Bytes::new();
    };
    if front.len() as u64 > limit {
        return front.split_to(limit as usize);
    }
    let first = queue.pop_front().unwrap_or_default();
    if !coalesce || queue.is_empty() || first.len() as u64 == limit {
        return first;
    }
    let mut joined = BytesMut::from(&first[..]);
    while let Some(next) = queue.front_mut() {
        let room = limit - joined.len() as u64;
        if next.len() as u64 > room {
            joined.extend_from_slice(&next.split_to(room as usize));
            break;
        }
        joined.extend_from_slice(next);
        queue.pop_front();
    }
    joined.freeze()
}

#[cfg(test)]
mod tests;
