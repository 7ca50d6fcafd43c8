//! One UDP port, many connections: datagrams, commands and time in; datagrams,
//! events and one deadline out. The only module that names quinn-proto.
//!
//! ```text
//! handle_datagram ─┐                            ┌─ poll_event
//! handle_timeout  ─┼─► quinn ⇄ HTTP/3 per conn ─┼─ poll_transmit
//! connection()    ─┘   (pumped when polled)     └─ poll_timeout
//! ```
//!
//! Inputs never fail and may come in any number and order; then the outputs are
//! drained, each until it gives `None`, in any order. Draining twice is
//! harmless. Ask for [`Endpoint::poll_timeout`] after the last
//! [`Endpoint::poll_transmit`] of a round, because sending sets timers.
//!
//! Only connections that something happened to are looked at: an idle one costs
//! memory and nothing else.
//!
//! A server on a blocking socket, with nothing but the standard library around it:
//!
//! ```no_run
//! use std::{net::UdpSocket, sync::Arc, time::{Duration, Instant}};
//! use aqueduct_core::{config::Config, event::Event, head::{End, ResponseHead}};
//! use aqueduct_core::endpoint::{Arrival, Endpoint, EndpointConfig};
//!
//! # fn run(tls: rustls::ServerConfig) -> Result<(), Box<dyn std::error::Error>> {
//! let socket = UdpSocket::bind("127.0.0.1:4433")?;
//! let config = EndpointConfig::server(Arc::new(tls), Config::default())?;
//! let mut endpoint = Endpoint::new(config)?;
//! let (mut out, mut buf) = (Vec::new(), vec![0; endpoint.max_udp_payload()]);
//! loop {
//!     while let Some((connection, event)) = endpoint.poll_event() {
//!         let Event::Request { stream, .. } = event else { continue };
//!         if let Some(mut connection) = endpoint.connection(Instant::now(), connection) {
//!             let head = ResponseHead::new(http::StatusCode::NO_CONTENT);
//!             connection.access().respond(stream, &head, End::Fin).ok();
//!         }
//!     }
//!     while let Some(transmit) = endpoint.poll_transmit(Instant::now(), 1, &mut out) {
//!         if let Err(error) = socket.send_to(&out[..transmit.size], transmit.remote) {
//!             endpoint.handle_send_error(&transmit, error.into());
//!         }
//!     }
//!     let wait = endpoint.poll_timeout().map(|deadline| {
//!         deadline.at.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
//!     });
//!     socket.set_read_timeout(wait)?;
//!     let now = Instant::now();
//!     match socket.recv_from(&mut buf) {
//!         Ok((len, from)) => endpoint.handle_datagram(now, Arrival::new(from), buf[..len].into()),
//!         Err(error) => endpoint.handle_recv_error(error.into()),
//!     }
//!     endpoint.handle_timeout(Instant::now());
//! }
//! # }
//! ```

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!(
    "feature `quinn` of aqueduct-core needs TLS: enable feature `ring` or feature `aws-lc-rs`"
);

mod admit;
#[cfg(feature = "quic-lb")]
pub mod cid;
mod closing;
mod config;
mod connection;
mod early;
mod error;
mod fair;
mod farewell;
mod inbox;
mod incoming;
mod memory;
mod observe;
pub mod options;
mod packet;
mod parameters;
mod process;
mod protocol;
mod quic;
mod received;
mod renew;
mod reset;
#[allow(unreachable_pub, reason = "for fuzzing, with a feature more")]
pub(crate) mod reset_at;
mod resources;
mod seed;
mod settings;
mod shares;
mod sparing;
mod stat;
mod stats;
mod target;
pub mod tls;
mod turn;
mod writers;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use quinn_proto::{ConnectionHandle, DatagramEvent, Incoming, TokenMemoryCache};

use crate::code::Code;
use crate::config::Config;
use crate::connection::Connection;
use crate::connection::{Command, CommandError, Reply};
use crate::error::OsError;
use crate::event::Event;
use crate::id::{ConnKey, Side};
use crate::mix::Mix;
use crate::time::heap::Timers;
use crate::time::{Deadline, after, earliest};

pub use config::EndpointConfig;
#[cfg(feature = "qlog")]
pub use config::QlogFactory;
pub use connection::{ConnectionInfo, ConnectionMut, ConnectionRef, ExportFailed, PathStats};
pub use error::{ConfigError, ConnectError};
pub use incoming::{IncomingPolicy, Retry};
pub use memory::MemoryInfo;
pub use observe::{EndpointObserver, ObserverFactory, Way};
pub use packet::{Arrival, Ecn, SocketFault, Transmit};
pub use parameters::PeerParameters;
pub use protocol::{Protocol, QuicMut};
pub use quic::QuinnTransport;
pub use reset_at::ledger::ResetStats;
pub use settings::{Congestion, TransportSettings};
pub use shares::{Block as AddressBlock, Origin as NetworkOrigin};
pub use stat::{Stat, stats as connection_stats};
pub use stats::EndpointStats;
pub use target::Target;

use closing::Closing;
use config::Trace;
use connection::State;
use fair::{Fair, MAX_ATTEMPTS};
use farewell::Farewell;
use inbox::Datagram;
use memory::{Memory, Windows};
use packet::{from_transmit, is_answerable, is_patience, to_ecn};
use process::{touched, undated};
use received::{Buffers, Received};
use shares::Shares;
use turn::Turn;

/// Answers that belong to no connection (refusals, retries, version negotiation,
/// stateless resets) held until they are sent.
const MAX_RESPONSES: usize = 64;

/// One UDP port and its connections.
pub struct Endpoint {
    config: EndpointConfig,
    quinn: quinn_proto::Endpoint,
    server: Option<Arc<quinn_proto::ServerConfig>>,
    tokens: Arc<TokenMemoryCache>,
    grease: Mix,
    /// Indexed by quinn's handle.
    slots: Vec<Slot>,
    /// Connections that something happened to, that may have events, that may
    /// have something to send. Each is on a list at most once; a key may outlive
    /// its connection there.
    dirty: VecDeque<ConnKey>,
    eventful: VecDeque<ConnKey>,
    sending: VecDeque<ConnKey>,
    timers: Timers<ConnKey>,
    /// Connections whose timers are to be armed anew, each once.
    undated: Vec<ConnKey>,
    responses: Fair<(Transmit, Vec<u8>)>,
    attempts: Fair<(Instant, Incoming)>,
    turn: Turn,
    /// The last transmit was one of these, so a connection is next.
    responded: bool,
    shares: Shares,
    spare: Vec<Vec<u8>>,
    buffers: Buffers,
    memory: Memory,
    /// The latest time an input has told.
    now: Option<Instant>,
    accepting: bool,
    /// Events of raw QUIC are taken from their connections.
    pulls: bool,
    open: usize,
    closing: usize,
    handshakes: usize,
    stats: EndpointStats,
    fault: Option<SocketFault>,
    /// Last, so that it goes after the connections.
    observer: Option<Box<dyn EndpointObserver>>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    state: Option<Box<State>>,
    /// What is left of it once it is closed, instead.
    farewell: Option<Box<Farewell>>,
}

/// An endpoint may live behind a lock or move between threads.
const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Endpoint>();
};

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("open", &self.open)
            .field("closing", &self.closing)
            .field("handshakes", &self.handshakes)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint without connections.
    ///
    /// # Errors
    /// [`ConfigError`] when a field of the configuration is out of range.
    pub fn new(config: EndpointConfig) -> Result<Self, ConfigError> {
        let built = config.build()?;
        let memory = Memory::new(config.memory);
        Ok(Self {
            observer: config.observer(),
            config,
            quinn: built.endpoint,
            server: built.server,
            tokens: Arc::new(TokenMemoryCache::default()),
            grease: Mix(built.seed),
            slots: Vec::new(),
            dirty: VecDeque::new(),
            eventful: VecDeque::new(),
            sending: VecDeque::new(),
            timers: Timers::default(),
            undated: Vec::new(),
            responses: Fair::new(MAX_RESPONSES),
            attempts: Fair::new(MAX_ATTEMPTS),
            turn: Turn::default(),
            responded: false,
            shares: Shares::default(),
            spare: Vec::new(),
            buffers: Buffers::default(),
            memory,
            now: None,
            accepting: true,
            pulls: false,
            open: 0,
            closing: 0,
            handshakes: 0,
            stats: EndpointStats::default(),
            fault: None,
        })
    }

    /// Begins a connection. `Event::Connected { .. }` or `Event::Closed` follows. Requests
    /// may be sent at once where early data is possible
    /// ([`Access::may_send_early`](crate::connection::Access::may_send_early)).
    ///
    /// # Errors
    /// [`ConnectError`]; nothing was sent.
    pub fn connect(&mut self, now: Instant, to: &Target) -> Result<ConnKey, ConnectError> {
        let now = self.see(now);
        if !self.accepting {
            return Err(ConnectError::Refused);
        }
        let settings = to.transport.as_ref().unwrap_or(&self.config.transport);
        let until = settings.handshake_timeout.map(|limit| after(now, limit));
        let windows = Windows::new(settings);
        let trace = Trace {
            side: Side::Client,
            remote: to.addr,
            now,
        };
        let closing = Closing::default();
        let transport =
            self.config
                .transport_for(settings, to.offer().takes_datagrams(), &closing, trace)?;
        let (mut config, tickets) =
            to.crypto(Arc::clone(&self.tokens) as _, settings.reliable_reset)?;
        config.transport_config(transport);
        if self.config.has_seed() {
            let ids = seed::initial_ids(self.grease.next());
            config.initial_dst_cid_provider(ids);
        }
        let (handle, quic) = self
            .quinn
            .connect(now, config, to.addr, &to.server_name)
            .map_err(|error| match error {
                quinn_proto::ConnectError::InvalidServerName(name) => {
                    ConnectError::InvalidServerName(name)
                }
                quinn_proto::ConnectError::InvalidRemoteAddress(addr) => {
                    ConnectError::InvalidAddress(addr)
                }
                _ => ConnectError::Refused,
            })?;
        let name = Some(to.server_name.clone());
        let upper = self.upper(now, Side::Client, to.offer().choose(None));
        let mut state = State::new(quic, Side::Client, upper, name, until, windows);
        state.closing = closing;
        state.tickets = tickets;
        state.begin_early(now);
        Ok(self.insert(handle, state))
    }

    // ---- inputs: they never fail ---------------------------------------------

    /// A copy of a datagram for [`Self::handle_datagram`], in memory that is no longer
    /// in use, if there is some.
    #[must_use]
    pub fn copy_datagram(&mut self, datagram: &[u8]) -> BytesMut {
        self.buffers.copy(datagram)
    }

    /// Takes one received datagram, in memory of its own: all of the memory behind it is
    /// in use while a byte in it is unread, and only its own is counted.
    ///
    /// One that comes from where nobody can be answered (port 0; an unspecified, multicast
    /// or broadcast address) is forged, and one that came to many is not QUIC: they are
    /// dropped, and counted as [`EndpointStats::unanswerable`].
    pub fn handle_datagram(&mut self, now: Instant, from: Arrival, mut data: BytesMut) {
        let now = self.see(now);
        if let Some(observer) = &mut self.observer {
            observer.datagram(now, Way::In, data.len());
        }
        if !is_answerable(&from) {
            self.stats.unanswerable += 1;
            return;
        }
        let mut response = self.spare.pop().unwrap_or_default();
        response.clear();
        let memory = Received::remember(&mut data);
        let ecn = from.ecn.map(to_ecn);
        let event = self
            .quinn
            .handle(now, from.remote, from.local_ip, ecn, data, &mut response);
        match event {
            Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                self.spare.push(response);
                if !self.remind(handle, from.remote, memory.len) {
                    self.take(now, handle, Datagram { event, memory });
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                self.spare.push(response);
                self.attempt(now, incoming);
            }
            Some(DatagramEvent::Response(transmit)) => self.respond(&transmit, response),
            None => self.spare.push(response),
        }
        self.spare.truncate(MAX_RESPONSES);
    }

    /// Does what is due at `now`, and begins a turn: what came beyond the work of the last
    /// one is gone on with, each connection in its turn. What is beyond the work of this
    /// one is due still ([`Why::Work`](crate::time::Why::Work)), after the socket was looked
    /// at again. Calling it early, late or twice is harmless.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.see(now);
        self.process();
        self.begin_turn(now);
        self.run_timers(now);
    }

    /// Nothing could be received. It is counted and forgotten, unless the call was
    /// interrupted or its time was up, which is no error.
    pub fn handle_recv_error(&mut self, error: OsError) {
        if is_patience(error) {
            return;
        }
        self.stats.recv_errors += 1;
        self.fault = Some(SocketFault {
            remote: None,
            error,
        });
    }

    /// The system did not take a transmit, which is lost. It is counted; a connection
    /// that times out although it went on sending says so, as
    /// [`TransportFailure::SendFailed`](crate::error::TransportFailure::SendFailed). One
    /// that this endpoint has begun, and to whose server there is no way
    /// ([`OsError::has_no_way`]), ends with that at once.
    pub fn handle_send_error(&mut self, transmit: &Transmit, error: OsError) {
        self.stats.send_errors += 1;
        self.fault = Some(SocketFault {
            remote: Some(transmit.remote),
            error,
        });
        if let Some((key, number)) = transmit.owner
            && let Some(state) = state_of(&mut self.slots, key)
        {
            state.facts.sends.failed(number, error);
            if error.has_no_way()
                && state.has_heard_nothing()
                && let Some(now) = self.now
            {
                state.give_up_on(now, error);
                touched(&mut self.dirty, state, key);
            }
        }
    }

    /// Does what a command says.
    ///
    /// # Errors
    /// [`CommandError::NoConnection`], or the command's own error.
    pub fn handle_command(
        &mut self,
        now: Instant,
        connection: ConnKey,
        command: Command,
    ) -> Result<Reply, CommandError> {
        if let Command::Quic(call) = command {
            let mut connection = self
                .quic(now, connection)
                .ok_or(CommandError::NoConnection)?;
            return Ok(Reply::Quic(call.apply(&mut connection.access())));
        }
        let mut connection = self
            .connection(now, connection)
            .ok_or(CommandError::NoConnection)?;
        command.apply(&mut connection.access())
    }

    /// The local address has changed: every connection tries the new path at
    /// once. O(connections).
    pub fn handle_rebind(&mut self, now: Instant) {
        self.see(now);
        for key in self.keys() {
            if let Some(state) = state_of(&mut self.slots, key) {
                state.quic.local_address_changed();
                touched(&mut self.dirty, state, key);
            }
        }
    }

    // ---- use -------------------------------------------------------------------

    /// A connection to be used; `None` once it is forgotten: when its `Event::Closed`
    /// was taken and nothing that had arrived of messages is unread, or QUIC has nothing
    /// more to answer for it, three probe timeouts after a close (RFC 9000 section 10.2).
    /// Until then what had arrived can still be read, and everything else says that the
    /// connection is closed.
    pub fn connection(&mut self, now: Instant, key: ConnKey) -> Option<ConnectionMut<'_>> {
        let now = self.see(now);
        let state = state_of(&mut self.slots, key)?;
        // Nothing can be polled while the loan lasts, so what it changes is looked
        // at after its end.
        touched(&mut self.dirty, state, key);
        state.lend(now)
    }

    /// A connection to be looked at, and for its datagrams to be taken; `None` as for
    /// [`Self::connection`]. Nothing is scheduled by it: there is nothing to poll for
    /// afterwards.
    pub fn peek(&mut self, key: ConnKey) -> Option<ConnectionRef<'_>> {
        let now = self.now?;
        Some(ConnectionRef(state_of(&mut self.slots, key)?.lend(now)?))
    }

    /// What QUIC knows about a connection; `None` once it is forgotten, as for
    /// [`Self::connection`].
    #[must_use]
    pub fn info(&self, key: ConnKey) -> Option<ConnectionInfo<'_>> {
        let state = self
            .slots
            .get(key.index())
            .filter(|slot| slot.generation == key.generation);
        let state = state?.state.as_ref()?;
        Some(ConnectionInfo {
            quic: &state.quic,
            facts: &state.facts,
        })
    }

    /// Takes connection attempts, or refuses them; those that exist are not
    /// touched. A new endpoint takes them.
    pub fn set_accepting(&mut self, accepting: bool) {
        self.accepting = accepting;
    }

    /// Winds every connection down by `until`, and takes no new ones.
    /// O(connections).
    pub fn drain(&mut self, now: Instant, until: Instant) {
        self.accepting = false;
        for key in self.keys() {
            if let Some(mut connection) = self.connection(now, key) {
                connection.access().drain(until);
            } else if let Some(mut connection) = self.quic(now, key) {
                connection.access().drain(until);
            } else if let Some(state) = state_of(&mut self.slots, key) {
                state.close(now, Code::H3_NO_ERROR, "");
            }
        }
    }

    /// Closes every connection at once, and takes no new ones. O(connections).
    pub fn close(&mut self, now: Instant, code: Code, reason: impl Into<Bytes>) {
        let reason = reason.into();
        self.accepting = false;
        for key in self.keys() {
            if let Some(mut connection) = self.connection(now, key) {
                connection.access().close(code, reason.clone());
            } else if let Some(mut connection) = self.quic(now, key) {
                // A code has 62 bits, and one that is closed stays closed.
                let code = code.value().min(crate::quic::MAX_CODE);
                let _ = connection.access().close(code, reason.clone());
            } else if let Some(state) = state_of(&mut self.slots, key) {
                state.close(now, code, "");
            }
        }
    }

    /// Connections that are not over, handshakes included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.open
    }

    /// What the endpoint has taken, refused and lost. O(1).
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        EndpointStats {
            memory_promised: self.memory.promised(),
            ..self.stats
        }
    }

    /// The last call of the socket that failed, if any did.
    #[must_use]
    pub fn socket_fault(&self) -> Option<SocketFault> {
        self.fault
    }

    /// Whether no connection is left, not even one that still answers its peer's
    /// late packets. The socket can be closed without anybody noticing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.open + self.closing == 0 && self.responses.is_empty() && self.attempts.is_empty()
    }

    /// Largest UDP payload this endpoint takes, in bytes: the size of receive
    /// buffers.
    #[must_use]
    pub fn max_udp_payload(&self) -> usize {
        self.config.max_udp_payload.into()
    }

    // ---- outputs: drain each until it gives None -----------------------------------

    /// The next event of any connection; connections take turns. `Event::Closed` is a
    /// connection's last; [`Self::connection`] knows it until something is polled again,
    /// and while something is unread.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<(ConnKey, Event)> {
        // What an owner does for each event is looked at when there are no more.
        self.next_event().or_else(|| {
            self.process();
            self.next_event()
        })
    }

    fn next_event(&mut self) -> Option<(ConnKey, Event)> {
        while let Some(key) = self.eventful.pop_front() {
            let Some(state) = state_of(&mut self.slots, key) else {
                continue;
            };
            let Some(event) = state.upper.poll_event() else {
                state.eventful = false;
                continue;
            };
            if !self.config.resources.is_empty()
                && let Some(now) = self.now
                && resources::is_answered(&self.config.resources, state, now, &event)
            {
                self.eventful.push_back(key);
                touched(&mut self.dirty, state, key);
                continue;
            }
            if matches!(event, Event::Closed(_)) {
                state.told = true;
                touched(&mut self.dirty, state, key);
            } else {
                if matches!(event, Event::Quic(_)) {
                    // There may be room for more.
                    touched(&mut self.dirty, state, key);
                }
                self.eventful.push_back(key);
            }
            return Some((key, event));
        }
        None
    }

    /// Whether [`Self::poll_event`] has one to give. Sending makes events too, so
    /// a loop asks before it sleeps.
    #[must_use]
    pub fn has_events(&mut self) -> bool {
        self.has_next_event() || {
            self.process();
            self.has_next_event()
        }
    }

    fn has_next_event(&mut self) -> bool {
        while let Some(key) = self.eventful.front().copied() {
            if let Some(state) = state_of(&mut self.slots, key) {
                if state.upper.has_events() {
                    return true;
                }
                state.eventful = false;
            }
            self.eventful.pop_front();
        }
        false
    }

    /// The next datagrams to send, at most `max_segments` (at least 1) of them,
    /// all to one address and of one size but the last. `out` is emptied first and
    /// holds them afterwards. Connections take turns.
    #[must_use]
    pub fn poll_transmit(
        &mut self,
        now: Instant,
        max_segments: usize,
        out: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let now = self.see(now);
        self.process();
        out.clear();
        // Strangers and connections take turns.
        let responded = std::mem::take(&mut self.responded);
        if !responded && let Some(transmit) = self.pop_response(out) {
            self.responded = true;
            return Some(transmit);
        }
        while let Some(key) = self.sending.pop_front() {
            let Some(state) = state_of(&mut self.slots, key) else {
                if let Some(transmit) = self.say_again(key, out) {
                    if let Some(observer) = &mut self.observer {
                        observer.datagram(now, Way::Out, transmit.size);
                    }
                    return Some(transmit);
                }
                continue;
            };
            let transmit = state.poll_transmit(now, max_segments.max(1), out);
            state.sending = false;
            undated(&mut self.undated, state, key);
            if let Some(transmit) = transmit {
                // Sending may have made events, and there may be more to send.
                touched(&mut self.dirty, state, key);
                if let Some(observer) = &mut self.observer {
                    observer.datagram(now, Way::Out, transmit.size);
                }
                let owner = Some((key, state.facts.sends.count()));
                let transmit = from_transmit(&transmit);
                return Some(Transmit { owner, ..transmit });
            }
        }
        self.pop_response(out)
    }

    /// When `handle_timeout` is wanted; `None` for never.
    #[must_use]
    pub fn poll_timeout(&mut self) -> Option<Deadline> {
        self.process();
        self.arm_timers();
        earliest(self.turn_due(), self.timers.next())
    }

    // ---- inside ------------------------------------------------------------------

    /// The time from here on: it does not run backwards, whatever the caller says.
    fn see(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |latest| latest.max(now));
        self.now = Some(now);
        now
    }

    fn keys(&self) -> Vec<ConnKey> {
        let live = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.state.is_some());
        live.map(|(at, slot)| connection::key(ConnectionHandle(at), slot.generation))
            .collect()
    }

    /// HTTP/3 of a new connection, and whoever looks on.
    fn http(&mut self, now: Instant, side: Side, config: Arc<Config>) -> Connection {
        let seed = self.grease.next();
        let observer = self
            .observer
            .as_mut()
            .and_then(|observer| observer.connection(now, side, &config, seed));
        let connection = Connection::new(side, config, seed);
        match observer {
            Some(observer) => connection.observed(observer),
            None => connection,
        }
    }

    fn insert(&mut self, handle: ConnectionHandle, mut state: State) -> ConnKey {
        self.memory.add(&mut state.windows);
        if self.slots.len() <= handle.0 {
            self.slots.resize_with(handle.0 + 1, Slot::default);
        }
        self.open += 1;
        self.handshakes += usize::from(state.handshaking);
        let mut generation = 0;
        if let Some(slot) = self.slots.get_mut(handle.0) {
            generation = slot.generation;
            let state = slot.state.insert(Box::new(state));
            touched(&mut self.dirty, state, connection::key(handle, generation));
        }
        connection::key(handle, generation)
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // quinn wants to be told what becomes of each.
        while let Some((_, incoming)) = self.attempts.pop() {
            self.quinn.ignore(incoming);
        }
    }
}

/// The connection that a key names. O(1).
fn state_of(slots: &mut [Slot], key: ConnKey) -> Option<&mut State> {
    let slot = slots.get_mut(key.index())?;
    if slot.generation != key.generation {
        return None;
    }
    slot.state.as_deref_mut()
}

#[cfg(all(test, feature = "pair"))]
mod tests;
