//! A proxy, for tunnels through it and for connections in these.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use aqueduct_tokio::proxy::{self, Dialect, Host, OpenTunnel, TunnelKind, UdpTunnel};
use aqueduct_tokio::{Connection, Endpoint};
use http::HeaderValue;
use http::header::{AUTHORIZATION, PROXY_AUTHORIZATION};
use tokio::sync::Mutex;

use super::{Client, Dialer, place, tunnel_failed};
use crate::args::{ProxyUrl, Target, Via};
use crate::exit::{Context as _, Exit, Failure};
use crate::secrets::{self, Source};

/// The port of nothing (RFC 863 has given it up), where an address is asked for that does not
/// matter.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

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
        let dialer = dialer.to_proxy(options.trust().as_ref())?;
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
        let to = match self.how.connect_to {
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
            let tunnel = proxy.udp(&carrier, &to).await?;
            let config = self.observed();
            let endpoint = Endpoint::through_with(tunnel, config, self.transport.clone());
            let endpoint = endpoint.await.doing(doing)?;
            let address = match to.host.ip() {
                Some(ip) => SocketAddr::new(ip, to.port.get()),
                None => NOWHERE,
            };
            tracing::info!(target = %to, proxy = %proxy.url, "connecting through a tunnel");
            self.connect(endpoint, address, target, doing).await
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
}
