//! Tunnels through an HTTP proxy (MASQUE): UDP by RFC 9298, TCP by
//! draft-ietf-httpbis-connect-tcp or CONNECT, from either side.
//!
//! A tunnel is a request, so what is here stands on [`RequestStream`](crate::RequestStream)
//! and [`ServerRequest`](crate::ServerRequest): drop a tunnel and its stream ends.
//!
//! A client asks with [`Connection::open_tunnel`](crate::Connection::open_tunnel), and has
//! QUIC in a tunnel for UDP by [`Endpoint::through`](crate::Endpoint::through). A proxy
//! puts each request that comes before its [`Gate`], which gives back what is not for a
//! tunnel; it finds and reaches the target of an [`Offer`] and accepts it, or refuses. The
//! adapter for tokio has a service that does so.

mod carrier;
mod client;
mod error;
mod gate;
mod own;
mod tcp;
mod through;
mod udp;

pub use self::carrier::carrier_settings;
pub use self::error::{OpenTunnelError, TunnelError};
pub use self::gate::{Asked, Gate, Offer};
pub use self::own::is_this_host;
pub use self::tcp::{TcpReceiver, TcpSender, TcpTunnel};
pub use self::udp::UdpTunnel;
pub use aqueduct_core::masque::{
    Credentials, Denied, Dialect, GateConfig, GateStats, Host, OpenTunnel, PathTemplate, Refusal,
    Rule, SpecialRange, Target, TargetPolicy, Template, TunnelKind, refusal_in_words,
};

/// An open tunnel.
#[derive(Debug)]
#[non_exhaustive]
pub enum Tunnel {
    /// For UDP payloads.
    Udp(UdpTunnel),
    /// For the bytes of a TCP connection.
    Tcp(TcpTunnel),
}

impl Tunnel {
    /// The same if it is for UDP.
    #[must_use]
    pub fn into_udp(self) -> Option<UdpTunnel> {
        match self {
            Self::Udp(tunnel) => Some(tunnel),
            Self::Tcp(_) => None,
        }
    }

    /// The same if it is for TCP.
    #[must_use]
    pub fn into_tcp(self) -> Option<TcpTunnel> {
        match self {
            Self::Tcp(tunnel) => Some(tunnel),
            Self::Udp(_) => None,
        }
    }
}
