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
    /// The target speaks another protocol than the connection that was asked for.
    #[error("the target is of another protocol: HTTP/3 or raw QUIC")]
    WrongProtocol,
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
    /// The endpoint accepts no connections, and was to have a server's TLS configuration.
    #[error("the endpoint is a client's: it accepts no connections")]
    NotAServer,
    /// The crypto of the rustls configuration has no suite of TLS 1.3.
    #[error(
        "the TLS configuration's crypto has no TLS 1.3, which QUIC needs: use \
         `endpoint::tls::server_config` or `client_config`, or hand rustls \
         `endpoint::tls::provider()`"
    )]
    NoTls13,
    /// The crypto of the rustls configuration has no TLS13_AES_128_GCM_SHA256, or not for
    /// QUIC.
    #[error(
        "the TLS configuration's crypto has no TLS13_AES_128_GCM_SHA256 for QUIC, which \
         every connection begins with: add it, or hand rustls `endpoint::tls::provider()`"
    )]
    NoInitialSuite,
    /// The rustls configuration names protocols (ALPN), and `h3` is not among them.
    #[error(
        "the TLS configuration's `alpn_protocols` lack `h3`: add `endpoint::tls::ALPN`, or \
         leave them empty"
    )]
    NoHttp3,
    /// The names of a protocol (ALPN, RFC 7301) do not suit.
    #[error("the names of the protocol do not suit: {0}")]
    Alpn(&'static str),
    /// A server is to take early data (0-RTT), and its rustls configuration does not keep
    /// sessions: they would serve more than once.
    #[error(
        "early data needs sessions that are kept and serve once: leave the TLS \
         configuration's `ticketer` as it is, and give it a `session_storage`"
    )]
    NoEarlyData,
    /// The rustls configuration cannot begin a connection of QUIC, most likely since
    /// TLS 1.3 is not among its versions.
    #[error(
        "the TLS configuration does not suit QUIC: {0}; `endpoint::tls::server_config` and \
         `client_config` make one that does"
    )]
    Tls(String),
}
