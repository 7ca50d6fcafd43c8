//! Why an endpoint or a connection is not made.

use std::net::SocketAddr;

use thiserror::Error;

/// Why a connection was not begun.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The configuration does not suit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The name is neither a DNS name nor an IP address.
    #[error("{0:?} is not a server name")]
    InvalidServerName(String),
    /// No datagram can be sent to the address: port 0, or unspecified.
    #[error("{0} cannot be connected to")]
    InvalidAddress(SocketAddr),
    /// The endpoint is full or shutting down.
    #[error("the endpoint takes no more connections")]
    Refused,
}

/// Why an endpoint or connection cannot be made as configured.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A field of [`TransportSettings`](super::TransportSettings) or of
    /// [`EndpointConfig`](super::EndpointConfig) is out of range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// The rustls configuration cannot serve QUIC: no TLS 1.3, or no suite
    /// TLS13_AES_128_GCM_SHA256.
    #[error("the TLS configuration does not suit QUIC: {0}")]
    Tls(String),
}
