//! Connections through a proxy: QUIC in QUIC, by CONNECT-UDP (RFC 9298).
//!
//! A connection to the proxy is one of the pool's, to an origin that no request has, and a
//! tunnel is a request on it: so they are counted, queued, wound down and given up as all
//! others are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use aqueduct_core::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_core::error::Class;
use aqueduct_core::masque::{Dialect, OpenTunnel, Target as Place, Template, TunnelKind};
use aqueduct_core::pool::{ConnId, DialFailure, Origin};
use aqueduct_core::uri::{HttpsUri, UriError};
use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::dial::Dialed;
use super::hub::{Hub, Pooled};
use crate::endpoint::Endpoint;
use crate::tunnel::{OpenTunnelError, UdpTunnel};

/// Tells the proxy's connections from those of requests to it.
const PARTITION: &[u8] = b"carries the others";

/// An address for packets whose way the tunnel knows (RFC 5737).
const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// An HTTP/3 proxy through which a client connects to its origins
/// ([`ClientBuilder::proxy`](super::ClientBuilder::proxy)).
#[derive(Clone)]
pub struct ClientProxy {
    template: Template,
    origin: Origin,
    authorization: Option<HeaderValue>,
    tls: Option<Arc<rustls::ClientConfig>>,
}

impl ClientProxy {
    /// A proxy of which no more is known than where it is, `https://proxy.example:4433`.
    ///
    /// # Errors
    /// [`UriError`] for what is no https URI.
    pub fn new(uri: &str) -> Result<Self, UriError> {
        let uri: HttpsUri = uri.parse()?;
        Ok(Self::at(Template::default_for(TunnelKind::Udp, &uri)))
    }

    /// A proxy whose template for UDP is known.
    #[must_use]
    pub fn at(template: Template) -> Self {
        Self {
            origin: Origin::from(template.origin()).partitioned(PARTITION),
            template,
            authorization: None,
            tls: None,
        }
    }

    /// What it is shown with each tunnel that is asked for, in `authorization`: it is kept
    /// out of logs.
    #[must_use]
    pub fn authorization(mut self, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.authorization = Some(value);
        self
    }

    /// Whom to take for the proxy, and the certificate that it is shown. Default as for
    /// origins.
    #[must_use]
    pub fn tls(mut self, tls: impl Into<Arc<rustls::ClientConfig>>) -> Self {
        self.tls = Some(tls.into());
        self
    }

    /// Whether connections to this origin are those to the proxy.
    pub(super) fn is(&self, origin: &Origin) -> bool {
        self.origin == *origin
    }

    pub(super) fn own_tls(&self) -> Option<&Arc<rustls::ClientConfig>> {
        self.tls.as_ref()
    }
}

impl fmt::Debug for ClientProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientProxy")
            .field("template", &format_args!("{}", self.template))
            .finish_non_exhaustive()
    }
}

/// A connection to an origin, through the proxy.
pub(super) async fn dial(
    hub: &Arc<Hub>,
    id: ConnId,
    origin: &Origin,
    proxy: &ClientProxy,
) -> Result<Dialed, DialFailure> {
    let settings = &hub.settings;
    let words = |error: &dyn fmt::Display| error.to_string().into();
    let to = Place::from_variables(origin.host(), &origin.port().to_string());
    let to = to.map_err(|error| DialFailure::NotBegun(words(&error)))?;
    let carrier = hub.place(&proxy.origin).await;
    let (mut slot, carrier) = carrier.map_err(|error| refused(&error, error.class()))?;
    let tunnel = open(proxy, &carrier, &to).await?;
    slot.opened(tunnel.id());
    slot.tell();
    drop(carrier);
    let transport = settings.transport.clone();
    let transport = transport.unwrap_or_else(TransportSettings::client);
    let through = Endpoint::through(tunnel, EndpointConfig::client(), transport);
    let through = through.await;
    let (endpoint, driving) = through.map_err(|error| refused(&error, Class::Transient))?;
    hub.runtime.spawn(Box::pin(async move {
        driving.await;
        // The tunnel was a request.
        drop(slot);
    }));
    let address = match to.host.ip() {
        Some(ip) => SocketAddr::new(ip, origin.port()),
        None => ANYWHERE,
    };
    tracing::trace!(%origin, "connects through the proxy");
    let connecting = endpoint.connect_with(settings.target(address, origin));
    let connecting = connecting.map_err(|error| DialFailure::NotBegun(words(&error)))?;
    hub.offer(id, origin, &connecting, None);
    let connection = connecting.established().await?;
    Ok(Dialed {
        connection,
        used: None,
    })
}

async fn open(proxy: &ClientProxy, carrier: &Pooled, to: &Place) -> Result<UdpTunnel, DialFailure> {
    let mut ask = OpenTunnel::new(Dialect::Udp, to.clone(), proxy.template.clone());
    if let Some(value) = &proxy.authorization {
        ask = ask.header(AUTHORIZATION, value.clone());
    }
    let opened = carrier.connection.open_tunnel(&ask).await;
    let tunnel = opened.map_err(|error| refused(&error, class(&error)))?;
    tunnel
        .into_udp()
        .ok_or_else(|| refused(&"the tunnel is for something else", Class::Unrecoverable))
}

fn refused(why: &dyn fmt::Display, class: Class) -> DialFailure {
    let why = why.to_string().into();
    DialFailure::Proxy { why, class }
}

/// Who would have to change for the tunnel to be opened.
fn class(error: &OpenTunnelError) -> Class {
    match error {
        OpenTunnelError::Request(error) if error.is_retryable() => Class::Transient,
        OpenTunnelError::NoAnswer(error) if error.is_retryable() => Class::Transient,
        OpenTunnelError::Refused(head) if head.status.is_client_error() => Class::Invalid,
        OpenTunnelError::Refused(head) if head.status.is_server_error() => Class::Transient,
        _ => Class::Unrecoverable,
    }
}
