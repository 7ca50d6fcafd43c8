//! The kinds of tunnels.

use std::fmt;

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
    /// The upgrade token, which is the `:protocol` of the request.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Udp => "connect-udp",
            Self::Tcp => "connect-tcp",
        }
    }

    /// The kind with this upgrade token.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        match token {
            "connect-udp" => Some(Self::Udp),
            "connect-tcp" => Some(Self::Tcp),
            _ => None,
        }
    }

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

/// The upgrade token.
impl fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}
