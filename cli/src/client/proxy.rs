//! A proxy, for tunnels through it and for connections in these.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::protocol::error::{CloseReason, TransportFailure};
use aqueduct_tokio::protocol::head::ResponseHead;
use aqueduct_tokio::protocol::masque::proxy_error;
use aqueduct_tokio::proxy::{
    self, Dialect, Host, OpenTunnel, OpenTunnelError, TunnelKind, UdpTunnel,
};
use aqueduct_tokio::{Connection, Endpoint};
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, StatusCode};
use tokio::sync::Mutex;

use super::{Client, Dialer, closed, place, tunnel_failed};
use crate::args::{ProxyUrl, Target, Via};
use crate::exit::{Context as _, Exit, Failure};
use crate::secrets::{self, Source};

/// The port of nothing (RFC 863 has given it up), where an address is asked for that does not
/// matter.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// When a tunnel that its proxy has ended is asked for again. Some end one for a packet that is larger
/// than they have found to pass, which a moment later would pass.
const AGAIN: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];

/// How long the answer to whether there would be a tunnel is waited for.
const CHECK: Duration = Duration::from_secs(5);

/// The code with which connections end whose endpoint has lost its tunnel: INTERNAL_ERROR (RFC 9000
/// section 20.1), on this side.
const ENDED: u64 = 0x1;

/// A proxy: where it is, where it is asked for tunnels, and what it is shown.
#[derive(Debug)]
pub struct Proxy {
    url: ProxyUrl,
    /// What a template is for.
    kind: TunnelKind,
    authorization: Option<HeaderValue>,
    dialer: Dialer,
    /// The connection to it, once there is one.
    open: Mutex<Option<Client>>,
}

impl Proxy {
    /// One to which `dialer` connects. A template is for tunnels of this kind.
    pub fn new(
        url: ProxyUrl,
        kind: TunnelKind,
        authorization: Option<HeaderValue>,
        dialer: Dialer,
    ) -> Self {
        Self {
            url,
            kind,
            authorization,
            dialer,
            open: Mutex::default(),
        }
    }

    /// The one that the command line names for connections of `dialer`, if it names one.
    ///
    /// # Errors
    /// As [`Dialer::new`]; secrets that cannot be used.
    pub fn of(options: &Via, dialer: &Dialer) -> Result<Option<Self>, Failure> {
        let Some(url) = &options.proxy else {
            return Ok(None);
        };
        let authorization = authorization(
            ("--proxy-bearer-file", options.proxy_bearer_file.as_deref()),
            ("--proxy-basic-file", options.proxy_basic_file.as_deref()),
        )?;
        let mut dialer = dialer.to_proxy(options.trust().as_ref())?;
        // That is where the proxy sends packets, and not where it is.
        dialer.how.connect_to = None;
        dialer.how.resolve.clear();
        Ok(Some(Self::new(
            url.clone(),
            TunnelKind::Udp,
            authorization,
            dialer,
        )))
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// When there is none.
    pub async fn dial(&self) -> Result<Client, Failure> {
        self.dialer.dial(&self.url.origin()).await
    }

    /// Closes all connections to it.
    pub async fn leave(&self) {
        self.dialer.leave().await;
    }

    /// What asks it for a tunnel.
    pub fn ask(&self, dialect: Dialect, target: &proxy::Target) -> OpenTunnel {
        let template = self.url.template(dialect.kind(), self.kind);
        let open = OpenTunnel::new(dialect, target.clone(), template);
        match &self.authorization {
            None => open,
            //= https://www.rfc-editor.org/rfc/rfc9110#section-11.7.2
            // What CONNECT asks is a proxy; a path is asked for where it is.
            Some(value) if dialect == Dialect::Classic => open
                .header(PROXY_AUTHORIZATION, value.clone())
                .header(AUTHORIZATION, value.clone()),
            Some(value) => open.header(AUTHORIZATION, value.clone()),
        }
    }

    /// Asks on a connection whether it would open a tunnel for TCP, to there or to anywhere, without
    /// having it open one.
    ///
    /// # Errors
    /// When it says that it would not, or the connection ends. A proxy that does not answer the
    /// question may well open tunnels.
    pub async fn check(
        &self,
        connection: &Connection,
        target: Option<&proxy::Target>,
    ) -> Result<(), Failure> {
        let doing = || match target {
            Some(target) => format!("no tunnel to {target}"),
            None => format!("no tunnels through {}", self.url),
        };
        let nowhere = || proxy::Target::new(Host::from(NOWHERE.ip()), NonZeroU16::MIN);
        let ask = self.ask(Dialect::Tcp12, &target.cloned().unwrap_or_else(nowhere));
        let mut head = ask.head().doing(doing)?;
        (head.method, head.protocol) = (Method::OPTIONS, None);
        let asked = async {
            let mut request = connection.request_empty(head.into_http()).await.ok()?;
            request.recv_response().await.ok()
        };
        let answer = tokio::time::timeout(CHECK, asked).await.ok().flatten();
        if let Some(reason) = connection.close_reason() {
            return Err(closed(doing(), &reason));
        }
        match answer.map(ResponseHead::from_http) {
            Some(answer) if forbids(&answer, target.is_some()) => {
                let refused = OpenTunnelError::Refused(Box::new(answer));
                Err(tunnel_failed(doing(), refused))
            }
            _ => Ok(()),
        }
    }

    /// The connection to it: the one there is, unless that takes no more requests.
    async fn connection(&self) -> Result<Connection, Failure> {
        let mut open = self.open.lock().await;
        if let Some(client) = &*open
            && !client.is_going_away().await
        {
            return Ok(client.connection().clone());
        }
        // Tunnels keep an old connection until they end.
        let client = self.dial().await?;
        let connection = client.connection().clone();
        *open = Some(client);
        Ok(connection)
    }

    async fn udp(
        &self,
        connection: &Connection,
        target: &proxy::Target,
    ) -> Result<UdpTunnel, Failure> {
        let doing = || format!("cannot reach {target} through {}", self.url);
        let opened = connection
            .open_tunnel(&self.ask(Dialect::Udp, target))
            .await;
        let tunnel = opened.map_err(|error| tunnel_failed(doing(), error))?;
        let tunnel = tunnel.into_udp();
        tunnel.ok_or_else(|| Failure::new(Exit::Failure, doing()))
    }
}

/// Whether an answer to OPTIONS means that CONNECT would be refused as well, to a target that was
/// named or whatever the target.
fn forbids(answer: &ResponseHead, named: bool) -> bool {
    match (answer.status, proxy_error(&answer.headers).as_deref()) {
        (StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED, _) => true,
        (_, Some("http_request_denied" | "proxy_internal_response")) => true,
        (_, Some("destination_ip_prohibited")) => named,
        _ => false,
    }
}

/// A tunnel was there, and is no more.
fn ended(doing: &str) -> Failure {
    let why = "the proxy has ended the tunnel (is an HTTP/3 server listening on this UDP port?)";
    Failure::new(Exit::Failure, format!("{doing}: {why}"))
}

/// What a proxy is shown: from a file that one of two options names, or from the environment.
///
/// # Errors
/// Those of [`secrets::shown`].
pub fn authorization(
    (bearer, bearer_file): (&'static str, Option<&Path>),
    (basic, basic_file): (&'static str, Option<&Path>),
) -> Result<Option<HeaderValue>, Failure> {
    let bearer = Source {
        option: bearer,
        file: bearer_file,
        variable: "AQUEDUCT_PROXY_BEARER",
    };
    let basic = Source {
        option: basic,
        file: basic_file,
        variable: "AQUEDUCT_PROXY_BASIC",
    };
    secrets::shown(bearer, basic)
}

impl Dialer {
    /// Connects to the host of `target` through a tunnel: to where the proxy finds it.
    pub(super) async fn dial_through(
        &self,
        proxy: &Arc<Proxy>,
        target: &Target,
    ) -> Result<Client, Failure> {
        let doing = || {
            let there = place(target);
            format!("cannot connect to {there} through {}", proxy.url)
        };
        let to = match self.how.address_of(target) {
            Some(address) => address.to_string().parse(),
            None => Host::parse(target.host()).and_then(|host| {
                proxy::Target::from_variables(&host.to_string(), &target.port().to_string())
            }),
        };
        let to: proxy::Target = to.doing(doing)?;
        self.verdict.set(None);
        // It has a limit of its own.
        let carrier = proxy.connection().await?;
        let connected = async {
            let mut pauses = AGAIN.into_iter();
            loop {
                let tunnel = proxy.udp(&carrier, &to).await?;
                let ended = match self.attempt_through(tunnel, &to, target, doing).await? {
                    Ok(client) => return Ok(client),
                    Err(failure) => failure,
                };
                let Some(pause) = pauses.next() else {
                    return Err(ended);
                };
                tracing::debug!(failure = %ended, "trying another tunnel");
                tokio::time::sleep(pause).await;
            }
        };
        let limit = self.how.connect_timeout;
        let connected = tokio::time::timeout(limit, connected).await;
        connected.unwrap_or_else(|_| {
            let limit = crate::units::duration(limit);
            let what = format!(
                "{}: no answer within {limit} (is an HTTP/3 server listening on this UDP port?)",
                doing()
            );
            Err(Failure::new(Exit::Failure, what))
        })
    }

    /// Connects in a tunnel. What another tunnel may bring is told apart.
    async fn attempt_through(
        &self,
        tunnel: UdpTunnel,
        to: &proxy::Target,
        target: &Target,
        doing: impl Fn() -> String + Copy,
    ) -> Result<Result<Client, Failure>, Failure> {
        let config = self.observed();
        let endpoint = Endpoint::through_with(tunnel, config, self.transport.clone());
        let endpoint = match endpoint.await {
            // It has ended before anything was sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                return Ok(Err(ended(&doing())));
            }
            endpoint => endpoint.doing(doing)?,
        };
        let address = match to.host.ip() {
            Some(ip) => SocketAddr::new(ip, to.port.get()),
            None => NOWHERE,
        };
        tracing::info!(target = %to, "connecting through a tunnel");
        let connected = self.connect(&endpoint, address, target, doing).await?;
        match connected {
            Ok(client) => Ok(Ok(client)),
            Err(CloseReason::Transport(TransportFailure::Error { code, .. })) if code == ENDED => {
                Ok(Err(ended(&doing())))
            }
            Err(reason) => Err(self.unconnected(doing(), &endpoint, &reason)),
        }
    }
}
