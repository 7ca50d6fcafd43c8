//! Where a client connects to, and how.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use quinn_proto::TokenStore;

use super::error::ConfigError;
use super::protocol::{Offer, Protocol, Raw};
use super::settings::TransportSettings;
use super::sparing::Sparing;
use super::tls;
use crate::config::Config;
use crate::quic;

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
    /// offered. Whether early data (0-RTT) is sent does not depend on it.
    pub tls: Arc<rustls::ClientConfig>,
    /// How HTTP/3 behaves on the connection. Default [`Config::client`].
    pub http: Arc<Config>,
    /// What is spoken instead of HTTP/3; see [`Self::quic`].
    pub(super) quic: Option<Raw>,
    /// How the connection uses QUIC, when not as the endpoint's other connections.
    pub transport: Option<TransportSettings>,
    /// Where session tickets are kept, when not where `tls` says.
    pub tickets: Option<Arc<dyn tls::TicketStore>>,
    /// Requests may be sent before the handshake is complete.
    pub early_data: bool,
}

impl Target {
    /// A connection with defaults.
    #[must_use]
    pub fn new(addr: SocketAddr, server_name: &str, tls: Arc<rustls::ClientConfig>) -> Self {
        let http = Arc::new(Config::client());
        Self {
            addr,
            server_name: server_name.into(),
            tls,
            http,
            quic: None,
            transport: None,
            tickets: None,
            early_data: false,
        }
    }

    /// How HTTP/3 behaves on the connection.
    #[must_use]
    pub fn http(mut self, config: Config) -> Self {
        self.http = Arc::new(config);
        self
    }

    /// Speaks raw QUIC instead of HTTP/3, by one of these names (ALPN), the first the
    /// server has, whatever `tls` names.
    ///
    /// # Errors
    /// [`ConfigError::Alpn`].
    pub fn quic<N: Into<Vec<u8>>>(
        mut self,
        names: impl IntoIterator<Item = N>,
        config: quic::Config,
    ) -> Result<Self, ConfigError> {
        self.quic = Some(Raw::new(names, config)?);
        Ok(self)
    }

    /// What is spoken.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self.quic {
            Some(_) => Protocol::Quic,
            None => Protocol::Http3,
        }
    }

    /// What is offered to the server.
    pub(super) fn offer(&self) -> Offer {
        match &self.quic {
            Some(raw) => Offer::quic(raw.clone()),
            None => Offer::http(Arc::clone(&self.http)),
        }
    }

    /// How the connection uses QUIC, when not as the endpoint's other connections.
    #[must_use]
    pub fn transport(mut self, settings: TransportSettings) -> Self {
        self.transport = Some(settings);
        self
    }

    /// Where session tickets are kept, instead of where `tls` says: a ticket from there is
    /// used, and one that comes is told by [`Event::Ticket`](crate::event::Event::Ticket).
    #[must_use]
    pub fn tickets(mut self, store: Arc<dyn tls::TicketStore>) -> Self {
        self.tickets = Some(store);
        self
    }

    /// Requests may be sent as early data (0-RTT, RFC 9001 §4.6): before the handshake is
    /// complete, with a ticket out of [`Self::tickets`] whose server allows it. Which do,
    /// [`Early`](crate::head::Early) says; sessions and tunnels never. Default no.
    ///
    /// Whoever sees such a request can send it to the server again, and it is not secret
    /// from those who get hold of the ticket's secret later. A server that does not take it
    /// has not seen it; the application is told and may send it again:
    /// [`EarlyDataRejected`](crate::event::StreamEvent::EarlyDataRejected). One that does not
    /// want to act upon it yet answers 425 (Too Early, RFC 8470).
    #[must_use]
    pub fn early_data(mut self, send: bool) -> Self {
        self.early_data = send;
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
        reliable_reset: bool,
    ) -> Result<(quinn_proto::ClientConfig, tls::Tickets), ConfigError> {
        let (tickets, resumption) = self.tickets.clone().map(tls::Tickets::new).unzip();
        let tls = tls::client_crypto(
            Arc::clone(&self.tls),
            &self.offer(),
            resumption,
            self.early_data,
            reliable_reset,
        )?;
        let mut config = quinn_proto::ClientConfig::new(Arc::new(Sparing(tls)));
        config.token_store(tokens);
        Ok((config, tickets.unwrap_or_default()))
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
