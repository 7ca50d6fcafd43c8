//! What a client is made with.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::endpoint::tls::{self, TicketStore, Trust};
use aqueduct_core::endpoint::{Target, TransportSettings};
use aqueduct_core::pool::{
    AltSvcLimits, Origin, OriginConfig, PlanConfig, Pool, PoolConfig, PoolLimits, Rules,
    StoredAlternative,
};

use super::Client;
use super::alternatives::{Alternatives, Keep};
use super::hub::Hub;
use super::metrics::{Hook, Metrics};
use super::proxy::ClientProxy;
use super::runtime::{Resolve, Runtime};
use crate::endpoint::Endpoint;
use crate::tickets::MemoryTickets;

/// Shorter times are this: a request is not looked at more often.
const SHORTEST: Duration = Duration::from_millis(1);

/// How long what may take.
///
/// Among the extensions of a request it counts for that request, in place of the
/// client's.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Timeouts {
    /// From the end of the request to the head of the final answer. Default 30 s.
    pub first_byte: Option<Duration>,
    /// How long the server may take nothing of the content of a request. Default 30 s.
    pub write: Option<Duration>,
    /// How long content of an answer may wait for its reader. It is cancelled with
    /// H3_REQUEST_CANCELLED then, and its connection is free for others. Default 30 s.
    pub idle: Option<Duration>,
    /// How long the reader of an answer may wait for more of it. Default for ever: a
    /// stream of events may have nothing to tell.
    pub read: Option<Duration>,
    /// From the request to the end of its answer. Default for ever.
    pub total: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_byte: Some(Duration::from_secs(30)),
            write: Some(Duration::from_secs(30)),
            idle: Some(Duration::from_secs(30)),
            read: None,
            total: None,
        }
    }
}

impl Timeouts {
    /// No shorter than a request is looked at.
    pub(super) fn bounded(mut self) -> Self {
        let Self {
            first_byte,
            idle,
            read,
            total,
            ..
        } = &mut self;
        for limit in [first_byte, idle, read, total].into_iter().flatten() {
            *limit = (*limit).max(SHORTEST);
        }
        self
    }

    /// See [`first_byte`](Self::first_byte); `None` is for ever, here as below.
    #[must_use]
    pub fn with_first_byte(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.first_byte = limit.into();
        self
    }

    /// See [`write`](Self::write).
    #[must_use]
    pub fn with_write(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.write = limit.into();
        self
    }

    /// See [`idle`](Self::idle).
    #[must_use]
    pub fn with_idle(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.idle = limit.into();
        self
    }

    /// See [`read`](Self::read).
    #[must_use]
    pub fn with_read(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.read = limit.into();
        self
    }

    /// See [`total`](Self::total).
    #[must_use]
    pub fn with_total(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.total = limit.into();
        self
    }
}

/// What a [`Client`] is made with. The crate of the runtime makes it:
/// `aqueduct_tokio::client`, `aqueduct_async_std::client`.
#[derive(Clone)]
#[must_use = "it makes a client, in the hands of a runtime"]
pub struct ClientBuilder {
    tls: Tls,
    http: Config,
    transport: Option<TransportSettings>,
    tickets: Option<Arc<dyn TicketStore>>,
    early_data: bool,
    origin: OriginConfig,
    rules: Vec<(String, OriginConfig)>,
    limits: PoolLimits,
    timeouts: Timeouts,
    plan: PlanConfig,
    resolver: Option<Arc<dyn Resolve>>,
    metrics: Hook,
    alternatives: Option<AltSvcLimits>,
    known: Vec<StoredAlternative>,
    keep: Option<Keep>,
    proxy: Option<ClientProxy>,
}

#[derive(Clone)]
enum Tls {
    Trust(Trust),
    Config(Arc<rustls::ClientConfig>),
}

impl ClientBuilder {
    /// A client that believes servers that `trust` names: authorities' roots, the
    /// system's among them if the program loads them, certificates of a file, or hashes.
    pub fn new(trust: impl Into<Trust>) -> Self {
        Self::of(Tls::Trust(trust.into()))
    }

    /// The same with a configuration of rustls: client certificates, key logs.
    pub fn with_tls(tls: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        Self::of(Tls::Config(tls.into()))
    }

    fn of(tls: Tls) -> Self {
        Self {
            tls,
            http: Config::client(),
            transport: None,
            tickets: None,
            early_data: false,
            origin: OriginConfig::default(),
            rules: Vec::new(),
            limits: PoolLimits::default(),
            timeouts: Timeouts::default(),
            plan: PlanConfig::default(),
            resolver: None,
            metrics: None,
            alternatives: Some(AltSvcLimits::default()),
            known: Vec::new(),
            keep: None,
            proxy: None,
        }
    }

    /// How HTTP/3 behaves on the connections.
    pub fn http(mut self, config: Config) -> Self {
        self.http = config;
        self
    }

    /// How the connections use QUIC.
    pub fn transport(mut self, settings: TransportSettings) -> Self {
        self.transport = Some(settings);
        self
    }

    /// Where session tickets are kept ([`MemoryTickets`]).
    pub fn tickets(mut self, store: Arc<dyn TicketStore>) -> Self {
        self.tickets = Some(store);
        self
    }

    /// Requests may go out as early data (0-RTT, RFC 8470): before the handshake is
    /// complete, on a connection that begins with a ticket whose server takes them. They
    /// are those of safe methods (GET, HEAD, OPTIONS, TRACE) without content, and others
    /// that have [`Early::Always`](aqueduct_core::head::Early::Always) among their
    /// extensions, but for CONNECT; [`Early::Never`](aqueduct_core::head::Early::Never)
    /// keeps one back. All others wait for the handshake, and so does all that is
    /// [opened](Client::open). Default no.
    ///
    /// Whoever sees such a request can send it to the server again. What became of it
    /// [`EarlyOutcome`](super::EarlyOutcome) says: among the extensions of the answer, or
    /// of the error ([`Error::early_data`](super::Error::early_data)). It is sent once: one
    /// that the server did not take fails as
    /// [unprocessed](super::Error::is_unprocessed). An answer 425 (Too Early) is an answer.
    ///
    /// Without [`tickets`](Self::tickets) they are kept in memory.
    pub fn early_data(mut self, send: bool) -> Self {
        self.early_data = send;
        self
    }

    /// How connections to origins without a rule are used.
    pub fn origins(mut self, config: OriginConfig) -> Self {
        self.origin = config;
        self
    }

    /// How connections to the origins of a pattern are used, `https://host` or
    /// `https://*.host`, each with or without a port ([`Rules::rule`]).
    pub fn rule(mut self, pattern: &str, config: OriginConfig) -> Self {
        self.rules.push((pattern.into(), config));
        self
    }

    /// Bounds over all origins.
    pub fn limits(mut self, limits: PoolLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How long requests may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How long it may take to connect to an origin without a rule.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.origin.connect_timeout = limit;
        self
    }

    /// In which order and at which pace the addresses of a name are tried (RFC 8305).
    pub fn plan(mut self, plan: PlanConfig) -> Self {
        self.plan = plan;
        self
    }

    /// Finds addresses of names, in place of the system, and HTTPS records if it can.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// All connections go through this proxy, QUIC in QUIC (CONNECT-UDP, RFC 9298), on every
    /// runtime. The proxy finds the addresses of origins: neither names nor HTTPS records
    /// are looked up here, but its own. Origins are reached at their own places, whatever
    /// alternatives are known.
    ///
    /// What a way through the proxy fails with is
    /// [`DialFailure::Proxy`](aqueduct_core::pool::DialFailure::Proxy), and nothing else
    /// is tried. Connections to the proxy are dialled, counted ([`Client::stats`],
    /// [`metrics`](Self::metrics)) and given up as those to origins are; each tunnel is a
    /// request on one of them. [`connect_timeout`](Self::connect_timeout) of an origin counts
    /// from before the proxy is reached.
    pub fn proxy(mut self, proxy: ClientProxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// How much is remembered of what origins say in `alt-svc` (RFC 7838); `None` does not
    /// listen. What an answer says counts for dials from then on, for as long as it says
    /// (`ma`), and `clear` ends it. An alternative that was not reached, or that another
    /// place overtook, is left alone for five minutes, and twice as long each time that it
    /// fails again; one that answers 421 is forgotten and gets nothing more.
    /// Requests to one have the field `alt-used`.
    pub fn alternatives(mut self, limits: impl Into<Option<AltSvcLimits>>) -> Self {
        self.alternatives = limits.into();
        self
    }

    /// What [`Client::alternatives`] gave another time, of which what has expired is left
    /// out.
    pub fn known_alternatives(
        mut self,
        known: impl IntoIterator<Item = StoredAlternative>,
    ) -> Self {
        self.known.extend(known);
        self
    }

    /// Called with all alternatives that are known when an origin has said something new, or
    /// something a minute after it was called last: to be kept for
    /// [`known_alternatives`](Self::known_alternatives). With no lock held, where the
    /// answer is awaited. O(all).
    pub fn keep_alternatives(
        mut self,
        keep: impl Fn(Vec<StoredAlternative>) + Send + Sync + 'static,
    ) -> Self {
        self.keep = Some(Arc::new(keep));
        self
    }

    /// Counts what the client does, by the names of [`Metric`](super::Metric). Default
    /// nobody, which costs nothing.
    pub fn metrics(mut self, hook: impl Metrics) -> Self {
        self.metrics = Some(Arc::new(hook));
        self
    }

    /// Makes the client of an endpoint and what a runtime has to give. For crates of
    /// runtimes.
    ///
    /// # Errors
    /// `InvalidInput` when the settings contradict each other
    /// ([`PoolConfigError`](aqueduct_core::pool::PoolConfigError); a [proxy](Self::proxy) and
    /// less than two connections) or TLS refuses what is to be trusted.
    pub fn build_on(self, endpoint: Endpoint, runtime: impl Runtime) -> io::Result<Client> {
        if self.proxy.is_some() && self.limits.max_connections < 2 {
            let why = "a proxy needs a connection beside those that it carries";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let mut rules = Rules::new(self.origin).map_err(invalid)?;
        for (pattern, config) in self.rules {
            rules = rules.rule(&pattern, config).map_err(invalid)?;
        }
        let mut config = PoolConfig::default();
        config.limits = self.limits;
        config.rules = rules;
        // Not for secrets: clients are not to come back in step.
        config.seed = RandomState::new().build_hasher().finish();
        let pool = Pool::new(config).map_err(invalid)?;
        let tls = match self.tls {
            Tls::Trust(trust) => Arc::new(tls::client_config(trust).map_err(invalid)?),
            Tls::Config(config) => config,
        };
        let memory = || Arc::new(MemoryTickets::new()) as Arc<dyn TicketStore>;
        let tickets = self.tickets.or_else(|| self.early_data.then(memory));
        let settings = Settings {
            tls,
            http: Arc::new(self.http),
            transport: self.transport,
            tickets,
            early_data: self.early_data,
            timeouts: self.timeouts.bounded(),
            plan: self.plan,
            resolver: self.resolver,
            metrics: self.metrics,
            proxy: self.proxy,
            alternatives: self
                .alternatives
                .map(|limits| Alternatives::new(limits, self.known, self.keep)),
        };
        let hub = Hub::new(endpoint, Box::new(runtime), settings, pool);
        Ok(Client::of(hub))
    }
}

fn invalid(why: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("origin", &self.origin)
            .field("rules", &self.rules)
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// What is left of it when the client is made.
pub(crate) struct Settings {
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) http: Arc<Config>,
    pub(crate) transport: Option<TransportSettings>,
    pub(crate) tickets: Option<Arc<dyn TicketStore>>,
    pub(crate) early_data: bool,
    pub(crate) timeouts: Timeouts,
    pub(crate) plan: PlanConfig,
    pub(crate) resolver: Option<Arc<dyn Resolve>>,
    pub(crate) metrics: Hook,
    pub(crate) alternatives: Option<Alternatives>,
    pub(crate) proxy: Option<ClientProxy>,
}

impl Settings {
    /// Where a connection to an origin goes.
    //= https://www.rfc-editor.org/rfc/rfc7838#section-2.1
    // Whoever answers there has to be the origin.
    pub(crate) fn target(&self, to: SocketAddr, origin: &Origin) -> Target {
        let mut target = Target::new(to, origin.host(), self.tls.clone());
        target.http = self.http.clone();
        target.tickets.clone_from(&self.tickets);
        target.early_data = self.early_data;
        target
    }
}
