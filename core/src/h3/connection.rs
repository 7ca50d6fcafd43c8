//! The HTTP/3 connection: dispatch of transport events, and the one place where faults
//! become closes and resets.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::budget::Budget;
use super::local::LocalStream;
use super::streams::{Kind, Recv, Send, StreamTable};
use super::{Claims, Fact, H3Event};
use crate::config::Config;
use crate::fault::Fault;
use crate::id::{Dir, Side, StreamId, StreamKey};
use crate::stats::Stats;
use crate::time::heap::Timers;
use crate::transport::Transport;
use crate::wire::frame::StreamKind;
use crate::wire::frame_reader::{FrameReader, FrameRules};
use crate::wire::priority::Priority;
use crate::wire::qpack::{Decoder, Encoder};
use crate::wire::settings::{SettingId, Settings};

/// Most bytes read from a stream at a time: what is read ahead of the application is kept
/// here, for each stream, and the peer has its credit for it back.
pub(super) const CHUNK: usize = 4 * 1024;

/// What the tails of DATA frames may come to, of all requests together, as long as
/// [`LEAST_FRAME`] for each is less.
pub(super) const TAILS: usize = 512 * 1024;

/// Payload that a DATA frame may have in any case.
pub(super) const LEAST_FRAME: usize = 4 * 1024;

/// Size of the buffer that frame headers are cut from.
pub(super) const ARENA: usize = 4096;

/// Which critical streams the peer has opened.
#[derive(Debug, Default)]
pub(super) struct PeerStreams {
    pub(super) control: bool,
    pub(super) encoder: bool,
    pub(super) decoder: bool,
}

/// State of one HTTP/3 connection.
#[derive(Debug)]
pub(crate) struct H3 {
    pub(crate) side: Side,
    pub(crate) config: Arc<Config>,
    pub(super) seed: u64,
    pub(super) claims: Claims,
    /// Sent along with our own; set before the connection is established.
    pub(crate) extension_settings: Vec<(SettingId, u64)>,
    pub(crate) table: StreamTable,
    pub(super) events: VecDeque<H3Event>,
    pub(super) control_out: LocalStream,
    pub(super) encoder_out: LocalStream,
    pub(super) decoder_out: LocalStream,
    pub(super) peer_streams: PeerStreams,
    pub(super) control_reader: FrameReader,
    pub(crate) peer_settings: Option<Settings>,
    /// What the server said on an earlier connection, while it may count (client).
    pub(super) remembered: Option<Settings>,
    /// The handshake is complete.
    pub(crate) established: bool,
    /// Since when the peer can say and allow what a connection begins with.
    pub(super) greeted_from: Option<Instant>,
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
    /// When acknowledgments of field sections go by themselves.
    pub(super) acks_due: Option<Instant>,
    pub(super) arena: BytesMut,
    /// Size of its next block, which grows to [`ARENA`].
    pub(super) arena_block: usize,
    /// A field section while it is encoded; empty between calls.
    pub(super) section: BytesMut,
    pub(crate) goaway_sent: Option<u64>,
    pub(crate) goaway_received: Option<u64>,
    pub(super) peer_max_push_id: Option<u64>,
    /// Requests and tunnels in the table.
    pub(crate) exchanges: usize,
    /// Requests that are over and that the application has not let go of.
    /// With the size of their heads, and whether the peer gave them up.
    pub(super) outliving: BTreeMap<StreamId, (usize, bool)>,
    /// Size of the heads of all requests that are under way (server).
    pub(super) head_bytes: usize,
    /// Bytes of datagrams in all rings.
    pub(crate) ring_bytes: usize,
    pub(super) early_priorities: VecDeque<(StreamId, Priority)>,
    pub(super) budget: Budget,
    /// Streams on which something is waited for.
    pub(super) waits: Timers<StreamKey>,
    /// Bytes that the transport has taken of messages.
    pub(crate) sent: u64,
    /// Bytes of messages that the transport has given.
    pub(super) received: u64,
    /// Requests that were answered in full and whose content nobody has begun to read,
    /// the oldest first; those that are over stay for a while.
    pub(super) unread: VecDeque<StreamKey>,
    /// Events that ask about requests and were not taken, or were left out.
    pub(crate) untaken: usize,
    /// Requests in `outliving` that the peer gave up.
    pub(super) cut: usize,
    /// Since when there has been no request (server).
    pub(crate) idle_since: Option<Instant>,
    pub(crate) stats: Stats,
    /// Somebody looks at the lines of received heads.
    pub(crate) keep_lines: bool,
    closed: bool,
}

impl H3 {
    /// A connection that has not heard anything.
    pub(crate) fn new(side: Side, config: Arc<Config>, seed: u64, claims: Claims) -> Self {
        let limits = &config.limits;
        let decoder =
            Decoder::new(limits.qpack_table, limits.qpack_blocked_streams).max_lines(limits.fields);
        Self {
            side,
            seed,
            claims,
            extension_settings: Vec::new(),
            table: StreamTable::default(),
            events: VecDeque::new(),
            control_out: LocalStream::new(0x00),
            encoder_out: LocalStream::new(0x02),
            decoder_out: LocalStream::new(0x03),
            peer_streams: PeerStreams::default(),
            control_reader: FrameReader::new(),
            peer_settings: None,
            remembered: None,
            established: false,
            greeted_from: None,
            encoder: Encoder::new(),
            decoder,
            acks_due: None,
            arena: BytesMut::new(),
            arena_block: ARENA / 16,
            section: BytesMut::new(),
            goaway_sent: None,
            goaway_received: None,
            peer_max_push_id: None,
            exchanges: 0,
            outliving: BTreeMap::new(),
            head_bytes: 0,
            ring_bytes: 0,
            early_priorities: VecDeque::new(),
            budget: Budget::new(limits.work),
            waits: Timers::default(),
            sent: 0,
            received: 0,
            unread: VecDeque::new(),
            untaken: 0,
            cut: 0,
            idle_since: None,
            stats: Stats::default(),
            keep_lines: config.field_lines,
            closed: false,
            config,
        }
    }

    /// The peer opened streams.
    pub(crate) fn on_opened<T: Transport>(&mut self, t: &mut T, dir: Dir) {
        let result = self.accept(t, dir);
        self.fail(t, result);
    }

    /// A stream has bytes, an end or a reset.
    pub(crate) fn on_readable<T: Transport>(&mut self, t: &mut T, id: StreamId) {
        let Some(key) = self.table.find(id) else {
            return;
        };
        let Some(slot) = self.table.get_mut(key) else {
            return;
        };
        let result = match &slot.kind {
            Kind::Raw(_) => {
                if slot.tell_readable() {
                    self.events.push_back(H3Event::On(key, Fact::Readable));
                }
                return;
            }
            Kind::Exchange(_) => self.pump(t, key),
            Kind::Unidentified(_) => self.identify(t, key),
            kind if Self::is_peer_critical(kind) => self.read_critical(t, key, false),
            _ => return,
        };
        self.fail(t, result);
    }

    /// The transport takes bytes of a stream again.
    pub(crate) fn on_writable<T: Transport>(&mut self, t: &mut T, id: StreamId) {
        match self.table.find(id) {
            Some(key) => self.write_on(t, key),
            None => self.flush_local(t),
        }
    }

    /// The peer acknowledged all of a stream.
    pub(crate) fn on_finished<T: Transport>(&mut self, t: &mut T, id: StreamId) {
        if let Some(key) = self.table.find(id) {
            let result = self.on_delivered(t, key);
            self.fail(t, result);
        }
    }

    /// The peer sent STOP_SENDING.
    pub(crate) fn on_stopped<T: Transport>(&mut self, t: &mut T, id: StreamId, code: u64) {
        let result = match self.table.find(id) {
            Some(key) => self.answer_stop(t, key, code),
            None => self.on_local_stopped(id),
        };
        self.fail(t, result);
    }

    /// Whether there is anything to tell the layer above.
    #[inline]
    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// The next thing to tell the layer above.
    pub(crate) fn poll_event(&mut self) -> Option<H3Event> {
        self.events.pop_front()
    }

    /// Says once that a stream can be read, until a read ends blocked.
    pub(super) fn tell_readable(&mut self, key: StreamKey) {
        if let Some(slot) = self.table.get_mut(key)
            && slot.tell_readable()
        {
            self.events.push_back(H3Event::On(key, Fact::Readable));
        }
    }

    /// What is to be said of a stream when it is introduced to its owner: whether it
    /// may be read, which is then not said again, and the code of a stop that came
    /// before.
    pub(crate) fn introduce(&mut self, key: StreamKey) -> (bool, Option<u64>) {
        let Some(slot) = self.table.get_mut(key) else {
            return (false, None);
        };
        let readable = slot.recv != Recv::Closed;
        slot.readable_told = readable;
        let stopped = match slot.send {
            Send::Stopped(code) => Some(code),
            _ => None,
        };
        (readable, stopped)
    }

    /// Says once that both halves of a stream are over, when they are.
    pub(crate) fn settle(&mut self, key: StreamKey) {
        if let Some(slot) = self.table.get_mut(key)
            && slot.is_over()
            && !std::mem::replace(&mut slot.over_told, true)
        {
            let identified = !matches!(slot.kind, Kind::Unidentified(_));
            self.events.push_back(H3Event::Over {
                stream: key,
                identified,
            });
        }
    }

    /// What frames may look like on a request stream.
    pub(super) fn rules(&self) -> FrameRules {
        FrameRules {
            kind: StreamKind::Request,
            receiver: self.side,
            max_section: self.config.limits.field_section_encoded,
            max_control: self.config.limits.control_frame,
        }
    }

    /// Deals with a fault of one stream and passes on any other.
    pub(crate) fn settle_fault<T: Transport>(
        &mut self,
        t: &mut T,
        result: Result<(), Fault>,
    ) -> Result<(), Fault> {
        match result {
            Err(Fault::Stream(..)) => {
                self.fail(t, result);
                Ok(())
            }
            other => other,
        }
    }

    /// The one place where a fault has consequences.
    pub(crate) fn fail<T: Transport>(&mut self, t: &mut T, result: Result<(), Fault>) {
        match result {
            Ok(()) => {}
            Err(Fault::Connection(why)) => {
                if !std::mem::replace(&mut self.closed, true) {
                    tracing::debug!(code = %why.code(), %why, "closing the connection");
                    t.close(
                        why.code().value(),
                        Bytes::from_static(why.text().as_bytes()),
                    );
                    self.events.push_back(H3Event::Failed(why));
                }
            }
            Err(Fault::Stream(key, why)) => {
                tracing::debug!(stream = %key.id, code = %why.code(), %why, "resetting a stream");
                self.events
                    .push_back(H3Event::On(key, Fact::Malformed(why)));
                //= https://www.rfc-editor.org/rfc/rfc9114#section-8
                // A stream error ends both halves, one that was finished too as
                // long as the peer has not acknowledged it.
                if let Some(slot) = self.table.get_mut(key) {
                    if slot.send == Send::Finished {
                        slot.send = Send::Finishing;
                    }
                    if let Some(exchange) = slot.exchange() {
                        exchange.cut = true;
                    }
                }
                self.abandon(t, key, why.code());
                self.flush_local(t);
                let result = self.nuisance(1);
                if result.is_err() {
                    self.fail(t, result);
                }
            }
        }
    }

    /// The connection is over: a fault closes nothing any more, and tells nobody.
    pub(crate) fn set_closed(&mut self) {
        self.closed = true;
    }

    /// Whether datagrams may be sent: both sides said so.
    pub(crate) fn datagrams_enabled(&self) -> bool {
        //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
        // The setting was sent and received.
        self.config.datagrams
            && self
                .settings_in_force()
                .is_some_and(|settings| settings.h3_datagram())
    }
}
