//! One connection: quinn below, a protocol above, and what can be asked about it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{ConnectionHandle, EndpointEvent, VarInt};
use rustls::pki_types::CertificateDer;
use thiserror::Error;

use super::closing::Closing;
use super::farewell::LastWord;
use super::inbox::{Datagram, Done, Inbox};
use super::memory::{Memory, MemoryInfo, Windows};
use super::parameters::PeerParameters;
use super::protocol::{QuicMut, Told, Upper};
use super::quic::{DatagramLimits, QuinnTransport, is_close, to_code, translate};
use super::received::{Buffers, Copies, Received};
use super::reset_at::ledger::ResetStats;
use super::reset_at::streams::{self, Resets};
use super::shares::Place;
use super::tls::{Shaken, Tickets};
use super::writers::Writers;
use crate::code::Code;
use crate::connection::{Access, Connection, Peek};
use crate::error::{CloseReason, OsError, TransportFailure};
use crate::id::{ConnKey, Side, StreamKey};
use crate::time::{Deadline, Why, earliest};
use crate::transport::{EarlyData, TransportEvent};

/// A connection of an [`Endpoint`](super::Endpoint), borrowed to be used.
pub struct ConnectionMut<'a> {
    pub(super) http: &'a mut Connection,
    pub(super) transport: QuinnTransport<'a>,
    pub(super) state: &'a Facts,
}

impl<'a> ConnectionMut<'a> {
    /// Everything an application does with the connection.
    pub fn access(&mut self) -> Access<'_, QuinnTransport<'a>> {
        let now = self.transport.now;
        self.http.access(&mut self.transport, now)
    }

    /// Has QUIC send a PING (RFC 9000 §19.2), so that neither side takes the connection for
    /// idle: its answer begins QUIC's idle timeout anew on both.
    //= https://www.rfc-editor.org/rfc/rfc9000#section-10.1.2
    // An endpoint that might have nothing to send for a while can send a PING.
    pub fn ping(&mut self) {
        self.transport.quic.ping();
    }

    /// What QUIC knows about the connection.
    #[must_use]
    pub fn info(&self) -> ConnectionInfo<'_> {
        ConnectionInfo {
            quic: self.transport.quic,
            facts: self.state,
        }
    }
}

impl fmt::Debug for ConnectionMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionMut")
            .field("http", self.http)
            .finish_non_exhaustive()
    }
}

/// A connection of an [`Endpoint`](super::Endpoint), borrowed to be looked at.
#[derive(Debug)]
pub struct ConnectionRef<'a>(pub(super) ConnectionMut<'a>);

impl<'a> ConnectionRef<'a> {
    /// What can be looked at.
    pub fn peek(&mut self) -> Peek<'_, QuinnTransport<'a>> {
        let now = self.0.transport.now;
        self.0.http.peek(&mut self.0.transport, now)
    }

    /// What QUIC knows about the connection.
    #[must_use]
    pub fn info(&self) -> ConnectionInfo<'_> {
        self.0.info()
    }
}

/// What the endpoint keeps about a connection beside quinn and what runs over it.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// The name a client asked for; a server learns it from TLS.
    pub(super) server_name: Option<String>,
    pub(super) peer: Option<PeerParameters>,
    pub(super) datagrams: DatagramLimits,
    pub(super) memory: MemoryInfo,
    pub(super) sends: Sends,
}

/// Which of a connection's transmits the system did not take.
#[derive(Debug, Default)]
pub(super) struct Sends {
    /// Transmits given so far.
    given: u64,
    /// The last of those that failed in a row: number of the first, number of the last.
    failed: Option<(u64, u64, OsError)>,
}

impl Sends {
    /// Counts one more, and gives its number.
    pub(super) fn count(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// The transmit with this number was not taken. Failures come in the order of their
    /// numbers.
    pub(super) fn failed(&mut self, number: u64, error: OsError) {
        let first = match self.failed {
            Some((first, last, _)) if last + 1 == number => first,
            _ => number,
        };
        self.failed = Some((first, number, error));
    }

    /// The same event; of a timeout, with what the system has to say of it.
    fn explained(&self, event: TransportEvent) -> TransportEvent {
        use CloseReason::Transport;
        match (&event, self.why_silent()) {
            (TransportEvent::Closed(Transport(TransportFailure::TimedOut)), Some(error)) => {
                TransportEvent::Closed(Transport(TransportFailure::SendFailed(error)))
            }
            _ => event,
        }
    }

    /// Why nothing has been sent for some time: the last transmits failed, and not just
    /// one, which may have been a try whether a large datagram passes.
    fn why_silent(&self) -> Option<OsError> {
        let (first, last, error) = self.failed?;
        (last == self.given && first < last).then_some(error)
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct State {
    pub(super) quic: quinn_proto::Connection,
    pub(super) upper: Upper,
    pub(super) said: Told,
    pub(super) facts: Facts,
    pub(super) received: Received,
    copies: Copies,
    pub(super) windows: Windows,
    pub(super) resets: Resets,
    pub(super) writers: Writers,
    /// Told once QUIC is closed, whoever closed it.
    pub(super) closing: Closing,
    /// Bytes of streams that have been read.
    read: u64,
    /// Bytes fed since the last pump.
    pub(super) fed: usize,
    pub(super) inbox: Inbox,
    pub(super) done: Done,
    /// quinn's last word to its endpoint, after which the handle is used again:
    /// held back until the application has heard `Event::Closed`.
    pub(super) drained: Option<EndpointEvent>,
    /// The application has heard `Event::Closed`.
    pub(super) told: bool,
    pub(super) last_word: LastWord,
    /// Tickets that TLS used and got.
    pub(super) tickets: Tickets,
    /// HTTP/3 has been told that there may be early data.
    pub(super) early: bool,
    /// What became of that, until it is counted.
    pub(super) early_outcome: Option<EarlyData>,
    /// Requests that were answered for the application, which has heard of none of them.
    pub(super) answered: Vec<StreamKey>,
    /// On the endpoint's list of connections to be pumped, to have their timers armed, to be
    /// polled for events, for transmits.
    pub(super) dirty: bool,
    pub(super) undated: bool,
    pub(super) eventful: bool,
    pub(super) sending: bool,
    /// Counted among the handshakes that peers have not finished, the open
    /// connections.
    pub(super) handshaking: bool,
    pub(super) open: bool,
    /// Where it stands among all accepted ones.
    pub(super) place: Option<Place>,
    /// The handshake is given up at this time.
    handshake_until: Option<Instant>,
}

/// QUIC as [`Transport`](crate::transport::Transport). A macro, so that HTTP/3 can be
/// used beside it.
macro_rules! transport {
    ($state:expr, $now:expr) => {
        QuinnTransport {
            quic: &mut $state.quic,
            now: $now,
            datagrams: $state.facts.datagrams,
            read: &mut $state.read,
            copies: &mut $state.copies,
            credit_spent: $state.windows.are_spent($state.received.content()),
            resets: &mut $state.resets,
            writers: &mut $state.writers,
        }
    };
}

impl State {
    pub(super) fn new(
        mut quic: quinn_proto::Connection,
        side: Side,
        upper: Upper,
        server_name: Option<String>,
        handshake_until: Option<Instant>,
        windows: Windows,
    ) -> Self {
        Self {
            resets: Resets::new(&mut quic),
            quic,
            upper,
            said: Told::default(),
            facts: Facts {
                server_name,
                ..Facts::default()
            },
            received: Received::default(),
            copies: Copies::default(),
            windows,
            writers: Writers::default(),
            closing: Closing::default(),
            read: 0,
            fed: 0,
            inbox: Inbox::default(),
            done: Done::default(),
            drained: None,
            told: false,
            last_word: LastWord::Due,
            tickets: Tickets::default(),
            early: false,
            early_outcome: None,
            answered: Vec::new(),
            dirty: false,
            undated: false,
            eventful: false,
            sending: false,
            handshaking: side == Side::Server,
            open: true,
            place: None,
            handshake_until,
        }
    }

    /// The connection on loan, if it is HTTP/3's.
    pub(super) fn lend(&mut self, now: Instant) -> Option<ConnectionMut<'_>> {
        let Upper::Http(http) = &mut self.upper else {
            return None;
        };
        Some(ConnectionMut {
            http,
            transport: transport!(self, now),
            state: &self.facts,
        })
    }

    /// The same, if it is one of raw QUIC.
    pub(super) fn lend_quic(&mut self, now: Instant) -> Option<QuicMut<'_>> {
        let Upper::Quic(quic) = &mut self.upper else {
            return None;
        };
        Some(QuicMut {
            quic,
            transport: transport!(self, now),
            state: &self.facts,
            told: &mut self.told,
        })
    }

    /// Tells the layer above what QUIC has to tell.
    pub(super) fn tell_upper(&mut self, now: Instant, event: TransportEvent) {
        let mut transport = transport!(self, now);
        self.upper.handle(&mut transport, now, event);
    }

    /// Closes for a reason of the endpoint's own.
    pub(super) fn close(&mut self, now: Instant, code: Code, reason: &'static str) {
        let mut transport = transport!(self, now);
        self.upper.close(&mut transport, now, code, reason);
    }

    /// Does what is due in every layer, and tells whether a handshake has taken too long.
    pub(super) fn handle_timeout(&mut self, now: Instant, buffers: &mut Buffers) -> bool {
        self.quic.handle_timeout(now);
        // Who is late may have been unable to send, which has to be known exactly.
        if self.upper.poll_timeout().is_some_and(|due| due.at <= now) {
            self.received.sweep(buffers);
        }
        let late = self.handshake_deadline().is_some_and(|due| due.at <= now);
        if late {
            self.give_up(now);
        }
        let mut transport = transport!(self, now);
        self.upper.handle_timeout(&mut transport, now);
        late
    }

    /// Ends a connection whose handshake has taken too long: QUIC's own timeout is one
    /// of silence, so a peer that sends something now and then would stay for ever.
    fn give_up(&mut self, now: Instant) {
        self.quic
            .close(now, to_code(Code::H3_NO_ERROR.value()), Bytes::new());
        let timed_out = CloseReason::Transport(TransportFailure::TimedOut);
        let event = self
            .facts
            .sends
            .explained(TransportEvent::Closed(timed_out));
        self.tell_upper(now, event);
    }

    /// Whether a client has begun and no answer has come.
    pub(super) fn has_heard_nothing(&self) -> bool {
        self.quic.side().is_client()
            && self.quic.is_handshaking()
            && self.quic.stats().udp_rx.datagrams == 0
    }

    /// Ends a connection whose first datagrams have no way to the server.
    pub(super) fn give_up_on(&mut self, now: Instant, error: OsError) {
        self.quic
            .close(now, to_code(Code::H3_NO_ERROR.value()), Bytes::new());
        let failed = CloseReason::Transport(TransportFailure::SendFailed(error));
        self.tell_upper(now, TransportEvent::Closed(failed));
    }

    /// What TLS has agreed on, once it has.
    pub(super) fn alpn(&self) -> Option<Vec<u8>> {
        let (quic, facts) = (&self.quic, &self.facts);
        ConnectionInfo { quic, facts }.alpn()
    }

    fn handshake_deadline(&self) -> Option<Deadline> {
        let at = self.handshake_until?;
        let why = Why::Handshake;
        (self.quic.is_handshaking() && !self.upper.is_closed()).then_some(Deadline { at, why })
    }

    /// A datagram of the connection's. True if it closes for what it holds.
    pub(super) fn feed(&mut self, now: Instant, datagram: Datagram, buffers: &mut Buffers) -> bool {
        self.fed += datagram.memory.len;
        self.done.unmeasured += datagram.memory.len;
        self.quic.handle_event(datagram.event);
        self.resets.on_input(&mut self.quic);
        self.received.push(datagram.memory, buffers);
        let max = self.windows.max_received();
        // One that is closed holds what it held until it is forgotten.
        if self.received.bytes() <= max || self.upper.is_closed() {
            return false;
        }
        self.received.sweep(buffers);
        let held = self.received.bytes();
        if held <= max {
            return false;
        }
        // Hardly anything in each packet, or the same again and again.
        let reason = "too little in too many packets";
        tracing::debug!(held, reason, "closing the connection");
        self.close(now, Code::H3_EXCESSIVE_LOAD, reason);
        true
    }

    /// Lets go of memory that is in use no more, and grows the windows with what was
    /// read and what the path takes, as far as the holder's `share` of the memory goes.
    pub(super) fn settle(
        &mut self,
        memory: &mut Memory,
        share: impl Fn() -> usize,
        buffers: &mut Buffers,
    ) {
        self.fed = 0;
        self.received.release(buffers);
        if !self.upper.is_closed() {
            self.grow(memory, &share);
            self.widen(memory, &share, buffers);
            self.let_open();
        }
        self.facts.memory = self.windows.info(self.received.bytes());
    }

    /// Tells the peer of each stream it may open, when it may have no other.
    ///
    /// quinn-proto 0.11 tells of them when an eighth of all is over, to save packets.
    /// While so many live on that no eighth is left, a peer would wait for the rest for
    /// ever. A limit of 0 makes that eighth nothing, and what is granted stays granted.
    fn let_open(&mut self) {
        let live = self.upper.live_streams() as u64;
        for dir in [quinn_proto::Dir::Bi, quinn_proto::Dir::Uni] {
            let most = self.quic.max_concurrent_streams(dir);
            let Ok(limit) = VarInt::from_u64(most) else {
                continue;
            };
            if most > 0 && live.saturating_add(most / 8) >= most {
                self.quic
                    .set_max_concurrent_streams(dir, VarInt::from_u32(0));
                self.quic.set_max_concurrent_streams(dir, limit);
            }
        }
    }

    fn grow(&mut self, memory: &mut Memory, share: impl Fn() -> usize) {
        let path = self.quic.congestion_state().window();
        let grown = self.windows.grow(memory, share, self.read, path);
        if let Some(window) = grown.receive.and_then(|bytes| VarInt::from_u64(bytes).ok()) {
            self.quic.set_receive_window(window);
        }
        if let Some(window) = grown.send {
            self.quic.set_send_window(window);
        }
    }

    /// Makes room for other streams while some that nobody reads hold all the credit
    /// there is.
    fn widen(&mut self, memory: &mut Memory, share: impl Fn() -> usize, buffers: &mut Buffers) {
        let more = self.windows.widens_by();
        if more == 0
            || !self.windows.are_spent(self.received.content())
            || !memory.has_room_to_grow(&share, more)
        {
            return;
        }
        self.received.sweep(buffers);
        if !self.windows.are_spent(self.received.content()) {
            return;
        }
        let wider = self.windows.widen(memory, share, more);
        if let Some(window) = wider.and_then(|bytes| VarInt::from_u64(bytes).ok()) {
            self.quic.set_receive_window(window);
        }
    }

    /// Carries what quinn has to tell to its endpoint and to HTTP/3, until it has
    /// nothing more to tell.
    pub(super) fn pump(
        &mut self,
        endpoint: &mut quinn_proto::Endpoint,
        handle: ConnectionHandle,
        now: Instant,
    ) {
        self.resets.let_go(&mut self.quic);
        self.measure_datagrams();
        self.tell_more(now);
        let mut again = true;
        while again {
            again = false;
            while let Some(event) = self.quic.poll_endpoint_events() {
                if event.is_drained() {
                    self.drained = Some(event);
                } else if let Some(answer) = endpoint.handle_event(handle, event) {
                    self.quic.handle_event(answer);
                    again = true;
                }
            }
            self.begin_early(now);
            while let Some(event) = self.quic.poll() {
                again = true;
                if is_close(&event) {
                    self.last_word = LastWord::Heard;
                }
                let Some(event) = translate(&self.quic, event, self.early) else {
                    continue;
                };
                match event {
                    TransportEvent::Writable(id) if self.writers.has_room(id) => continue,
                    TransportEvent::Stopped(id, _) | TransportEvent::Finished(id) => {
                        self.writers.forget(id);
                    }
                    _ => {}
                }
                if let TransportEvent::Connected { early } = event {
                    self.early_outcome = Some(early);
                    self.learn_parameters();
                    if early == EarlyData::Rejected {
                        self.resets.forget_opened(Side::Client);
                        self.writers.clear();
                    }
                }
                let event = self.facts.sends.explained(event);
                self.tell_upper(now, event);
            }
            if self.upper.is_closed() {
                self.writers.clear();
            }
            while let Some(id) = self.writers.next(now) {
                again = true;
                self.tell_upper(now, TransportEvent::Writable(id));
            }
            if self.early && self.quic.side().is_client() {
                self.judge_early();
            }
            if self.tickets.are_waiting()
                && self.tickets.file(
                    self.upper.peer_settings().as_deref(),
                    self.upper.is_closed(),
                )
                && !self.upper.is_closed()
            {
                again = true;
                self.tell_upper(now, TransportEvent::Ticket);
            }
        }
        self.writers.pumped();
    }

    /// The next datagrams to send.
    pub(super) fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<quinn_proto::Transmit> {
        let closed = self.quic.is_closed();
        if closed {
            self.closing.begin();
            self.resets.make_room_to_refuse();
        }
        self.resets.make_room(&self.quic);
        let transmit = self.quic.poll_transmit(now, max_segments, out);
        self.resets.take_room_back();
        let transmit = transmit?;
        if closed {
            self.remember_close(&transmit, out);
        }
        Some(transmit)
    }

    pub(super) fn deadline(&mut self) -> Option<Deadline> {
        let quic = self
            .quic
            .poll_timeout()
            .map(|at| Deadline { at, why: Why::Quic });
        earliest(
            earliest(quic, self.upper.poll_timeout()),
            earliest(self.handshake_deadline(), self.turn_deadline()),
        )
    }

    /// When a stream's turn to write passes.
    fn turn_deadline(&self) -> Option<Deadline> {
        let at = self.writers.deadline()?;
        let why = Why::Turn;
        Some(Deadline { at, why })
    }
}

/// What QUIC and TLS know about a connection.
#[derive(Copy, Clone)]
pub struct ConnectionInfo<'a> {
    pub(super) quic: &'a quinn_proto::Connection,
    pub(super) facts: &'a Facts,
}

impl fmt::Debug for ConnectionInfo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionInfo")
            .field("side", &self.side())
            .field("remote", &self.remote_address())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}

impl ConnectionInfo<'_> {
    /// Which end this is.
    #[must_use]
    pub fn side(&self) -> Side {
        if self.quic.side().is_client() {
            Side::Client
        } else {
            Side::Server
        }
    }

    /// The peer's address at present; it changes when a client migrates.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.quic.remote_address()
    }

    /// The local address the peer used, where the socket tells it (server).
    #[must_use]
    pub fn local_ip(&self) -> Option<IpAddr> {
        self.quic.local_ip()
    }

    /// Whether the handshake is still under way.
    #[must_use]
    pub fn is_handshaking(&self) -> bool {
        self.quic.is_handshaking()
    }

    /// Smoothed round-trip time.
    #[must_use]
    pub fn rtt(&self) -> Duration {
        self.quic.rtt()
    }

    /// Its share of the endpoint's memory.
    #[must_use]
    pub fn memory(&self) -> MemoryInfo {
        self.facts.memory
    }

    /// Path and traffic in numbers.
    #[must_use]
    pub fn path(&self) -> PathStats {
        let stats = self.quic.stats();
        PathStats {
            rtt: stats.path.rtt,
            min_rtt: stats.path.min_rtt,
            congestion_window: self.quic.congestion_state().metrics().congestion_window,
            congestion_events: stats.path.congestion_events,
            mtu: stats.path.current_mtu,
            packets_sent: stats.path.sent_packets,
            packets_lost: stats.path.lost_packets,
            bytes_lost: stats.path.lost_bytes,
            datagrams_sent: stats.udp_tx.datagrams,
            bytes_sent: stats.udp_tx.bytes,
            datagrams_received: stats.udp_rx.datagrams,
            bytes_received: stats.udp_rx.bytes,
        }
    }

    /// RESET_STREAM_AT frames, and the resets that they were for.
    #[must_use]
    pub fn resets(&self) -> ResetStats {
        streams::stats(self.quic)
    }

    /// The application protocol that TLS agreed on, once known.
    #[must_use]
    pub fn alpn(&self) -> Option<Vec<u8>> {
        self.handshake()?.protocol
    }

    /// Whether TLS has gone on with a session of an earlier connection (RFC 8446 §2.2), once
    /// the handshake is complete; told as no where
    /// [`TransportSettings::reliable_reset`](super::TransportSettings::reliable_reset) is off.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        let data = self.quic.crypto_session().handshake_data();
        let shaken = data.and_then(|data| data.downcast::<Shaken>().ok());
        shaken.is_some_and(|shaken| shaken.resumed)
    }

    /// The name the client asked for, if it did and once known.
    #[must_use]
    pub fn server_name(&self) -> Option<String> {
        self.facts
            .server_name
            .clone()
            .or_else(|| self.handshake()?.server_name)
    }

    /// The peer's certificates, end entity first, once known; empty when it has
    /// shown none.
    #[must_use]
    pub fn peer_certificates(&self) -> Vec<CertificateDer<'static>> {
        self.quic
            .crypto_session()
            .peer_identity()
            .and_then(|identity| identity.downcast().ok())
            .map_or_else(Vec::new, |chain| *chain)
    }

    /// Keying material derived from the TLS session (RFC 8446 §7.5), of
    /// `out.len()` bytes.
    ///
    /// # Errors
    /// [`ExportFailed`] before the handshake is complete, and when `out` is longer
    /// than the hash allows.
    pub fn export_keying_material(
        &self,
        out: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportFailed> {
        let session = self.quic.crypto_session();
        session
            .export_keying_material(out, label, context)
            .map_err(|_| ExportFailed)
    }

    /// The peer's QUIC transport parameters, once the handshake is complete.
    #[must_use]
    pub fn peer_parameters(&self) -> Option<PeerParameters> {
        self.facts.peer
    }

    fn handshake(&self) -> Option<HandshakeData> {
        let data = self.quic.crypto_session().handshake_data()?;
        let shaken = match data.downcast() {
            Ok(quinns) => return Some(*quinns),
            Err(other) => other.downcast::<Shaken>().ok()?,
        };
        Some(HandshakeData {
            protocol: shaken.protocol,
            server_name: shaken.server_name,
        })
    }
}

/// No keying material could be exported.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[error("no keying material can be exported")]
pub struct ExportFailed;

/// Path and traffic in numbers; counts are cumulative.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct PathStats {
    /// Smoothed round-trip time.
    pub rtt: Duration,
    /// Smallest round-trip time seen.
    pub min_rtt: Duration,
    /// Bytes that may be unacknowledged at present.
    pub congestion_window: u64,
    /// Times that loss or ECN shrank the window.
    pub congestion_events: u64,
    /// Largest UDP payload the path takes at present.
    pub mtu: u16,
    /// QUIC packets sent.
    pub packets_sent: u64,
    /// QUIC packets declared lost.
    pub packets_lost: u64,
    /// Bytes in lost packets.
    pub bytes_lost: u64,
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// UDP datagrams received.
    pub datagrams_received: u64,
    /// Bytes of UDP payload received.
    pub bytes_received: u64,
}

/// The key of the connection that quinn knows by `handle`.
pub(super) fn key(handle: ConnectionHandle, generation: u32) -> ConnKey {
    // quinn's slab would need 2^32 connections at once to overflow.
    ConnKey {
        index: u32::try_from(handle.0).unwrap_or(u32::MAX),
        generation,
    }
}
