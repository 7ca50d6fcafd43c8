//! What a tunnel carries, and in which words it is asked for.

use crate::capsule::CapsuleType;

/// How a tunnel is asked for, and how its bytes stand on the stream.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// UDP: RFC 9298, token `connect-udp`.
    Udp,
    /// TCP: draft-ietf-httpbis-connect-tcp-12, token `connect-tcp`, and `connect-tcp-12`
    /// among those who try it.
    Tcp12,
    /// TCP: drafts 08 to 11 of the same, token `connect-tcp-07`.
    Tcp07,
    /// TCP: CONNECT as HTTP always had it (RFC 9114 section 4.4), without `:protocol`.
    Classic,
}

/// Token, and the types of DATA and FINAL_DATA: what is provisional in the draft.
const TOKENS: [(&str, Dialect); 4] = [
    ("connect-udp", Dialect::Udp),
    ("connect-tcp", Dialect::Tcp12),
    ("connect-tcp-12", Dialect::Tcp12),
    ("connect-tcp-07", Dialect::Tcp07),
];

impl Dialect {
    /// The dialect of a `:protocol`, if it is one of a tunnel's.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        let found = TOKENS.iter().find(|(name, _)| *name == token);
        found.map(|(_, dialect)| *dialect)
    }

    /// The `:protocol` that asks for it; `None` for classic CONNECT.
    #[must_use]
    pub fn token(self) -> Option<&'static str> {
        let found = TOKENS.iter().find(|(_, dialect)| *dialect == self);
        found.map(|(name, _)| *name)
    }

    /// What it carries.
    #[must_use]
    pub const fn kind(self) -> super::TunnelKind {
        match self {
            Self::Udp => super::TunnelKind::Udp,
            Self::Tcp12 | Self::Tcp07 | Self::Classic => super::TunnelKind::Tcp,
        }
    }

    /// The types of the capsules that carry bytes of TCP, DATA and FINAL_DATA; `None`
    /// where none do.
    #[must_use]
    pub const fn types(self) -> Option<[CapsuleType; 2]> {
        match self {
            Self::Tcp12 => Some([CapsuleType(0x2028_d7f2), CapsuleType(0x2028_d7f3)]),
            Self::Tcp07 => Some([CapsuleType(0x2028_d7f0), CapsuleType(0x2028_d7f1)]),
            Self::Udp | Self::Classic => None,
        }
    }

    /// Whether the stream carries capsules, so that `capsule-protocol` is said.
    #[must_use]
    pub const fn has_capsules(self) -> bool {
        !matches!(self, Self::Classic)
    }
}
