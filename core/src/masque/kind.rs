//! The kinds of tunnels.

/// What goes through a tunnel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum TunnelKind {
    /// UDP packets, `connect-udp` (RFC 9298).
    Udp,
    /// The bytes of a TCP connection, `connect-tcp` (draft-ietf-httpbis-connect-tcp).
    Tcp,
}

impl TunnelKind {
    /// The path of a proxy that names no other.
    pub(crate) const fn default_path(self) -> &'static str {
        //= https://www.rfc-editor.org/rfc/rfc9298#section-3
        // Who knows no more of a proxy than host and port uses this template.
        match self {
            Self::Udp => "/.well-known/masque/udp/{target_host}/{target_port}/",
            Self::Tcp => "/.well-known/masque/tcp/{target_host}/{target_port}/",
        }
    }
}
