//! What an endpoint and its connections are made with.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    IdleTimeout, MtuDiscoveryConfig, TokenStore, TransportConfig, VarInt, congestion,
};
use rustls::quic::Version;
use thiserror::Error;

#[cfg(feature = "quic-lb")]
use super::cid::{ConnectionIds, Luck};
use super::incoming::IncomingPolicy;
use super::observe::{EndpointObserver, ObserverFactory};
use super::seed::{SeededIds, fold, system_seed};
use super::tls::ALPN;
use crate::config::Config;
use crate::id::Side;
use crate::mix::Mix;

/// How a connection uses QUIC: what it grants the peer, what it keeps for it,
/// and how it finds its speed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct TransportSettings {
    /// Silence after which a connection is given up; the smaller of both ends'
    /// counts. `None` waits forever. Default 30 s.
    pub idle_timeout: Option<Duration>,
    /// Silence after which a PING is sent to keep the connection. Default none.
    pub keep_alive: Option<Duration>,
    /// Bidirectional streams the peer may have open at once, at most 2^60.
    /// Default 128.
    pub max_streams_bidi: u64,
    /// Unidirectional streams the peer may have open at once, at most 2^60; HTTP/3
    /// itself takes 3. Default 128.
    pub max_streams_uni: u64,
    /// Bytes the peer may send on one stream before they are read. Default 1 MiB.
    pub stream_receive_window: u64,
    /// Bytes the peer may send on all streams before they are read. Default 16 MiB.
    pub receive_window: u64,
    /// Bytes taken from the application before they are acknowledged. Default 8 MiB.
    pub send_window: u64,
    /// Bytes of received datagrams held for the layers above; the oldest are
    /// dropped beyond it. The announced largest datagram is this or 65,535.
    /// Default 1 MiB.
    pub datagram_receive_buffer: usize,
    /// Bytes of datagrams held until the congestion controller lets them go.
    /// Default 1 MiB.
    pub datagram_send_buffer: usize,
    /// UDP payload assumed to pass before any probe, at least 1,200. Default 1,200.
    pub initial_mtu: u16,
    /// Largest UDP payload probed for; `None` probes nothing. Default 1,452.
    pub mtu_discovery: Option<u16>,
    /// Round-trip time assumed before the first sample. Default 333 ms (RFC 9002).
    pub initial_rtt: Duration,
    /// How the sending rate is found.
    pub congestion: Congestion,
    /// Hand several datagrams to the socket at once where it can. Default yes.
    pub segmentation_offload: bool,
}

/// How the sending rate is found.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Congestion {
    /// RFC 9438.
    #[default]
    Cubic,
    /// RFC 9002 §7.
    NewReno,
    /// BBR version 1; experimental.
    Bbr,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            idle_timeout: Some(Duration::from_secs(30)),
            keep_alive: None,
            max_streams_bidi: 128,
            max_streams_uni: 128,
            stream_receive_window: 1 << 20,
            receive_window: 16 << 20,
            send_window: 8 << 20,
            datagram_receive_buffer: 1 << 20,
            datagram_send_buffer: 1 << 20,
            initial_mtu: 1200,
            mtu_discovery: Some(1452),
            initial_rtt: Duration::from_millis(333),
            congestion: Congestion::Cubic,
            segmentation_offload: true,
        }
    }
}

impl TransportSettings {
    /// The settings as quinn takes them.
    fn build(&self, datagrams: bool) -> Result<TransportConfig, ConfigError> {
        let window = |name, value| match VarInt::from_u64(value) {
            Ok(value) if value.into_inner() > 0 => Ok(value),
            _ => Err(ConfigError::OutOfRange(name)),
        };
        let streams = |name, value| match VarInt::from_u64(value) {
            //= https://www.rfc-editor.org/rfc/rfc9000#section-4.6
            // A stream count above 2^60 could not be expressed as stream ids.
            Ok(value) if value.into_inner() <= 1 << 60 => Ok(value),
            _ => Err(ConfigError::OutOfRange(name)),
        };
        if self.initial_mtu < 1200 {
            return Err(ConfigError::OutOfRange("initial_mtu"));
        }
        if self.initial_rtt.is_zero() {
            return Err(ConfigError::OutOfRange("initial_rtt"));
        }
        let idle = match self.idle_timeout {
            None => None,
            Some(limit) if limit.as_millis() == 0 => {
                return Err(ConfigError::OutOfRange("idle_timeout"));
            }
            Some(limit) => Some(
                IdleTimeout::try_from(limit)
                    .map_err(|_| ConfigError::OutOfRange("idle_timeout"))?,
            ),
        };
        let mtu = match self.mtu_discovery {
            None => None,
            Some(limit) if limit < self.initial_mtu => {
                return Err(ConfigError::OutOfRange("mtu_discovery"));
            }
            Some(limit) => {
                let mut discovery = MtuDiscoveryConfig::default();
                discovery.upper_bound(limit);
                Some(discovery)
            }
        };
        let mut built = TransportConfig::default();
        built
            .max_idle_timeout(idle)
            .keep_alive_interval(self.keep_alive)
            .max_concurrent_bidi_streams(streams("max_streams_bidi", self.max_streams_bidi)?)
            .max_concurrent_uni_streams(streams("max_streams_uni", self.max_streams_uni)?)
            .stream_receive_window(window("stream_receive_window", self.stream_receive_window)?)
            .receive_window(window("receive_window", self.receive_window)?)
            .send_window(window("send_window", self.send_window)?.into_inner())
            .datagram_receive_buffer_size(datagrams.then_some(self.datagram_receive_buffer))
            .datagram_send_buffer_size(self.datagram_send_buffer)
            .initial_mtu(self.initial_mtu)
            .mtu_discovery_config(mtu)
            .initial_rtt(self.initial_rtt)
            .enable_segmentation_offload(self.segmentation_offload);
        match self.congestion {
            Congestion::Cubic => {
                built.congestion_controller_factory(Arc::new(congestion::CubicConfig::default()))
            }
            Congestion::NewReno => {
                built.congestion_controller_factory(Arc::new(congestion::NewRenoConfig::default()))
            }
            Congestion::Bbr => {
                built.congestion_controller_factory(Arc::new(congestion::BbrConfig::default()))
            }
        };
        Ok(built)
    }
}

/// Why an endpoint or connection cannot be made as configured.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field of [`TransportSettings`] or [`EndpointConfig`] is out of range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The rustls configuration cannot serve QUIC: no TLS 1.3, or no suite
    /// TLS13_AES_128_GCM_SHA256.
    #[error("the TLS configuration does not suit QUIC: {0}")]
    Tls(String),
}

/// What a trace of one connection is written to; see [`EndpointConfig::qlog`].
#[cfg(feature = "qlog")]
pub type QlogFactory =
    dyn Fn(Side, SocketAddr) -> Option<Box<dyn std::io::Write + Send + Sync>> + Send + Sync;

/// What an [`Endpoint`](super::Endpoint) is made with.
#[derive(Clone)]
pub struct EndpointConfig {
    pub(super) server: Option<ServerParts>,
    pub(super) transport: TransportSettings,
    pub(super) incoming: IncomingPolicy,
    pub(super) max_udp_payload: u16,
    pub(super) may_fragment: bool,
    pub(super) seed: Option<[u8; 32]>,
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
    pub(super) http: Arc<Config>,
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
            transport: TransportSettings::default(),
            incoming: IncomingPolicy::default(),
            max_udp_payload: 1472,
            may_fragment: true,
            seed: None,
            #[cfg(feature = "quic-lb")]
            ids: None,
            #[cfg(feature = "qlog")]
            qlog: None,
            observe: None,
        }
    }

    /// An endpoint that also accepts connections. A TLS configuration without
    /// ALPN gets `h3`; early data (0-RTT) is turned off.
    ///
    /// # Errors
    /// [`ConfigError::Tls`].
    pub fn server(tls: Arc<rustls::ServerConfig>, http: Config) -> Result<Self, ConfigError> {
        let server = ServerParts {
            quic: quinn_proto::ServerConfig::with_crypto(server_crypto(tls)?),
            http: Arc::new(http),
        };
        Ok(Self {
            server: Some(server),
            ..Self::client()
        })
    }

    /// How connections use QUIC, unless a [`Target`] says otherwise.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] names the field.
    pub fn transport(mut self, settings: TransportSettings) -> Result<Self, ConfigError> {
        settings.build(true)?;
        self.transport = settings;
        Ok(self)
    }

    /// Which connection attempts are taken.
    #[must_use]
    pub fn incoming(mut self, policy: IncomingPolicy) -> Self {
        self.incoming = policy;
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
        config
            .max_udp_payload_size(self.max_udp_payload)
            .map_err(|_| ConfigError::OutOfRange("max_udp_payload"))?
            .rng_seed(self.seed);
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
            built.transport_config(Arc::new(self.transport.build(parts.http.datagrams)?));
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
        trace: Trace,
    ) -> Result<Arc<TransportConfig>, ConfigError> {
        #[cfg_attr(
            not(feature = "qlog"),
            expect(unused_mut, reason = "qlog adds its sink")
        )]
        let mut built = settings.build(datagrams)?;
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

/// Where a client connects to, and how.
#[derive(Clone)]
#[non_exhaustive]
pub struct Target {
    /// The server's address.
    pub addr: SocketAddr,
    /// The name in the server's certificate, sent as SNI: a DNS name or an IP
    /// address without brackets.
    pub server_name: String,
    /// Trust, ALPN, resumption and client certificates. Without ALPN, `h3` is
    /// offered. Early data (0-RTT) is turned off.
    pub tls: Arc<rustls::ClientConfig>,
    /// How HTTP/3 behaves on the connection.
    pub http: Arc<Config>,
    /// How the connection uses QUIC, when not as the endpoint's other connections.
    pub transport: Option<TransportSettings>,
}

impl Target {
    /// A connection with defaults.
    #[must_use]
    pub fn new(addr: SocketAddr, server_name: &str, tls: Arc<rustls::ClientConfig>) -> Self {
        let http = Arc::new(Config::default());
        Self {
            addr,
            server_name: server_name.into(),
            tls,
            http,
            transport: None,
        }
    }

    /// How HTTP/3 behaves on the connection.
    #[must_use]
    pub fn http(mut self, config: Config) -> Self {
        self.http = Arc::new(config);
        self
    }

    /// How the connection uses QUIC, when not as the endpoint's other connections.
    #[must_use]
    pub fn transport(mut self, settings: TransportSettings) -> Self {
        self.transport = Some(settings);
        self
    }

    /// As a socket at `local` reaches it: an IPv6 socket reaches IPv4 hosts by their
    /// mapped addresses (RFC 4291 section 2.5.5.2).
    #[must_use]
    pub fn reached_from(mut self, local: SocketAddr) -> Self {
        if let (true, IpAddr::V4(ip)) = (local.is_ipv6(), self.addr.ip()) {
            self.addr.set_ip(ip.to_ipv6_mapped().into());
        }
        self
    }

    pub(super) fn crypto(
        &self,
        tokens: Arc<dyn TokenStore>,
    ) -> Result<quinn_proto::ClientConfig, ConfigError> {
        let mut tls = Arc::clone(&self.tls);
        if tls.alpn_protocols.is_empty() {
            Arc::make_mut(&mut tls).alpn_protocols = vec![ALPN.to_vec()];
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
        // CONNECT is not safe to be replayed. Nothing goes out early.
        if tls.enable_early_data {
            Arc::make_mut(&mut tls).enable_early_data = false;
        }
        let tls =
            QuicClientConfig::try_from(tls).map_err(|why| ConfigError::Tls(why.to_string()))?;
        let mut config = quinn_proto::ClientConfig::new(Arc::new(tls));
        config.token_store(tokens);
        Ok(config)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("addr", &self.addr)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn server_crypto(mut tls: Arc<rustls::ServerConfig>) -> Result<Arc<QuicServerConfig>, ConfigError> {
    if tls.alpn_protocols.is_empty() {
        Arc::make_mut(&mut tls).alpn_protocols = vec![ALPN.to_vec()];
    }
    // What may be a replay is not taken, so that a CONNECT never is one.
    if tls.max_early_data_size > 0 {
        Arc::make_mut(&mut tls).max_early_data_size = 0;
    }
    // quinn takes it for granted that a session can be started, so that is tried
    // once here instead of failing at the first connection.
    rustls::quic::ServerConnection::new(Arc::clone(&tls), Version::V1, Vec::new())
        .map_err(|why| ConfigError::Tls(why.to_string()))?;
    let crypto =
        QuicServerConfig::try_from(tls).map_err(|why| ConfigError::Tls(why.to_string()))?;
    Ok(Arc::new(crypto))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        type Change = fn(&mut TransportSettings);
        let changes: [(&str, Change); 6] = [
            ("idle_timeout", |s| s.idle_timeout = Some(Duration::ZERO)),
            ("initial_mtu", |s| s.initial_mtu = 1199),
            ("mtu_discovery", |s| s.mtu_discovery = Some(1100)),
            ("max_streams_bidi", |s| s.max_streams_bidi = (1 << 60) + 1),
            ("receive_window", |s| s.receive_window = 1 << 62),
            ("send_window", |s| s.send_window = 0),
        ];
        for (field, change) in changes {
            let mut settings = TransportSettings::default();
            change(&mut settings);
            let error = EndpointConfig::client()
                .transport(settings)
                .expect_err(field);
            assert!(
                matches!(error, ConfigError::OutOfRange(name) if name == field),
                "{error}"
            );
        }
        assert!(
            EndpointConfig::client()
                .transport(TransportSettings::default())
                .is_ok()
        );
    }
}
