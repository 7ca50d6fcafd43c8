//! A proxy for UDP and TCP (MASQUE), and the client's end of such tunnels.
//!
//! ```no_run
//! use aqueduct_tokio::proxy::{GateConfig, Proxy, Served};
//! use aqueduct_tokio::{Endpoint, Incoming};
//!
//! # async fn run(endpoint: Endpoint) -> Result<(), Box<dyn std::error::Error>> {
//! let proxy = Proxy::new(GateConfig::default());
//! while let Some(connecting) = endpoint.accept().await {
//!     let proxy = proxy.clone();
//!     tokio::spawn(async move {
//!         while let Some((request, stream)) = connecting.accept_request().await {
//!             let proxy = proxy.clone();
//!             tokio::spawn(async move {
//!                 if let Served::Other(request) = proxy.serve(request, stream).await {
//!                     let (_request, stream) = *request; // the application's own
//!                     stream.reject();
//!                 }
//!             });
//!         }
//!     });
//! }
//! # Ok(())
//! # }
//! ```

mod carrier;
mod connect;
mod tcp;
mod through;
mod udp;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Request;
use tokio::time::timeout;

use aqueduct_handles::ServerRequest;
use aqueduct_handles::protocol::endpoint::{AddressBlock, NetworkOrigin};
use aqueduct_handles::protocol::time::after;
use aqueduct_handles::tunnel::{Asked, Gate, Offer, is_this_host};

pub use aqueduct_handles::tunnel::{
    Credentials, Denied, Dialect, GateConfig, GateStats, Host, OpenTunnel, OpenTunnelError,
    PathTemplate, Refusal, Rule, SpecialRange, Target, TargetPolicy, TcpReceiver, TcpSender,
    TcpTunnel, Template, Tunnel, TunnelError, TunnelKind, UdpTunnel, refusal_in_words,
};

pub use carrier::carrier_settings;
pub use tcp::relay_tcp;

/// The addresses that a name stands for.
pub type Resolved = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name.
pub type Resolver = Arc<dyn Fn(&str) -> Resolved + Send + Sync>;

/// How a proxy reaches targets, and for how long.
#[derive(Clone)]
#[non_exhaustive]
pub struct ProxyOptions {
    /// Finds the addresses of names. Default the system's.
    pub resolver: Option<Resolver>,
    /// How long a tunnel may take to start, all in all. Default 30 s.
    pub start_timeout: Duration,
    /// How long the name of a target may take. Default 10 s.
    pub resolve_timeout: Duration,
    /// How long the connection to a target may take, all its addresses together.
    /// Default 10 s.
    pub connect_timeout: Duration,
    /// After how long without anything a tunnel ends; RFC 9298 wants two minutes at
    /// least for UDP. Default 5 min.
    pub idle_timeout: Duration,
    /// The same once one direction of TCP has ended. Default 30 s.
    pub half_closed_timeout: Duration,
    /// Tunnels of one client address, or of one /64 of IPv6, at once. Default no limit but
    /// the gate's.
    pub max_per_client: usize,
    /// Goes on with a tunnel for UDP when its target is not listening, which RFC 9298
    /// section 3.1 ends. Default no.
    pub keep_unreachable: bool,
}

impl fmt::Debug for ProxyOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyOptions")
            .field("start_timeout", &self.start_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .field("max_per_client", &self.max_per_client)
            .finish_non_exhaustive()
    }
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            resolver: None,
            start_timeout: Duration::from_secs(30),
            resolve_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(300),
            half_closed_timeout: Duration::from_secs(30),
            max_per_client: usize::MAX,
            keep_unreachable: false,
        }
    }
}

/// A proxy: a gate, and what reaches the targets behind it. Clones are the same proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    gate: Gate,
    options: Arc<ProxyOptions>,
    clients: Clients,
}

/// Tunnels of each client.
type Clients = Arc<Mutex<BTreeMap<AddressBlock, usize>>>;

/// What became of a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Served {
    /// It was for no tunnel: the request again.
    Other(Box<(Request<()>, ServerRequest)>),
    /// It got no tunnel, and has been answered.
    Refused {
        /// To where; `None` when that was not asked for properly.
        target: Option<Target>,
        /// Why.
        refusal: Refusal,
    },
    /// It had a tunnel, which is over.
    Tunnel(Box<Report>),
    /// The client gave it up before it was answered.
    GivenUp(Target),
}

/// A tunnel that has begun.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Opened {
    /// In which words it was asked for.
    pub dialect: Dialect,
    /// To where it was asked for.
    pub target: Target,
    /// To where it leads.
    pub to: SocketAddr,
}

/// A tunnel that is over.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// In which words it was asked for.
    pub dialect: Dialect,
    /// To where it was asked for.
    pub target: Target,
    /// To where it led.
    pub to: SocketAddr,
    /// How long it was open.
    pub lasted: Duration,
    /// What went through it.
    pub traffic: Traffic,
    /// How it ended.
    pub end: End,
}

/// What went through a tunnel.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes to the target.
    pub bytes_out: u64,
    /// Bytes from the target.
    pub bytes_in: u64,
    /// UDP payloads to the target.
    pub packets_out: u64,
    /// UDP payloads from the target.
    pub packets_in: u64,
    /// UDP payloads that did not fit, either way.
    pub too_large: u64,
    /// UDP payloads that the system did not take.
    pub not_sent: u64,
}

/// How a tunnel ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum End {
    /// In order: of UDP by the client, of TCP in both directions.
    #[error("ended")]
    Finished,
    /// By the client, or for what it did, or with its connection.
    #[error("{0}")]
    Client(TunnelError),
    /// By the target, or the system on the way there; for [`relay_tcp`] by its connection.
    #[error("target: {0}")]
    Target(io::ErrorKind),
    /// Nothing went through it.
    #[error("idle")]
    Idle,
}

impl Proxy {
    /// A proxy with the default options.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        Self::with_options(config, ProxyOptions::default())
    }

    /// A proxy.
    #[must_use]
    pub fn with_options(config: GateConfig, options: ProxyOptions) -> Self {
        Self {
            gate: Gate::new(config),
            options: Arc::new(options),
            clients: Arc::default(),
        }
    }

    /// Who is let in, and how many are.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Serves a request that is for a tunnel until that is over; gives back any other at
    /// once. Dropping the future ends the tunnel. To be run in a task of its own: tunnels
    /// wait for names and targets.
    pub async fn serve(&self, request: Request<()>, stream: ServerRequest) -> Served {
        self.serve_with(request, stream, |_| {}).await
    }

    /// As [`serve`](Self::serve), and tells when the tunnel has begun.
    pub async fn serve_with(
        &self,
        request: Request<()>,
        stream: ServerRequest,
        opened: impl FnOnce(&Opened) + Send,
    ) -> Served {
        let offer = match self.gate.ask(request, stream) {
            Asked::Tunnel(offer) => offer,
            Asked::Refused(refusal) => {
                return Served::Refused {
                    target: None,
                    refusal,
                };
            }
            Asked::Other(request) => return Served::Other(request),
        };
        let target = offer.target().clone();
        let refused = |offer: Box<Offer>, refusal: Refusal| {
            let target = Some(offer.target().clone());
            offer.refuse(&refusal);
            Served::Refused { target, refusal }
        };
        let client = offer.connection().and_then(|c| c.remote_address());
        let Some(_seat) = self.seat(client.map(|address| address.ip())) else {
            return refused(offer, Refusal::TooManyTunnels);
        };
        let reached = {
            let cancelled = offer.cancelled();
            let reaching = timeout(self.options.start_timeout, self.reach(&offer));
            tokio::select! {
                reached = reaching => reached.unwrap_or(Err(Refusal::StartTimeout)),
                //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
                // Nobody waits for the target any more.
                Some(_) = cancelled => return Served::GivenUp(target),
            }
        };
        let reached = match reached {
            Ok(reached) => reached,
            Err(refusal) => return refused(offer, refusal),
        };
        let (dialect, to) = (offer.dialect(), reached.address());
        //= https://www.rfc-editor.org/rfc/rfc9209#section-2.1.2
        // Addresses of the inside are nobody's business.
        let next_hop = SpecialRange::of(to.ip()).is_none().then_some(to);
        let Ok(tunnel) = offer.accept(next_hop) else {
            return Served::GivenUp(target);
        };
        let began = Instant::now();
        let begun = Opened {
            dialect,
            target,
            to,
        };
        opened(&begun);
        let target = begun.target;
        let (traffic, end) = match (tunnel, reached) {
            (Tunnel::Udp(tunnel), Reached::Udp(socket, _)) => {
                udp::relay(&tunnel, &socket, &self.options).await
            }
            (Tunnel::Tcp(tunnel), Reached::Tcp(stream, _)) => {
                let patience = tcp::Patience {
                    idle: self.options.idle_timeout,
                    half_closed: self.options.half_closed_timeout,
                };
                tcp::relay(tunnel, stream, patience).await
            }
            // What was asked for is what was reached.
            _ => return Served::GivenUp(target),
        };
        Served::Tunnel(Box::new(Report {
            dialect,
            target,
            to,
            lasted: began.elapsed(),
            traffic,
            end,
        }))
    }

    /// Finds the target and connects to it.
    async fn reach(&self, offer: &Offer) -> Result<Reached, Refusal> {
        let options = &*self.options;
        let target = offer.target();
        let here = offer.connection().and_then(|c| c.local_ip());
        let mut addresses = match (&target.host, target.host.ip()) {
            (_, Some(ip)) => vec![ip],
            (Host::Name(name), _) => self.resolve(name).await?,
            (_, None) => return Err(Refusal::BadHost),
        };
        //= https://www.rfc-editor.org/rfc/rfc9298#section-7
        // The addresses themselves are judged, and these are then used, so that a name
        // cannot stand for another one in between.
        let mut refused = Refusal::ResolutionFailed { rcode: None };
        addresses.truncate(connect::JUDGED);
        addresses.retain(|ip| match check(offer, *ip, here) {
            Ok(()) => true,
            Err(why) => {
                refused = why;
                false
            }
        });
        if addresses.is_empty() {
            return Err(refused);
        }
        let port = target.port.get();
        let addresses = connect::in_turn(addresses).map(|ip| SocketAddr::new(ip, port));
        match offer.dialect().kind() {
            TunnelKind::Udp => connect::udp(addresses)
                .await
                .map(|(socket, to)| Reached::Udp(socket, to)),
            TunnelKind::Tcp => timeout(options.connect_timeout, connect::tcp(addresses))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .map(|(stream, to)| Reached::Tcp(stream, to)),
            // A kind of tunnels that there is no way for here.
            _ => return Err(Refusal::BadProtocol),
        }
        .map_err(|error| unreached(&error))
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, Refusal> {
        let resolving = match &self.options.resolver {
            Some(resolver) => resolver(name),
            None => connect::lookup(name.to_owned()),
        };
        match timeout(self.options.resolve_timeout, resolving).await {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(_) => Err(Refusal::ResolutionFailed { rcode: None }),
            Err(_) => Err(Refusal::ResolutionTimeout),
        }
    }

    /// One more tunnel of a client, if it may have one.
    fn seat(&self, client: Option<IpAddr>) -> Option<Seat> {
        let client = NetworkOrigin::from(client?).address;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let count = clients.entry(client).or_default();
        if *count >= self.options.max_per_client {
            return None;
        }
        *count += 1;
        Some(Seat {
            clients: Arc::clone(&self.clients),
            client,
        })
    }
}

/// Whether an address may be used: it is neither forbidden nor this host's own, by whichever of
/// these the client has reached it.
fn check(offer: &Offer, to: IpAddr, here: Option<IpAddr>) -> Result<(), Refusal> {
    let here = match is_this_host(to) {
        Ok(true) => Some(to),
        Ok(false) => here,
        Err(error) => return Err(unreached(&error)),
    };
    Ok(offer.check_address(to, here)?)
}

/// One tunnel of a client.
struct Seat {
    clients: Clients,
    client: AddressBlock,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = clients.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.client);
            }
        }
    }
}

/// A target that was reached.
enum Reached {
    Udp(udp::Socket, SocketAddr),
    Tcp(tokio::net::TcpStream, SocketAddr),
}

impl Reached {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Udp(_, to) | Self::Tcp(_, to) => *to,
        }
    }
}

/// The time `wait` after `at`; never is [`Duration::MAX`].
fn later(at: tokio::time::Instant, wait: Duration) -> tokio::time::Instant {
    after(at.into_std(), wait).into()
}

/// Errors of a host that has no descriptors left, in the process or at all, no ports, buffers
/// or memory: EMFILE, ENFILE, EAGAIN of a bind, ENOBUFS, ENOMEM.
const EXHAUSTED: &[i32] = match () {
    () if cfg!(windows) => &[10024, 10055],
    () if cfg!(target_os = "linux") => &[24, 23, 11, 105, 12],
    () => &[24, 23, 35, 55, 12],
};

/// Why a target was not reached, for the client.
fn unreached(error: &io::Error) -> Refusal {
    if error
        .raw_os_error()
        .is_some_and(|code| EXHAUSTED.contains(&code))
    {
        tracing::warn!(%error, "no socket for a tunnel");
        return Refusal::Exhausted;
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Refusal::Refused,
        io::ErrorKind::TimedOut => Refusal::ConnectTimeout,
        // Of a family that this host has no address of.
        io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable => Refusal::Unroutable,
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Refusal::Unavailable,
        _ => {
            tracing::debug!(%error, "no way to a target");
            Refusal::Internal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_system_says_of_a_target_is_told() {
        for (code, refusal) in [
            (24, Refusal::Exhausted),
            (23, Refusal::Exhausted),
            (11, Refusal::Exhausted),
            (99, Refusal::Unroutable),
            (101, Refusal::Unroutable),
            (111, Refusal::Refused),
            (110, Refusal::ConnectTimeout),
            (104, Refusal::Unavailable),
            (1, Refusal::Internal),
        ] {
            assert_eq!(
                unreached(&io::Error::from_raw_os_error(code)),
                refusal,
                "{code}"
            );
        }
    }

    /// One client is an address, or a /64 of IPv6, which it has all of.
    #[test]
    fn a_client_is_an_address_or_a_network_of_ipv6() {
        let options = ProxyOptions {
            max_per_client: 1,
            ..ProxyOptions::default()
        };
        let proxy = Proxy::with_options(GateConfig::default(), options);
        let seat = |text: &str| proxy.seat(Some(text.parse().expect("an address")));
        let seats = [
            "192.0.2.7",
            "192.0.2.8",
            "2001:db8:1:2:3:4:5:6",
            "2001:db8:1:3::",
        ];
        let seats = seats.map(|client| seat(client).expect(client));
        for client in ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8:1:2::"] {
            assert!(seat(client).is_none(), "{client}");
        }
        drop(seats);
        assert!(seat("::ffff:192.0.2.7").is_some());
        assert!(proxy.seat(None).is_none());
    }
}
