//! The SETTINGS payload: identifiers, validity, what each side said.
use std::fmt;

use bytes::BufMut;
use smallvec::SmallVec;
use thiserror::Error;

use super::{
    grease,
    varint::{self, VarInt},
};

/// Most pairs a SETTINGS frame may have.
pub const MAX_ENTRIES: usize = 256;

/// Most unknown pairs that are remembered; further ones are checked and
/// forgotten.
pub const MAX_UNKNOWN: usize = 32;

/// A setting identifier. Any number is representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SettingId(pub u64);

/// Which values a setting can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Valid {
    Any,
    Boolean,
    Never,
}

macro_rules! setting_ids {
    ($($(#[$doc:meta])* $name:ident = $value:literal $valid:ident;)*) => {
        impl SettingId {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Registered name; `None` for unknown and reserved identifiers.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            const fn valid(self) -> Option<Valid> {
                match self.0 {
                    $($value => Some(Valid::$valid),)*
                    _ => None,
                }
            }
        }
    };
}

//= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.1
// The identifiers of HTTP/2 without an equivalent are errors, not unknown.
setting_ids! {
    /// Reserved.
    H2_RESERVED_0 = 0x00 Never;
    /// Largest dynamic table the sender's decoder allows, bytes.
    QPACK_MAX_TABLE_CAPACITY = 0x01 Any;
    /// HTTP/2 ENABLE_PUSH, forbidden.
    H2_ENABLE_PUSH = 0x02 Never;
    /// HTTP/2 MAX_CONCURRENT_STREAMS, forbidden.
    H2_MAX_CONCURRENT_STREAMS = 0x03 Never;
    /// HTTP/2 INITIAL_WINDOW_SIZE, forbidden.
    H2_INITIAL_WINDOW_SIZE = 0x04 Never;
    /// HTTP/2 MAX_FRAME_SIZE, forbidden.
    H2_MAX_FRAME_SIZE = 0x05 Never;
    /// Largest field section the sender accepts, uncompressed bytes plus 32 per line.
    MAX_FIELD_SECTION_SIZE = 0x06 Any;
    /// Streams that may block on the dynamic table.
    QPACK_BLOCKED_STREAMS = 0x07 Any;
    /// Extended CONNECT (RFC 9220).
    ENABLE_CONNECT_PROTOCOL = 0x08 Boolean;
    /// HTTP Datagrams (RFC 9297).
    H3_DATAGRAM = 0x33 Boolean;
    /// HTTP Datagrams of draft-ietf-masque-h3-datagram-04.
    H3_DATAGRAM_DRAFT04 = 0xff_d277 Boolean;
    /// WebTransport drafts 02 to 05.
    ENABLE_WEBTRANSPORT = 0x2b60_3742 Boolean;
    /// WebTransport drafts 07 to 12: sessions.
    WEBTRANSPORT_MAX_SESSIONS = 0xc671_706a Any;
    /// WebTransport drafts 13 and 14: sessions.
    WT_MAX_SESSIONS = 0x14e9_cd29 Any;
    /// WebTransport drafts 15 and 16.
    WT_ENABLED = 0x2c7c_f000 Any;
    /// First limit on the stream bytes of a session.
    WT_INITIAL_MAX_DATA = 0x2b61 Any;
    /// First limit on the unidirectional streams of a session.
    WT_INITIAL_MAX_STREAMS_UNI = 0x2b64 Any;
    /// First limit on the bidirectional streams of a session.
    WT_INITIAL_MAX_STREAMS_BIDI = 0x2b65 Any;
}

impl SettingId {
    /// The value that counts for a peer that declares none; `None` for no limit.
    const fn default(self) -> Option<u64> {
        match self {
            Self::MAX_FIELD_SECTION_SIZE => None,
            _ => Some(0),
        }
    }

    /// Whether the identifier is reserved for GREASE.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        grease::is_reserved(self.0)
    }
}

impl fmt::Display for SettingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "setting {:#x}", self.0),
        }
    }
}

impl fmt::Debug for SettingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a SETTINGS payload, or one setting, is refused. All are connection
/// errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// An identifier that HTTP/3 forbids.
    #[error("{0} is forbidden")]
    Forbidden(SettingId),
    /// An identifier that occurs twice.
    #[error("{0} occurs twice")]
    Duplicate(SettingId),
    /// A value the setting cannot have.
    #[error("{0} cannot be {1}")]
    Invalid(SettingId, u64),
    /// The payload ends inside a pair.
    #[error("SETTINGS end inside a pair")]
    Truncated,
    /// More pairs than 256, or than the caller takes.
    #[error("too many settings")]
    TooMany,
}

/// What one side declared, in the order it was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    entries: SmallVec<[(SettingId, VarInt); 12]>,
}

impl Settings {
    /// All defaults: an empty payload.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a complete payload. Cost: pairs received times pairs kept, both
    /// bounded.
    ///
    /// # Errors
    /// [`SettingsError`] at the first pair that breaks a rule.
    pub fn decode(payload: &[u8]) -> Result<Self, SettingsError> {
        Self::decode_at_most(payload, MAX_ENTRIES)
    }

    /// As [`Self::decode`], with a smaller limit on the pairs received.
    ///
    /// # Errors
    /// [`SettingsError`] at the first pair that breaks a rule or is too many.
    pub fn decode_at_most(mut payload: &[u8], max: usize) -> Result<Self, SettingsError> {
        let mut settings = Self::new();
        let (mut seen, mut unknown) = (0, 0);
        while !payload.is_empty() {
            seen += 1;
            if seen > max.min(MAX_ENTRIES) {
                return Err(SettingsError::TooMany);
            }
            let mut pair = || varint::take_slice(&mut payload).and_then(|v| VarInt::new(v).ok());
            let (Some(id), Some(value)) = (pair(), pair()) else {
                return Err(SettingsError::Truncated);
            };
            let id = SettingId(id.get());
            check(id, value)?;
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4
            // Receivers may treat a repeated identifier as an error, and we do.
            if settings.get(id).is_some() {
                return Err(SettingsError::Duplicate(id));
            }
            if id.valid().is_none() {
                unknown += 1;
                if unknown > MAX_UNKNOWN {
                    continue;
                }
            }
            settings.entries.push((id, value));
        }
        Ok(settings)
    }

    /// Declares a setting, replacing an earlier value.
    ///
    /// # Errors
    /// [`SettingsError::Forbidden`] and [`SettingsError::Invalid`] for what a
    /// peer would refuse or an identifier of 2^62 or more,
    /// [`SettingsError::TooMany`] beyond 256.
    pub fn set(&mut self, id: SettingId, value: VarInt) -> Result<(), SettingsError> {
        check(id, value)?;
        if VarInt::new(id.0).is_err() {
            return Err(SettingsError::Invalid(id, value.get()));
        }
        if let Some((_, old)) = self.entries.iter_mut().find(|(have, _)| *have == id) {
            *old = value;
            return Ok(());
        }
        if self.entries.len() >= MAX_ENTRIES {
            return Err(SettingsError::TooMany);
        }
        self.entries.push((id, value));
        Ok(())
    }

    /// Value declared for `id`. Linear in the number of settings.
    #[must_use]
    pub fn get(&self, id: SettingId) -> Option<u64> {
        self.entries
            .iter()
            .find(|(have, _)| *have == id)
            .map(|(_, value)| value.get())
    }

    /// Every setting kept, in the order sent.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (SettingId, u64)> + '_ {
        self.entries.iter().map(|(id, value)| (*id, value.get()))
    }

    /// Bytes [`Settings::put`] writes.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.encoded()
            .map(|(id, value)| id.len() + value.len())
            .sum()
    }

    /// Appends the payload.
    pub fn put(&self, buf: &mut impl BufMut) {
        for (id, value) in self.encoded() {
            id.put(buf);
            value.put(buf);
        }
    }

    /// Whether these may follow early data (0-RTT) that was sent by `remembered` ones: no
    /// limit is smaller, nothing that was offered is withdrawn, and nothing that was
    /// declared is left out. Quadratic in the number of settings, which is bounded.
    #[must_use]
    pub fn keeps(&self, remembered: &Self) -> bool {
        self.broken(remembered).is_none()
    }

    /// The first setting of `remembered` ones that these do not keep.
    pub(crate) fn broken(&self, remembered: &Self) -> Option<SettingId> {
        let understood = remembered.iter().filter(|(id, _)| id.valid().is_some());
        let mut declared = understood.filter(|(id, value)| Some(*value) != id.default());
        let broken = declared.find(|(id, before)| match self.get(*id) {
            //= https://www.rfc-editor.org/rfc/rfc9204#section-3.2.3
            // A capacity that was remembered and not 0 stays as it was.
            Some(now) if *id == SettingId::QPACK_MAX_TABLE_CAPACITY => now != *before,
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.2
            // A server that takes early data reduces nothing. All that we understand are
            // limits and offers, which are more the larger they are.
            //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
            // H3_DATAGRAM among them.
            Some(now) => now < *before,
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.2
            // What was declared is declared again, even where the default is more.
            None => true,
        });
        // The one default that is the largest value of all.
        let unlimited = remembered.max_field_section_size().is_none()
            && self.max_field_section_size().is_some();
        let limited = unlimited.then_some(SettingId::MAX_FIELD_SECTION_SIZE);
        broken.map(|(id, _)| id).or(limited)
    }

    /// The same without reserved pairs, which mean nothing and differ from one connection
    /// to the next.
    #[must_use]
    pub fn without_reserved(&self) -> Self {
        let entries = self.entries.iter().filter(|(id, _)| !id.is_reserved());
        Self {
            entries: entries.copied().collect(),
        }
    }

    /// Largest dynamic table, bytes; 0 unless declared.
    #[must_use]
    pub fn qpack_max_table_capacity(&self) -> u64 {
        self.get(SettingId::QPACK_MAX_TABLE_CAPACITY).unwrap_or(0)
    }

    /// Streams that may block; 0 unless declared.
    #[must_use]
    pub fn qpack_blocked_streams(&self) -> u64 {
        self.get(SettingId::QPACK_BLOCKED_STREAMS).unwrap_or(0)
    }

    /// Largest field section; `None` is unlimited.
    #[must_use]
    pub fn max_field_section_size(&self) -> Option<u64> {
        self.get(SettingId::MAX_FIELD_SECTION_SIZE)
    }

    /// Whether extended CONNECT is offered.
    #[must_use]
    pub fn enable_connect_protocol(&self) -> bool {
        self.get(SettingId::ENABLE_CONNECT_PROTOCOL) == Some(1)
    }

    /// Whether HTTP Datagrams are accepted.
    #[must_use]
    pub fn h3_datagram(&self) -> bool {
        // Where the RFC's setting is present the draft's says nothing.
        let draft = || self.get(SettingId::H3_DATAGRAM_DRAFT04);
        self.get(SettingId::H3_DATAGRAM).or_else(draft) == Some(1)
    }

    /// First limit on stream bytes per WebTransport session; 0 unless declared.
    #[must_use]
    pub fn wt_initial_max_data(&self) -> u64 {
        self.get(SettingId::WT_INITIAL_MAX_DATA).unwrap_or(0)
    }

    /// First limit on unidirectional streams per session; 0 unless declared.
    #[must_use]
    pub fn wt_initial_max_streams_uni(&self) -> u64 {
        self.get(SettingId::WT_INITIAL_MAX_STREAMS_UNI).unwrap_or(0)
    }

    /// First limit on bidirectional streams per session; 0 unless declared.
    #[must_use]
    pub fn wt_initial_max_streams_bidi(&self) -> u64 {
        self.get(SettingId::WT_INITIAL_MAX_STREAMS_BIDI)
            .unwrap_or(0)
    }

    /// The pairs as integers; every identifier was checked to be encodable.
    fn encoded(&self) -> impl Iterator<Item = (VarInt, VarInt)> + '_ {
        self.entries
            .iter()
            .filter_map(|(id, value)| Some((VarInt::new(id.0).ok()?, *value)))
    }
}

fn check(id: SettingId, value: VarInt) -> Result<(), SettingsError> {
    match id.valid() {
        Some(Valid::Never) => Err(SettingsError::Forbidden(id)),
        //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1.1
        // Flags are 0 or 1; the others share the rule of H3_DATAGRAM.
        Some(Valid::Boolean) if value.get() > 1 => Err(SettingsError::Invalid(id, value.get())),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
