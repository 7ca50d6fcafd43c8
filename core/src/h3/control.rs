//! The control streams: SETTINGS both ways, GOAWAY, PRIORITY_UPDATE, and what a
//! peer may not say there.

use bytes::{BufMut, Bytes};

use super::connection::{CHUNK, H3};
use super::streams::{Kind, Recv, Wait};
use super::{Fact, H3Event};
use crate::fault::{Fault, Violation};
use crate::id::{Dir, Side, StreamId, StreamKey};
use crate::time::Why;
use crate::transport::{ReadState, Transport};
use crate::wire::frame::{self, StreamKind};
use crate::wire::frame_reader::{FrameEvent, FrameRules};
use crate::wire::grease;
use crate::wire::priority::{Priority, Stated};
use crate::wire::settings::{SettingId, Settings, SettingsError};
use crate::wire::varint::VarInt;

impl From<SettingsError> for Violation {
    fn from(error: SettingsError) -> Self {
        match error {
            SettingsError::Forbidden(_)
            | SettingsError::Duplicate(_)
            | SettingsError::Invalid(..) => Self::SettingsInvalid,
            SettingsError::Truncated => Self::SettingsMalformed,
            SettingsError::TooMany => Self::SettingsTooMany,
        }
    }
}

/// Bytes of a critical stream that are dealt with between two looks at the budget.
const PIECE: usize = 1024;

impl H3 {
    /// Opens our critical streams and says SETTINGS.
    pub(crate) fn begin<T: Transport>(&mut self, t: &mut T) {
        let settings = self.local_settings();
        let out = self.control_out.buffer();
        frame::put_settings(out, &settings);
        if self.config.grease {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.8
            // A reserved frame keeps peers used to skipping what they do not know.
            let ty = grease::reserved(self.seed.rotate_left(17));
            out.put_slice(&frame::header(ty, 3));
            out.put_slice(b"any");
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2
        // The critical streams come before any other unidirectional stream.
        self.flush_local(t);
        if self.config.grease
            && let Some(id) = t.open(Dir::Uni)
        {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2.3
            // A reserved stream; what becomes of it does not matter.
            let head = frame::header(grease::reserved(self.seed.rotate_left(31)), 0);
            let mut chunk = [Bytes::copy_from_slice(&head)];
            if t.write(id, &mut chunk).is_ok_and(|_| chunk[0].is_empty()) {
                t.finish(id);
            } else {
                t.reset(id, crate::code::Code::H3_NO_ERROR.value(), &[]);
            }
        }
    }

    /// What we say in SETTINGS.
    pub(crate) fn local_settings(&self) -> Settings {
        let config = &self.config;
        let limits = &config.limits;
        let mut settings = Settings::new();
        let mut set = |id: SettingId, value: u64| {
            // What no SETTINGS can carry is the caller's mistake; it is left out,
            // and `Config::extra_settings` says so.
            let value = VarInt::new(value);
            if let Ok(value) = value
                && settings.get(id).is_none()
            {
                settings.set(id, value).ok();
            }
        };
        set(SettingId::QPACK_MAX_TABLE_CAPACITY, limits.qpack_table);
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.2.2
        // What is announced is what is taken: no encoding of a section that fits needs
        // more bytes than this measure counts.
        let section = limits.field_section.min(limits.field_section_encoded);
        set(SettingId::MAX_FIELD_SECTION_SIZE, section);
        set(
            SettingId::QPACK_BLOCKED_STREAMS,
            limits.qpack_blocked_streams,
        );
        if self.side == Side::Server && config.connect_protocol {
            set(SettingId::ENABLE_CONNECT_PROTOCOL, 1);
        }
        if config.datagrams {
            set(SettingId::H3_DATAGRAM, 1);
            set(SettingId::H3_DATAGRAM_DRAFT04, 1);
        }
        for (id, value) in &self.extension_settings {
            set(*id, *value);
        }
        for (id, value) in &config.extra_settings {
            set(SettingId(*id), *value);
        }
        if config.grease {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.1
            // At least one setting is reserved.
            set(
                SettingId(grease::reserved(self.seed).get()),
                self.seed & 0x3fff_ffff,
            );
        }
        settings
    }

    /// Reads a control or QPACK stream of the peer as far as it goes.
    pub(super) fn read_critical<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        mut ended: bool,
    ) -> Result<(), Fault> {
        loop {
            let Some(slot) = self.table.get_mut(key) else {
                return Ok(());
            };
            if !slot.held.is_empty() {
                // What comes after the end is of no use, and the end is an error.
                if !ended && !self.budget.spend(1) {
                    self.budget.defer(key, &mut slot.deferred);
                    return Ok(());
                }
                let mut piece = slot.held.split_to(slot.held.len().min(PIECE));
                match slot.kind {
                    Kind::Control => self.on_control_bytes(t, key.id, &mut piece)?,
                    Kind::QpackEncoder => self.on_encoder_bytes(t, key.id, &piece)?,
                    Kind::QpackDecoder => self.on_decoder_bytes(t, key.id, &piece)?,
                    _ => return Ok(()),
                }
                continue;
            }
            //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2.1
            // These streams live as long as the connection.
            if ended {
                return Err(Fault::Connection(Violation::CriticalStreamClosed));
            }
            let mut out = [Bytes::new()];
            match t.read(key.id, CHUNK, &mut out) {
                Ok(read) => {
                    ended = read.state == ReadState::Finished;
                    if read.bytes == 0 && !ended {
                        return Ok(());
                    }
                    if let Some(slot) = self.table.get_mut(key) {
                        [slot.held] = out;
                    }
                }
                Err(_) => {
                    return Err(Fault::Connection(Violation::CriticalStreamClosed));
                }
            }
        }
    }

    fn on_control_bytes<T: Transport>(
        &mut self,
        t: &mut T,
        id: StreamId,
        input: &mut Bytes,
    ) -> Result<(), Fault> {
        let rules = FrameRules {
            kind: StreamKind::Control,
            ..self.rules()
        };
        while let Some(event) = self
            .control_reader
            .read_seen(input, &rules, &mut |seen| t.seen(id, seen))
            .map_err(|error| Fault::Connection(error.into()))?
        {
            self.on_control_frame(t, event)?;
        }
        Ok(())
    }

    fn on_control_frame<T: Transport>(
        &mut self,
        t: &mut T,
        event: FrameEvent,
    ) -> Result<(), Fault> {
        match event {
            FrameEvent::Settings(payload) => self.on_settings(t, &payload),
            FrameEvent::Goaway(id) => self.on_goaway(t, id),
            FrameEvent::MaxPushId(id) => {
                //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.7
                // The limit only grows. We never push, so that is all.
                if self.peer_max_push_id.is_some_and(|before| id < before) {
                    return Err(Fault::Connection(Violation::MaxPushIdShrank));
                }
                self.peer_max_push_id = Some(id);
                self.nuisance(1)
            }
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.3
            // Nothing was ever promised on this connection, in either direction.
            FrameEvent::CancelPush(_) => Err(Fault::Connection(Violation::PushNotAllowed)),
            FrameEvent::PriorityUpdate { push: true, .. } => {
                Err(Fault::Connection(Violation::PriorityPush))
            }
            FrameEvent::PriorityUpdate {
                push: false,
                id,
                value,
            } => self.on_priority_update(t, id, &value),
            FrameEvent::Origin(payload) => {
                //= https://www.rfc-editor.org/rfc/rfc9412#section-2
                // Its structure is checked, its content is for clients that
                // share connections between origins, which we leave to callers.
                for origin in frame::Origins::new(payload) {
                    origin.map_err(|_| Fault::Connection(Violation::FrameMalformed))?;
                }
                self.nuisance(1)
            }
            FrameEvent::UnknownStart { .. } => {
                self.stats.unknown_frames += 1;
                self.nuisance(1)
            }
            // The reader lets no other frame through on a control stream.
            FrameEvent::DataStart { .. }
            | FrameEvent::Data(_)
            | FrameEvent::Headers(_)
            | FrameEvent::PushPromise { .. } => Err(Fault::Connection(Violation::FrameUnexpected)),
        }
    }

    fn on_settings<T: Transport>(&mut self, t: &mut T, payload: &[u8]) -> Result<(), Fault> {
        let max = self.config.limits.settings;
        let settings = Settings::decode_at_most(payload, max)
            .map_err(|error| Fault::Connection(error.into()))?;
        //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
        // The setting needs the transport parameter; only who takes datagrams
        // can tell whether it was there.
        if settings.get(SettingId::H3_DATAGRAM) == Some(1)
            && self.config.datagrams
            && t.max_datagram_size().is_none()
        {
            return Err(Fault::Connection(Violation::DatagramWithoutTransport));
        }
        self.check_remembered(&settings)?;
        self.remembered = None;
        self.encoder.set_peer_limits(
            settings.qpack_max_table_capacity(),
            settings.qpack_blocked_streams(),
            self.config.limits.qpack_encoder_table,
        )?;
        self.peer_settings = Some(settings);
        self.events.push_back(H3Event::Settings);
        Ok(())
    }

    fn on_goaway<T: Transport>(&mut self, t: &mut T, id: u64) -> Result<(), Fault> {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
        // A server names a request stream, a client a push; neither may grow.
        let id_is_valid = match self.side {
            Side::Client => StreamId::from_wire(id).is_some_and(StreamId::is_request),
            Side::Server => true,
        };
        if !id_is_valid {
            return Err(Fault::Connection(Violation::GoawayNotRequest));
        }
        match self.goaway_received {
            Some(before) if id > before => {
                return Err(Fault::Connection(Violation::GoawayGrew));
            }
            Some(_) => self.nuisance(1)?,
            None => self.events.push_back(H3Event::PeerDrains),
        }
        self.goaway_received = Some(id);
        if self.side == Side::Client {
            self.fail_unprocessed(t, id);
        }
        Ok(())
    }

    /// Ends our requests at or above the id: the server will not process them.
    fn fail_unprocessed<T: Transport>(&mut self, t: &mut T, limit: u64) {
        let left_out: Vec<StreamKey> = self
            .table
            .keys()
            .filter(|key| key.id.is_request() && key.id.wire() >= limit)
            .filter(|key| self.table.exchange_ref(*key).is_some())
            .collect();
        for key in left_out {
            self.events.push_back(H3Event::On(key, Fact::Unprocessed));
            self.abandon(t, key, crate::code::Code::H3_REQUEST_CANCELLED);
        }
    }

    fn on_priority_update<T: Transport>(
        &mut self,
        t: &mut T,
        id: u64,
        value: &[u8],
    ) -> Result<(), Fault> {
        //= https://www.rfc-editor.org/rfc/rfc9218#section-7.2
        // Only requests have a priority.
        let Some(id) = StreamId::from_wire(id).filter(|id| id.is_request()) else {
            return Err(Fault::Connection(Violation::PriorityNotRequest));
        };
        //= https://www.rfc-editor.org/rfc/rfc9218#section-7.1
        // What is no dictionary at all may end the connection, and does.
        let stated =
            Stated::parse(value).map_err(|_| Fault::Connection(Violation::PriorityMalformed))?;
        let priority = Priority::default().merged(stated);
        self.nuisance(1)?;
        if let Some(key) = self.table.find(id) {
            self.reprioritize(t, key, priority);
            return Ok(());
        }
        if self.table.was_seen(id) {
            return Ok(());
        }
        //= https://www.rfc-editor.org/rfc/rfc9218#section-7
        // It may overtake its request; the latest one per stream is kept.
        if let Some(early) = self.early_priorities.iter_mut().find(|early| early.0 == id) {
            early.1 = priority;
            return Ok(());
        }
        if self.early_priorities.len() >= self.config.limits.early_priorities {
            self.early_priorities.pop_front();
        }
        self.early_priorities.push_back((id, priority));
        Ok(())
    }

    /// The priority that was announced before the request came, if any.
    pub(super) fn take_early_priority(&mut self, id: StreamId) -> Option<Priority> {
        let at = self
            .early_priorities
            .iter()
            .position(|early| early.0 == id)?;
        self.early_priorities.remove(at).map(|early| early.1)
    }

    /// Applies the application's wish, and tells it to a server.
    pub(crate) fn set_priority<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        priority: Priority,
    ) {
        self.reprioritize(t, key, priority);
        //= https://www.rfc-editor.org/rfc/rfc9218#section-7
        // PRIORITY_UPDATE is sent by clients alone.
        if self.side == Side::Client {
            self.send_priority_update(t, key.id, priority);
        }
    }

    /// Applies a priority to a request's own stream.
    pub(super) fn reprioritize<T: Transport>(
        &mut self,
        t: &mut T,
        key: StreamKey,
        priority: Priority,
    ) {
        let Some(exchange) = self.table.exchange(key) else {
            return;
        };
        exchange.priority = Some(priority);
        let connect = exchange.is_connect();
        let number = if connect || priority.incremental {
            tunnel_priority(priority, 0)
        } else {
            sequential_priority(priority, key.id)
        };
        t.set_priority(key.id, number);
        if connect {
            self.events.push_back(H3Event::On(key, Fact::Reprioritized));
        }
    }

    /// Says GOAWAY, once: nothing at or above the id will be processed.
    pub(crate) fn send_goaway<T: Transport>(&mut self, t: &mut T) {
        if self.goaway_sent.is_some() {
            return;
        }
        let id = match self.side {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-5.2
            // The first request that has not been seen.
            Side::Server => self.table.end_of_requests().wire(),
            // Push ids count from 0 and we allow none.
            Side::Client => 0,
        };
        self.goaway_sent = Some(id);
        frame::put_goaway(
            self.control_out.buffer(),
            VarInt::new(id).unwrap_or_default(),
        );
        self.flush_local(t);
    }

    /// Tells the server a new priority.
    fn send_priority_update<T: Transport>(&mut self, t: &mut T, id: StreamId, priority: Priority) {
        let value = priority.encode();
        let id = VarInt::new(id.wire()).unwrap_or_default();
        frame::put_priority_update(self.control_out.buffer(), false, id, value.as_bytes());
        self.flush_local(t);
    }

    /// The transport told that the peer stopped one of our streams.
    pub(super) fn on_local_stopped(&self, id: StreamId) -> Result<(), Fault> {
        let critical = [&self.control_out, &self.encoder_out, &self.decoder_out];
        //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2.1
        // A receiver may not ask for a critical stream to end.
        if critical.iter().any(|stream| stream.is(id)) {
            return Err(Fault::Connection(Violation::CriticalStreamClosed));
        }
        Ok(())
    }

    pub(super) fn is_peer_critical(kind: &Kind) -> bool {
        matches!(
            kind,
            Kind::Control | Kind::QpackEncoder | Kind::QpackDecoder
        )
    }

    /// Marks the receiving half of a slot as closed: nothing is awaited on it any more.
    pub(super) fn close_recv(&mut self, key: StreamKey) {
        if let Some(slot) = self.table.get_mut(key) {
            slot.recv = Recv::Closed;
            slot.held = Bytes::new();
            // An answer is waited for until the request is taken as well.
            let other = |wait: Wait| wait.due.why != Why::Answer;
            let awaited = slot.recv_wait;
            if self.table.waits().get(awaited).is_some_and(other) {
                self.await_no_more(key);
            }
        }
    }
}

/// The transport's number for streams that share bandwidth within an urgency:
/// incremental requests, tunnels, sessions. A `rank` above 0 steps back behind
/// them.
///
/// Urgencies are 2^24 apart.
pub(crate) fn tunnel_priority(priority: Priority, rank: u8) -> i32 {
    urgency_base(priority) - i32::from(rank.min(MAX_RANK))
}

/// The transport's number for requests whose sender asked for one after the
/// other: above those that share, in the order of their ids.
fn sequential_priority(priority: Priority, id: StreamId) -> i32 {
    //= https://www.rfc-editor.org/rfc/rfc9218#section-10
    // Non-incremental responses of one urgency go one after the other.
    let place = i32::try_from(id.number() % PLACES).unwrap_or(0);
    urgency_base(priority) + PLACES as i32 - place
}

fn urgency_base(priority: Priority) -> i32 {
    // Of the usual one nothing has to be said.
    let usual = Priority::default().urgency;
    (i32::from(usual) - i32::from(priority.urgency.min(7))) << 24
}

/// Last of the ranks within an urgency.
pub(crate) const MAX_RANK: u8 = 63;

/// Requests of one urgency that go strictly one after the other.
const PLACES: u64 = 1 << 20;

const _: () = assert!(
    PLACES + MAX_RANK as u64 + 1 < 1 << 24,
    "urgencies do not overlap"
);
