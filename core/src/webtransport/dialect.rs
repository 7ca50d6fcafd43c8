//! The dialects of WebTransport over HTTP/3 as data.
//!
//! Each family of drafts announces itself by a setting of its own. After both SETTINGS
//! are known, the first row of [`TABLE`] that both sides announced is spoken. A
//! client that announces none may still ask for a session of a row that lets it.

use std::fmt;

use crate::id::Side;
use crate::wire::settings::{SettingId, Settings};

/// When session flow control is on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FlowRule {
    /// Never.
    Off,
    /// Both sides announced more than one session or an initial limit.
    SessionsOrLimits,
    /// Both sides announced an initial limit.
    Limits,
}

/// How application protocols are negotiated.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProtocolRule {
    /// A selection that was not offered is ignored.
    Lenient,
    /// A selection that was not offered ends the session: the CONNECT stream is reset
    /// with WT_ALPN_ERROR.
    Strict,
}

/// What a family of drafts asks for.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rules {
    /// The family.
    pub dialect: Dialect,
    /// Name for people.
    pub name: &'static str,
    /// The setting that announces it.
    pub setting: SettingId,
    /// `:protocol` of its CONNECT.
    pub token: &'static str,
    /// Whether a client announces it too. Those of some drafts need not.
    pub client_announces: bool,
    /// Whether the server must announce extended CONNECT beside it.
    pub extended_connect: bool,
    /// Whether it calls for RESET_STREAM_AT.
    pub reset_stream_at: bool,
    /// When session flow control is on.
    pub flow: FlowRule,
    /// What a wrong protocol selection does.
    pub protocols: ProtocolRule,
    /// Whether a request may carry the version field of draft 02. Browsers that speak
    /// draft 02 send it whatever else they speak, to servers that take the same token.
    pub version_field: bool,
    /// Whether a limit of a session that equals the one before it is let pass. Draft 16
    /// forbids it and draft 15 does not; nothing on the wire tells the two apart, so what
    /// the earlier one permits holds for both.
    pub equal_limits: bool,
}

macro_rules! dialects {
    ($($(#[$doc:meta])* $name:ident {
        $text:literal, $setting:ident, $token:literal,
        client announces $client:literal, extended connect $connect:literal,
        reset_stream_at $reset:literal, flow $flow:ident, protocols $protocols:ident,
        version field $version:literal, equal limits $equal:literal
    })*) => {
        /// A family of drafts that are one on the wire.
        #[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
        #[non_exhaustive]
        pub enum Dialect { $($(#[$doc])* $name,)* }

        /// One row per dialect, the preferred first.
        pub const TABLE: &[Rules] = &[$(Rules {
            dialect: Dialect::$name,
            name: $text,
            setting: SettingId::$setting,
            token: $token,
            client_announces: $client,
            extended_connect: $connect,
            reset_stream_at: $reset,
            flow: FlowRule::$flow,
            protocols: ProtocolRule::$protocols,
            version_field: $version,
            equal_limits: $equal,
        },)*];

        impl Dialect {
            /// What it asks for.
            #[must_use]
            pub const fn rules(self) -> &'static Rules {
                &TABLE[self as usize]
            }
        }
    };
}

// draft-ietf-webtrans-http3, section 3.1 of each version named.
dialects! {
    /// Drafts 15 and 16.
    Draft15 {
        "draft-15/16", WT_ENABLED, "webtransport-h3",
        client announces true, extended connect true,
        reset_stream_at true, flow Limits, protocols Strict,
        version field false, equal limits true
    }
    /// Drafts 13 and 14.
    Draft13 {
        "draft-13/14", WT_MAX_SESSIONS, "webtransport",
        client announces true, extended connect true,
        reset_stream_at true, flow SessionsOrLimits, protocols Lenient,
        version field true, equal limits true
    }
    /// Drafts 07 to 12.
    Draft07 {
        "draft-07..12", WEBTRANSPORT_MAX_SESSIONS, "webtransport",
        client announces false, extended connect true,
        reset_stream_at false, flow Off, protocols Lenient,
        version field true, equal limits true
    }
    /// Drafts 02 to 05, which browsers speak.
    Draft02 {
        "draft-02", ENABLE_WEBTRANSPORT, "webtransport",
        client announces true, extended connect false,
        reset_stream_at false, flow Off, protocols Lenient,
        version field true, equal limits true
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rules().name)
    }
}

/// A set of dialects.
#[derive(Copy, Clone, Eq, PartialEq)]
pub struct Dialects(u8);

impl Dialects {
    /// None.
    pub const NONE: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(0b1111);
    /// Set A: what reaches today's browsers without RESET_STREAM_AT, and what is left of all
    /// with a peer that does not have it.
    pub const SET_A: Self = Self::NONE.with(Dialect::Draft02).with(Dialect::Draft07);
    /// Set B: for transports with RESET_STREAM_AT and session flow control. Without
    /// drafts 07 to 12, whose setting one client does not take beside that of 13.
    pub const SET_B: Self = Self::NONE
        .with(Dialect::Draft02)
        .with(Dialect::Draft13)
        .with(Dialect::Draft15);
    /// Set C: set A and the newest.
    pub const SET_C: Self = Self::SET_A.with(Dialect::Draft15);

    /// The set and one more.
    #[must_use]
    pub const fn with(self, dialect: Dialect) -> Self {
        Self(self.0 | 1 << dialect as u8)
    }

    /// Whether the set has the dialect.
    #[must_use]
    pub const fn has(self, dialect: Dialect) -> bool {
        self.0 & 1 << dialect as u8 != 0
    }

    /// The dialects of the set, the preferred first.
    pub fn iter(self) -> impl Iterator<Item = Dialect> {
        TABLE
            .iter()
            .map(|rules| rules.dialect)
            .filter(move |dialect| self.has(*dialect))
    }

    /// The dialects a peer announced.
    #[must_use]
    pub fn announced(settings: &Settings) -> Self {
        TABLE
            .iter()
            .filter(|rules| settings.get(rules.setting).is_some_and(|value| value > 0))
            .fold(Self::NONE, |set, rules| set.with(rules.dialect))
    }
}

impl fmt::Debug for Dialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What both sides agreed on.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Negotiated {
    /// The dialect spoken.
    pub dialect: Dialect,
    /// Whether sessions have limits of their own (WT_MAX_DATA, WT_MAX_STREAMS).
    pub flow_control: bool,
}

/// Something WebTransport needs and one side lacks.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Requirement {
    /// SETTINGS have not arrived.
    Settings,
    /// No dialect in common; the settings announce none that the other speaks.
    Dialect,
    /// SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 9220).
    ExtendedConnect,
    /// SETTINGS_H3_DATAGRAM (RFC 9297).
    HttpDatagrams,
    /// The transport parameter max_datagram_frame_size (RFC 9221).
    QuicDatagrams,
    /// RESET_STREAM_AT, for the only dialects in common.
    ResetStreamAt,
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Settings => "SETTINGS",
            Self::Dialect => "a WebTransport draft that both sides speak",
            Self::ExtendedConnect => "extended CONNECT (SETTINGS_ENABLE_CONNECT_PROTOCOL)",
            Self::HttpDatagrams => "HTTP datagrams (SETTINGS_H3_DATAGRAM)",
            Self::QuicDatagrams => "QUIC datagrams (max_datagram_frame_size)",
            Self::ResetStreamAt => "RESET_STREAM_AT (reset_stream_at transport parameter)",
        })
    }
}

/// Everything that stands between a connection and a session.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct NegotiationFailure {
    /// Each requirement, and the side that does not meet it.
    pub missing: Vec<(Side, Requirement)>,
}

impl NegotiationFailure {
    /// What is missing, and on which side.
    #[must_use]
    pub fn new(missing: impl IntoIterator<Item = (Side, Requirement)>) -> Self {
        Self {
            missing: missing.into_iter().collect(),
        }
    }

    /// Whether a side lacks something.
    #[must_use]
    pub fn has(&self, requirement: Requirement) -> bool {
        self.missing
            .iter()
            .any(|(_, missing)| *missing == requirement)
    }
}

impl fmt::Display for NegotiationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (side, requirement)) in self.missing.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}the {side} lacks {requirement}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NegotiationFailure {}

impl NegotiationFailure {
    /// Whether SETTINGS that are still on their way are all that is missing. What
    /// the two sides do not share is final until one of them is configured
    /// otherwise.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.missing
            .iter()
            .all(|(_, missing)| *missing == Requirement::Settings)
    }
}
