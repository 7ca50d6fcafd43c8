//! What `get`, `wt` and `probe` share: a connection to the host of a URL.

mod handshake;
mod proxy;
mod quic;
mod race;
mod reasons;
mod session;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_tokio::protocol::error::{CloseReason, TransportFailure};
use aqueduct_tokio::protocol::webtransport::dialect::Dialects;
use aqueduct_tokio::{Connection, Endpoint, MemoryTickets};

use crate::args::{Connect, Target};
use crate::exit::{Again, Context as _, Exit, Failure};
use crate::output::Output;
use crate::record::Recording;
use crate::tls::{self, Trust, Verdict};

pub use handshake::Connected;
pub use proxy::{Proxy, authorization};
pub use quic::Spoken;
pub use reasons::{
    closed, datagram_failed, read_failed, request_failed, session_closed, session_failed,
    stream_failed, tunnel_failed, write_failed,
};

/// How long a connection may take to end in good order.
const GOODBYE: Duration = Duration::from_secs(1);
/// How long a session ticket may take.
const TICKET: Duration = Duration::from_millis(500);
/// How long the last packets may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What is said of a server that does not answer.
const SILENT: &str = "no answer (is an HTTP/3 server listening on this UDP port?)";

/// Opens connections as the command line says.
#[derive(Clone, Debug)]
pub struct Dialer {
    tls: Arc<rustls::ClientConfig>,
    how: Connect,
    http: Config,
    transport: TransportSettings,
    /// What connections are closed with.
    farewell: Code,
    /// What the servers are to whoever reads of them, such as `the proxy `.
    whose: &'static str,
    /// Whether connections are to carry QUIC.
    carriers: bool,
    /// What connections go through.
    via: Option<Arc<Proxy>>,
    recording: Recording,
    #[cfg(feature = "qlog")]
    traces: crate::qlog::Traces,
    /// What was objected to in the server's certificate.
    verdict: Verdict,
    /// What servers gave to begin with the next time, in this run.
    tickets: Arc<MemoryTickets>,
    /// Whether requests may go out as early data.
    early: bool,
    /// All that were opened, to be left in good order.
    opened: Endpoints,
}

impl Dialer {
    /// Reads the certificates to trust, and warns when that is anyone's.
    pub fn new(how: &Connect, recording: &Recording, output: Output) -> Result<Self, Failure> {
        if how.insecure {
            output.warning(
                "--insecure: the server's certificate is not checked; \
                 anyone on the way can read and change everything",
            );
        }
        let verdict = Verdict::default();
        let tls = Arc::new(tls::client_config(&how.trust(), &verdict)?);
        let how = how.clone();
        // They are shown as they came.
        let mut http = Config::default();
        http.field_lines = true;
        let mut transport = TransportSettings::client();
        // A slow answer is not a dead server.
        transport.keep_alive = Some(Duration::from_secs(10));
        Ok(Self {
            tls,
            transport,
            farewell: Code::H3_NO_ERROR,
            whose: "",
            carriers: false,
            via: None,
            #[cfg(feature = "qlog")]
            traces: crate::qlog::Traces::begin(&how.qlog)?,
            how,
            http,
            recording: recording.clone(),
            verdict,
            tickets: Arc::new(MemoryTickets::new()),
            early: false,
            opened: Endpoints::default(),
        })
    }

    /// Goes on when the server's certificate is not trusted: [`Dialer::verdict`] tells why.
    ///
    /// # Errors
    /// As [`Dialer::new`].
    pub fn curious(mut self) -> Result<Self, Failure> {
        self.tls = Arc::new(tls::curious_config(&self.how.trust(), &self.verdict)?);
        Ok(self)
    }

    /// One for a server of its own: what is said against its certificate, and what it gave to begin
    /// with, has nothing to do with others.
    ///
    /// # Errors
    /// As [`Dialer::new`].
    pub fn apart(&self) -> Result<Self, Failure> {
        let mut dialer = self.clone();
        dialer.verdict = Verdict::default();
        dialer.tls = Arc::new(tls::client_config(&self.how.trust(), &dialer.verdict)?);
        dialer.tickets = Arc::new(MemoryTickets::new());
        Ok(dialer)
    }

    /// One that opens connections to a proxy, otherwise as this one does. Such a proxy is trusted as
    /// `trust` says, or as this one's servers are.
    ///
    /// # Errors
    /// As [`Dialer::new`].
    pub fn to_proxy(&self, trust: Option<&Trust>) -> Result<Self, Failure> {
        let mut dialer = self.clone();
        dialer.verdict = Verdict::default();
        let trust = trust.cloned().unwrap_or_else(|| self.how.trust());
        dialer.tls = Arc::new(tls::client_config(&trust, &dialer.verdict)?);
        dialer.tickets = Arc::new(MemoryTickets::new());
        dialer.opened = Endpoints::default();
        dialer.whose = "the proxy ";
        dialer.carriers = true;
        // It carries packets, and none of WebTransport's.
        dialer.http.webtransport.dialects = Dialects::NONE;
        dialer.http.field_lines = false;
        Ok(dialer)
    }

    /// Goes through a proxy from now on: that resolves names, and packets to another address are
    /// what it is asked for.
    #[must_use]
    pub fn via(mut self, proxy: Proxy) -> Self {
        self.via = Some(Arc::new(proxy));
        self
    }

    /// What was objected to in a server's certificate.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Closes every connection that is left, also one that is about to be made.
    pub async fn leave(&self) {
        let endpoints = self.opened.take();
        for endpoint in &endpoints {
            endpoint.close(self.farewell, "");
        }
        let all = async {
            for endpoint in &endpoints {
                endpoint.wait_idle().await;
            }
        };
        // Nothing depends on what the servers make of the last packets.
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
        if let Some(proxy) = &self.via {
            Box::pin(proxy.leave()).await;
        }
    }

    /// Has connections behave so in HTTP/3.
    #[must_use]
    pub fn http(mut self, config: Config) -> Self {
        self.http = config;
        self
    }

    /// Sends requests as early data (0-RTT) where [`Dialer::dial_again`] has a ticket for that.
    #[must_use]
    pub fn early_data(mut self, send: bool) -> Self {
        self.early = send;
        self
    }

    /// Connects to the host of `target`: to the first of its addresses that answers.
    pub async fn dial(&self, target: &Target) -> Result<Client, Failure> {
        self.dial_again(target, None).await
    }

    /// The same, to where it was before if that still is one of its addresses. With early data and a
    /// ticket that allows it, a connection to there comes back at once, its handshake under way: see
    /// [`Client::connected`].
    pub async fn dial_again(
        &self,
        target: &Target,
        before: Option<SocketAddr>,
    ) -> Result<Client, Failure> {
        if let Some(proxy) = &self.via {
            // The proxy has a dialer of its own, which goes through nothing.
            return Box::pin(self.dial_through(proxy, target)).await;
        }
        let limit = self.how.connect_timeout;
        let late = |what: &str| self.late(target, what);
        // What was said of another server.
        self.verdict.set(None);
        let begun = tokio::time::Instant::now();
        let mut addresses = match self.how.address_of(target) {
            Some(address) => vec![address],
            None => tokio::time::timeout(limit, resolve(target))
                .await
                .map_err(|_| late("its name was not resolved"))??,
        };
        let lookup = begun.elapsed();
        let left = limit.saturating_sub(lookup);
        // What is sent ahead goes to where it was meant for: a ticket says nothing of an address
        // that has never answered.
        let known = addresses.iter().position(|one| Some(*one) == before);
        if let Some(at) = known {
            addresses.swap(0, at);
        }
        let tried = Endpoints::default();
        let race = race::race(addresses, |address| {
            let mut dialer = self.clone();
            dialer.early &= known.is_some() && Some(address) == before;
            dialer.attempt(address, target.clone(), tried.clone())
        });
        let won = tokio::time::timeout(left, race).await.map_err(|_| {
            // What stands in the way on this side is not the server's silence.
            match tried.fault() {
                Some(fault) => late(&unsent(&fault)),
                None => late(SILENT),
            }
        })?;
        won.map(|client| Client { lookup, ..client })
    }

    /// What is being done, in words.
    fn connecting(&self, target: &Target, address: SocketAddr) -> String {
        let whose = self.whose;
        match place(target) {
            place if place == address.to_string() => format!("cannot connect to {whose}{place}"),
            place => format!("cannot connect to {whose}{place} at {address}"),
        }
    }

    /// There is no connection in time.
    fn late(&self, target: &Target, what: &str) -> Failure {
        let limit = crate::units::duration(self.how.connect_timeout);
        let (whose, place) = (self.whose, place(target));
        let what = format!("cannot connect to {whose}{place}: {what} within {limit}");
        Failure::new(Exit::Failure, what).or(Again::Safe)
    }

    async fn attempt(
        self,
        address: SocketAddr,
        target: Target,
        tried: Endpoints,
    ) -> Result<Client, Failure> {
        let doing = || self.connecting(&target, address);
        tracing::info!(%address, name = target.host(), "connecting");
        let endpoint = self.endpoint(address)?;
        tried.add(&endpoint);
        let connected = self.connect(&endpoint, address, &target, doing).await?;
        connected.map_err(|reason| self.unconnected(doing(), &endpoint, &reason))
    }

    /// Connects from an endpoint, or tells why there is no connection.
    ///
    /// # Errors
    /// When nothing could be sent.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        address: SocketAddr,
        target: &Target,
        doing: impl Fn() -> String,
    ) -> Result<Result<Client, CloseReason>, Failure> {
        let begun = tokio::time::Instant::now();
        let to = aqueduct_tokio::protocol::endpoint::Target::new(
            address,
            target.host(),
            self.tls.clone(),
        );
        let to = to.http(self.http.clone()).tickets(self.tickets.clone());
        let to = to.early_data(self.early);
        let connected = if self.carriers {
            let connecting = endpoint.connect_carrier(to).doing(doing)?;
            self.opened.hold(endpoint);
            connecting.await
        } else {
            let connecting = endpoint.connect_with(to).doing(doing)?;
            self.opened.hold(endpoint);
            let early = connecting.early();
            match early.may_send_early() {
                true => Ok(early),
                false => connecting.established().await,
            }
        };
        let connection = match connected {
            Ok(connection) => connection,
            Err(reason) => return Ok(Err(reason)),
        };
        let handshake = begun.elapsed();
        if connection.early_data().is_some() {
            tracing::info!(%address, ?handshake, "connected");
        } else {
            tracing::info!(%address, "sending ahead of the handshake");
        }
        Ok(Ok(Client {
            endpoint: endpoint.clone(),
            connection,
            address,
            lookup: Duration::ZERO,
            handshake,
        }))
    }

    /// Why there is no connection. What stands in the way on this side is not the server's silence.
    fn unconnected(&self, doing: String, endpoint: &Endpoint, reason: &CloseReason) -> Failure {
        match reason {
            CloseReason::Transport(TransportFailure::Error { .. }) => {
                match self.verdict.objection() {
                    Some(objection) => reasons::untrusted(doing, &objection),
                    None => closed(doing, reason),
                }
            }
            CloseReason::Transport(TransportFailure::TimedOut) => {
                let why = fault_of(endpoint).map(|fault| unsent(&fault));
                let why = why.as_deref().unwrap_or(SILENT);
                Failure::new(Exit::Failure, format!("{doing}: {why}"))
            }
            _ => closed(doing, reason),
        }
    }

    /// An endpoint on a socket of the address's own family, which works on hosts that have but one.
    fn endpoint(&self, address: SocketAddr) -> Result<Endpoint, Failure> {
        let any = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let doing = || "cannot open a UDP socket".to_owned();
        let socket = std::net::UdpSocket::bind(any).doing(doing)?;
        let config = self
            .observed()
            .transport(self.transport.clone())
            .doing(doing)?;
        Endpoint::with_socket(config, socket).doing(doing)
    }

    /// A configuration whose endpoints are recorded and traced where that is asked for.
    fn observed(&self) -> EndpointConfig {
        let config = EndpointConfig::client();
        #[cfg(feature = "qlog")]
        let config = self.traces.of(config);
        self.recording.of(config)
    }
}

/// Endpoints, to ask or to close them later.
#[derive(Clone, Debug, Default)]
struct Endpoints(Arc<Mutex<Vec<Endpoint>>>);

impl Endpoints {
    fn add(&self, endpoint: &Endpoint) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(endpoint.clone());
    }

    /// Adds one that has a connection, and lets go of those that have none any more: each
    /// has a socket.
    fn hold(&self, endpoint: &Endpoint) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.open_connections() > 0);
        all.push(endpoint.clone());
    }

    fn take(&self) -> Vec<Endpoint> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the system said of the first datagram to a server that it did not send.
    fn fault(&self) -> Option<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().find_map(fault_of)
    }
}

fn fault_of(endpoint: &Endpoint) -> Option<String> {
    let fault = endpoint.socket_fault()?;
    fault.remote.map(|_| fault.error.to_string())
}

fn unsent(fault: &str) -> String {
    format!("the system does not send to it ({fault}), so no answer")
}

/// A connection, and the endpoint that carries it.
#[derive(Debug)]
pub struct Client {
    endpoint: Endpoint,
    connection: Connection,
    address: SocketAddr,
    lookup: Duration,
    handshake: Duration,
}

impl Client {
    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Where the server is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How long it took to find its address; nothing when that was told.
    pub fn lookup(&self) -> Duration {
        self.lookup
    }

    /// From the first packet to the end of the handshake, unless that was not waited for.
    pub fn handshake(&self) -> Duration {
        self.handshake
    }

    /// Waits for the end of a handshake that is under way.
    pub fn connected(&self, dialer: &Dialer, target: &Target) -> Connected {
        Connected {
            dialer: dialer.clone(),
            endpoint: self.endpoint.clone(),
            connection: self.connection.clone(),
            address: self.address,
            target: target.clone(),
        }
    }

    /// Waits a moment for a session ticket, which may come behind an answer.
    pub async fn ticket(&self) {
        // A server need not give any.
        let _ = tokio::time::timeout(TICKET, self.connection.ticket()).await;
    }

    /// Whether nothing new can be begun here: the connection has ended or is winding down.
    pub async fn is_going_away(&self) -> bool {
        let told = tokio::time::timeout(Duration::ZERO, self.connection.draining()).await;
        self.connection.close_reason().is_some() || told.is_ok()
    }

    /// Ends the connection in good order: what was sent is delivered, within a second.
    pub async fn close(self) {
        self.connection.drain(GOODBYE);
        self.connection.closed().await;
        drop(self.connection);
        // Nothing depends on what the server makes of the last packet.
        let _ = tokio::time::timeout(LAST_WORDS, self.endpoint.wait_idle()).await;
    }
}

fn place(target: &Target) -> String {
    match target.host() {
        host if host.contains(':') => format!("[{host}]:{}", target.port()),
        host => format!("{host}:{}", target.port()),
    }
}

/// The addresses of a host; at least one.
async fn resolve(target: &Target) -> Result<Vec<SocketAddr>, Failure> {
    let doing = || format!("cannot find the host `{}`", target.host());
    let found: Vec<_> = tokio::net::lookup_host((&*target.resolvable(), target.port()))
        .await
        .doing(doing)?
        .collect();
    if found.is_empty() {
        return Err(Failure::new(
            Exit::Failure,
            format!("{}: it has no address", doing()),
        ));
    }
    tracing::debug!(host = target.host(), addresses = ?found, "resolved");
    Ok(found)
}
