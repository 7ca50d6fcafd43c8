//! What an endpoint is made with, and what quinn takes of it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use quinn_proto::{HashedConnectionIdGenerator, TransportConfig, crypto};

#[cfg(feature = "quic-lb")]
use super::cid::{ConnectionIds, Luck};
use super::closing::Closing;
use super::error::ConfigError;
use super::fair::MAX_ATTEMPTS;
use super::incoming::{Bounds, IncomingPolicy};
use super::memory::Windows;
use super::observe::{EndpointObserver, ObserverFactory};
use super::protocol::{Offer, Raw};
use super::reset::ResetKey;
use super::seed::{SeededIds, fold, system_seed};
use super::settings::TransportSettings;
use super::sparing::Sparing;
use super::tls;
use crate::config::Config;
use crate::connection::Connection;
use crate::id::Side;
use crate::mix::Mix;
use crate::quic;
use crate::transport::Caps;
use crate::wire::settings::Settings;

/// What a trace of one connection is written to; see [`EndpointConfig::qlog`].
#[cfg(feature = "qlog")]
pub type QlogFactory =
    dyn Fn(Side, SocketAddr) -> Option<Box<dyn std::io::Write + Send + Sync>> + Send + Sync;

/// The version of QUIC that is spoken.
const VERSION: u32 = 1;

/// The default of [`EndpointConfig::memory`], where addresses reach as far.
const MEMORY: usize = match (1_usize << 30).checked_mul(4) {
    Some(bytes) => bytes,
    None => 1 << 30,
};

/// Bytes kept of what a client sends while its attempt waits, and for all of them.
const ATTEMPT_BUFFER: u64 = 16 * 1024;
const ATTEMPT_BUFFERS: u64 = 1 << 20;

/// What an [`Endpoint`](super::Endpoint) is made with.
#[derive(Clone)]
pub struct EndpointConfig {
    pub(super) server: Option<ServerParts>,
    pub(super) transport: TransportSettings,
    pub(super) incoming: IncomingPolicy,
    pub(super) max_udp_payload: u16,
    pub(super) may_fragment: bool,
    pub(super) memory: usize,
    /// Sorted.
    pub(super) resources: Vec<String>,
    pub(super) seed: Option<[u8; 32]>,
    pub(super) reset_key: Option<ResetKey>,
    #[cfg(feature = "quic-lb")]
    pub(super) ids: Option<ConnectionIds>,
    #[cfg(feature = "qlog")]
    pub(super) qlog: Option<Arc<QlogFactory>>,
    observe: Option<Arc<ObserverFactory>>,
}

#[derive(Clone)]
pub(super) struct ServerParts {
    /// Made once, so that clones of a configuration share the key of their address
    /// validation tokens.
    pub(super) quic: quinn_proto::ServerConfig,
    tls: Arc<rustls::ServerConfig>,
    /// Early data is taken.
    early: bool,
    pub(super) offer: Offer,
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("server", &self.server.is_some())
            .field("transport", &self.transport)
            .field("incoming", &self.incoming)
            .finish_non_exhaustive()
    }
}

impl EndpointConfig {
    /// An endpoint that only opens connections.
    #[must_use]
    pub fn client() -> Self {
        Self {
            server: None,
            transport: TransportSettings::client(),
            incoming: IncomingPolicy::default(),
            max_udp_payload: 1472,
            may_fragment: true,
            memory: MEMORY,
            resources: Vec::new(),
            seed: None,
            reset_key: None,
            #[cfg(feature = "quic-lb")]
            ids: None,
            #[cfg(feature = "qlog")]
            qlog: None,
            observe: None,
        }
    }

    /// An endpoint that also accepts connections. A TLS configuration without
    /// ALPN gets `h3`. Early data (0-RTT) is not taken, whatever it says: see
    /// [`Self::early_data`].
    ///
    /// # Errors
    /// [`ConfigError::Tls`].
    pub fn server(tls: Arc<rustls::ServerConfig>, http: Config) -> Result<Self, ConfigError> {
        Self::server_of(tls, Offer::http(Arc::new(http)))
    }

    /// An endpoint that accepts connections of raw QUIC, by one of these names (ALPN), and no
    /// HTTP/3. The server's order decides, whatever `tls` names.
    ///
    /// # Errors
    /// [`ConfigError::Tls`], [`ConfigError::Alpn`].
    pub fn quic_server<N: Into<Vec<u8>>>(
        tls: Arc<rustls::ServerConfig>,
        names: impl IntoIterator<Item = N>,
        config: quic::Config,
    ) -> Result<Self, ConfigError> {
        Self::server_of(tls, Offer::quic(Raw::new(names, config)?))
    }

    fn server_of(tls: Arc<rustls::ServerConfig>, offer: Offer) -> Result<Self, ConfigError> {
        let tls = tls::server_tls(tls, &offer)?;
        let crypto = Arc::new(Sparing(tls::server_crypto(Arc::clone(&tls), true)?));
        let server = ServerParts {
            quic: quinn_proto::ServerConfig::with_crypto(crypto),
            tls,
            early: false,
            offer,
        };
        Ok(Self {
            server: Some(server),
            transport: TransportSettings::default(),
            ..Self::client()
        })
    }

    /// Takes connections of raw QUIC beside HTTP/3's, on the same port: those on which TLS
    /// agrees on one of these names (ALPN). HTTP/3 is preferred.
    ///
    /// # Errors
    /// [`ConfigError::Alpn`], [`ConfigError::NotAServer`].
    pub fn quic<N: Into<Vec<u8>>>(
        mut self,
        names: impl IntoIterator<Item = N>,
        config: quic::Config,
    ) -> Result<Self, ConfigError> {
        let parts = self.server.as_mut().ok_or(ConfigError::NotAServer)?;
        parts.offer.quic = Some(Raw::new(names, config)?);
        parts.tls = tls::server_tls(Arc::clone(&parts.tls), &parts.offer)?;
        parts.quic.crypto = parts.crypto(Arc::clone(&parts.tls), &self.transport)?;
        Ok(self)
    }

    /// Whether requests are taken that come as early data (0-RTT, RFC 9001 §4.6): with a
    /// client's first flight, a round trip before the handshake is complete. Default no. No
    /// effect on an endpoint that only opens connections.
    ///
    /// **What comes so may be a replay**: an attacker can record it and send it again.
    /// [`Event::Request`](crate::event::Event::Request) says it of each request, and
    /// whoever answers acts at once only where doing it twice does no harm, waits for
    /// [`Event::Connected { .. }`](crate::event::Event::Connected) of the connection, after
    /// which the request is known to be fresh, or answers 425 (Too Early, RFC 8470). Sessions
    /// wait by themselves, and [`Tunnels`](crate::masque::Tunnels) answers 425.
    ///
    /// What is done against replays, by rustls: the sessions behind tickets are kept in the
    /// configuration's `session_storage`, and each is taken out once (RFC 8446 §8.1); the
    /// age that the client states has to fit, within a minute. So the same flight is taken
    /// once by all endpoints that share a storage, which one process's do that share the
    /// configuration. What is not: several servers that share tickets need a storage that
    /// gives each of them out once, to all of them together; and who delivers a client's
    /// first flight in its stead, and holds the client's own back, has it taken once and
    /// brings the client to send the request again.
    ///
    /// Early data is taken while it keeps to what this endpoint says: a session is kept with
    /// the SETTINGS and the transport parameters that the client knows, and when less is
    /// offered now, by a configuration that has changed since, the handshake is a full one
    /// and the early data is not taken.
    ///
    /// # Errors
    /// [`ConfigError::NoEarlyData`].
    pub fn early_data(mut self, take: bool) -> Result<Self, ConfigError> {
        if let Some(parts) = &mut self.server {
            parts.early = take;
            parts.quic.crypto = parts.crypto(Arc::clone(&parts.tls), &self.transport)?;
        }
        Ok(self)
    }

    /// How connections use QUIC, unless a [`Target`](super::Target) says otherwise. By
    /// default [`TransportSettings::client`] of an endpoint that only opens connections,
    /// [`TransportSettings::default`] of others.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] names the field.
    pub fn transport(mut self, settings: TransportSettings) -> Result<Self, ConfigError> {
        settings.build(true, &Closing::default())?;
        if let Some(parts) = &mut self.server
            && self.transport.reliable_reset != settings.reliable_reset
        {
            parts.quic.crypto = parts.crypto(Arc::clone(&parts.tls), &settings)?;
        }
        self.transport = settings;
        Ok(self)
    }

    /// Whether clients may go on from another address (RFC 9000 §9), a NAT's included that
    /// gives them another port. Without, what comes from elsewhere is dropped, and they are
    /// told so (disable_active_migration). Default yes. No effect on an endpoint that only
    /// opens connections.
    #[must_use]
    pub fn migration(mut self, may: bool) -> Self {
        if let Some(parts) = &mut self.server {
            parts.quic.migration(may);
        }
        self
    }

    /// Which connection attempts are taken.
    #[must_use]
    pub fn incoming(mut self, policy: IncomingPolicy) -> Self {
        self.incoming = policy;
        self
    }

    /// The paths, such as `/chat`, that are WebTransport's alone (server): a request to
    /// one of them that is no CONNECT is answered 405, and the application is not told of
    /// it. Default none.
    #[must_use]
    pub fn resources<P: Into<String>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.resources = paths.into_iter().map(Into::into).collect();
        self.resources.sort_unstable();
        self
    }

    /// Bytes that all connections together are promised: their windows as they are at
    /// present, datagram buffers, and 96 KiB for each that it costs whatever it does.
    /// Windows grow while three quarters of it last. An attempt that does not fit with
    /// the smallest windows finds the endpoint full, as one beyond
    /// [`IncomingPolicy::max_connections`] does: somebody idle makes place, or it is
    /// refused. Of an address and a network it is half and three quarters, as of
    /// connections.
    ///
    /// A promise is the most that a peer can make of it. With the defaults it is 736 KiB
    /// for a connection that has not moved much, and 4.3 MiB for one that has moved much
    /// both ways. Default 4 GiB, for 5,698 of the former; 1 GiB are for 1,424.
    #[must_use]
    pub fn memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Largest UDP payload received, from 1,200 to 65,527 bytes; the receive
    /// buffers follow it. Default 1,472.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`].
    pub fn max_udp_payload(mut self, bytes: u16) -> Result<Self, ConfigError> {
        if !(1200..=65_527).contains(&bytes) {
            return Err(ConfigError::OutOfRange("max_udp_payload"));
        }
        self.max_udp_payload = bytes;
        Ok(self)
    }

    /// Whether the socket may fragment what it sends, which makes MTU discovery
    /// meaningless and turns it off. Default yes, the safe assumption.
    #[must_use]
    pub fn may_fragment(mut self, may: bool) -> Self {
        self.may_fragment = may;
        self
    }

    /// Where all random choices of QUIC and HTTP/3 begin, connection ids
    /// included, for tests and simulations: they are as guessable as the seed.
    /// TLS keeps its own randomness. Without a seed quinn asks the system.
    #[must_use]
    pub fn seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The key of the tokens that end a connection which this endpoint has forgotten
    /// (stateless reset, RFC 9000 §10.3). With the same key as before, a server that has
    /// crashed and is up again answers the peers of old connections at once; with another
    /// they are silent until their idle timeouts. It has to stay secret: whoever knows it
    /// ends connections. Endpoints behind one address, of one process or several, have one
    /// key. Connection ids that nothing else determines follow from it as well, so that
    /// they are known again. Default: one that the system draws, as secret and never the
    /// same.
    ///
    /// # Errors
    /// [`ConfigError::Tls`] when the provider has no SHA-256 for it.
    pub fn reset_key(mut self, key: [u8; 32]) -> Result<Self, ConfigError> {
        self.reset_key = Some(ResetKey::new(key)?);
        Ok(self)
    }

    /// How connection ids are made, so that load balancers and other endpoints on
    /// the same port can tell whose they are. By default they are random.
    #[cfg(feature = "quic-lb")]
    #[must_use]
    pub fn connection_ids(mut self, ids: ConnectionIds) -> Self {
        self.ids = Some(ids);
        self
    }

    /// Writes a qlog trace of every connection for which `factory` gives a sink.
    #[cfg(feature = "qlog")]
    #[must_use]
    pub fn qlog(mut self, factory: Arc<QlogFactory>) -> Self {
        self.qlog = Some(factory);
        self
    }

    /// Whoever `factory` gives sees everything that goes into the endpoint's connections
    /// and comes out of them, in the middle of everything. It is asked once by each
    /// endpoint that is made with this configuration.
    #[must_use]
    pub fn observe(mut self, factory: Arc<ObserverFactory>) -> Self {
        self.observe = Some(factory);
        self
    }

    /// What quinn takes of a server's TLS configuration.
    pub(super) fn server_crypto(
        &self,
        tls: Arc<rustls::ServerConfig>,
    ) -> Result<Arc<dyn crypto::ServerConfig>, ConfigError> {
        let parts = self.server.as_ref().ok_or(ConfigError::NotAServer)?;
        parts.crypto(tls::server_tls(tls, &parts.offer)?, &self.transport)
    }

    /// How many connections there may be, and how much of the memory each has its share
    /// in.
    pub(super) fn bounds(&self) -> Bounds {
        let least = Windows::new(&self.transport).bytes();
        self.incoming.bounds(self.memory, least)
    }

    /// Who looks on at one endpoint.
    pub(super) fn observer(&self) -> Option<Box<dyn EndpointObserver>> {
        self.observe.as_ref().and_then(|factory| factory())
    }

    pub(super) fn has_seed(&self) -> bool {
        self.seed.is_some()
    }

    /// quinn's endpoint with this configuration, and its server part for use with
    /// each connection.
    pub(super) fn build(&self) -> Result<Built, ConfigError> {
        let mut config = quinn_proto::EndpointConfig::default();
        //= https://www.rfc-editor.org/rfc/rfc9000#section-15
        // Version 1, and none of the drafts before it, which quinn also takes. It has no
        // version 2.
        config
            .supported_versions(vec![VERSION])
            .max_udp_payload_size(self.max_udp_payload)
            .map_err(|_| ConfigError::OutOfRange("max_udp_payload"))?
            .rng_seed(self.seed);
        if let Some(key) = &self.reset_key {
            config.reset_key(Arc::new(key.clone()));
            let ids = u64::from_le_bytes(key.derive(b"ids"));
            config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
        }
        if let Some(seed) = self.seed {
            let state = fold(&seed);
            config.cid_generator(move || Box::new(SeededIds(Mix(state))));
        }
        #[cfg(feature = "quic-lb")]
        if let Some(ids) = self.ids.clone() {
            let seed = self.seed;
            config.cid_generator(move || Box::new(ids.generator(Luck::new(seed.as_ref()))));
        }
        let mut server = None;
        if let Some(parts) = &self.server {
            let mut built = parts.quic.clone();
            // Each connection gets its own.
            let transport = self
                .transport
                .build(parts.offer.takes_datagrams(), &Closing::default())?;
            built.transport_config(Arc::new(transport));
            // Those that wait are counted by the endpoint, and drop before quinn's own do.
            built.max_incoming(MAX_ATTEMPTS + 1);
            built.incoming_buffer_size(ATTEMPT_BUFFER);
            built.incoming_buffer_size_total(ATTEMPT_BUFFERS);
            server = Some(Arc::new(built));
        }
        let endpoint =
            quinn_proto::Endpoint::new(Arc::new(config), server.clone(), !self.may_fragment, None);
        let seed = self.seed.map_or_else(system_seed, |seed| fold(&seed));
        Ok(Built {
            endpoint,
            server,
            seed,
        })
    }

    /// quinn's transport configuration of one connection.
    pub(super) fn transport_for(
        &self,
        settings: &TransportSettings,
        datagrams: bool,
        closing: &Closing,
        trace: Trace,
    ) -> Result<Arc<TransportConfig>, ConfigError> {
        #[cfg_attr(
            not(feature = "qlog"),
            expect(unused_mut, reason = "qlog adds its sink")
        )]
        let mut built = settings.build(datagrams, closing)?;
        #[cfg(feature = "qlog")]
        if let Some(factory) = &self.qlog
            && let Some(sink) = factory(trace.side, trace.remote)
        {
            let mut qlog = quinn_proto::QlogConfig::default();
            qlog.writer(sink)
                .start_time(trace.now)
                .title(Some("aqueduct".into()));
            built.qlog_stream(qlog.into_stream());
        }
        #[cfg(not(feature = "qlog"))]
        let Trace { .. } = trace;
        Ok(Arc::new(built))
    }
}

impl ServerParts {
    /// What quinn takes of TLS, with early data or without.
    fn crypto(
        &self,
        tls: Arc<rustls::ServerConfig>,
        transport: &TransportSettings,
    ) -> Result<Arc<dyn crypto::ServerConfig>, ConfigError> {
        let reliable_reset = transport.reliable_reset;
        if !self.early {
            let crypto = tls::server_crypto(tls, reliable_reset)?;
            return Ok(Arc::new(Sparing(crypto)));
        }
        // To a client that can do less beyond RFC 9000 less is said, each time.
        let caps = Caps::new().reliable_reset(reliable_reset);
        let said = match &self.offer.http {
            Some(http) => Connection::settings_of(Side::Server, http, caps),
            None => Settings::new(),
        };
        let early = tls::EarlyCrypto::new(tls, said, reliable_reset)?;
        Ok(Arc::new(Sparing(Arc::new(early))))
    }
}

/// What names the trace of a connection.
#[derive(Copy, Clone, Debug)]
#[cfg_attr(
    not(feature = "qlog"),
    expect(dead_code, reason = "read by qlog alone")
)]
pub(super) struct Trace {
    pub(super) side: Side,
    pub(super) remote: SocketAddr,
    pub(super) now: Instant,
}

pub(super) struct Built {
    pub(super) endpoint: quinn_proto::Endpoint,
    pub(super) server: Option<Arc<quinn_proto::ServerConfig>>,
    pub(super) seed: u64,
}
