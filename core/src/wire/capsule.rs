//! Capsules (RFC 9297 section 3.2): types, meaning, encoding.
use std::fmt;

use bytes::{BufMut, Bytes};
use thiserror::Error;

use super::{
    grease,
    varint::{self, Head, OutOfRange, VarInt},
};
use crate::{code::Code, fault::Violation, id::Dir};

/// Longest message of WT_CLOSE_SESSION, bytes of UTF-8.
pub const MAX_REASON: usize = 1024;

/// Largest stream count a WT_MAX_STREAMS or WT_STREAMS_BLOCKED may name. The
/// session decides what a larger one means; the codec passes it on.
pub const MAX_STREAM_COUNT: u64 = 1 << 60;

/// A capsule type. Any number is representable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CapsuleType(pub u64);

macro_rules! capsule_types {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl CapsuleType {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Registered name; `None` for unknown and reserved types.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($value => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

// draft-ietf-webtrans-http3-16 section 9.6, draft-ietf-webtrans-http2 for the
// two that only exist there.
capsule_types! {
    /// An HTTP Datagram.
    DATAGRAM = 0x00;
    /// Ends the session.
    WT_CLOSE_SESSION = 0x2843;
    /// Asks to wind the session up.
    WT_DRAIN_SESSION = 0x78ae;
    /// Limit on the stream bytes of the session.
    WT_MAX_DATA = 0x190b_4d3d;
    /// Limit on the bytes of one stream; HTTP/2 only.
    WT_MAX_STREAM_DATA = 0x190b_4d3e;
    /// Limit on bidirectional streams.
    WT_MAX_STREAMS_BIDI = 0x190b_4d3f;
    /// Limit on unidirectional streams.
    WT_MAX_STREAMS_UNI = 0x190b_4d40;
    /// Blocked by WT_MAX_DATA.
    WT_DATA_BLOCKED = 0x190b_4d41;
    /// Blocked by WT_MAX_STREAM_DATA; HTTP/2 only.
    WT_STREAM_DATA_BLOCKED = 0x190b_4d42;
    /// Blocked by the limit on bidirectional streams.
    WT_STREAMS_BLOCKED_BIDI = 0x190b_4d43;
    /// Blocked by the limit on unidirectional streams.
    WT_STREAMS_BLOCKED_UNI = 0x190b_4d44;
}

impl CapsuleType {
    /// Whether the type is reserved for GREASE.
    #[must_use]
    pub const fn is_reserved(self) -> bool {
        grease::is_reserved_capsule(self.0)
    }
}

impl fmt::Display for CapsuleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "capsule type {:#x}", self.0),
        }
    }
}

impl fmt::Debug for CapsuleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A capsule read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capsule {
    /// DATAGRAM: the payload of an HTTP Datagram, without a quarter stream id.
    Datagram(Bytes),
    /// WT_CLOSE_SESSION.
    CloseSession {
        /// Application code.
        code: u32,
        /// UTF-8 of at most 1,024 bytes bytes, both checked.
        reason: Bytes,
    },
    /// WT_DRAIN_SESSION.
    DrainSession,
    /// WT_MAX_DATA: bytes over all streams.
    MaxData(u64),
    /// WT_MAX_STREAMS: streams ever opened.
    MaxStreams(Dir, u64),
    /// WT_DATA_BLOCKED: the limit reached, bytes.
    DataBlocked(u64),
    /// WT_STREAMS_BLOCKED: the limit reached, streams.
    StreamsBlocked(Dir, u64),
    /// WT_MAX_STREAM_DATA, which over HTTP/3 is a session error.
    MaxStreamData {
        /// Stream id of the HTTP/2 binding.
        stream: u64,
        /// Bytes.
        limit: u64,
    },
    /// WT_STREAM_DATA_BLOCKED, which over HTTP/3 is a session error.
    StreamDataBlocked {
        /// Stream id of the HTTP/2 binding.
        stream: u64,
        /// Bytes.
        limit: u64,
    },
    /// A type the reader's owner claimed, not parsed.
    Other(CapsuleType, Bytes),
}

/// Why a capsule is refused. The stream that carries it is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CapsuleError {
    /// A value longer or shorter than its fields.
    #[error("value of {0} does not match its fields")]
    Malformed(CapsuleType),
    /// A close message longer than 1,024 bytes.
    #[error("close message is longer than 1024 bytes")]
    ReasonTooLong,
    /// A close message that is not UTF-8.
    #[error("close message is not UTF-8")]
    ReasonNotUtf8,
    /// A value longer than whoever reads it accepts.
    #[error("{0} is too large")]
    TooLarge(CapsuleType),
    /// The stream ended inside a capsule.
    #[error("stream ended inside a capsule")]
    Truncated,
}

impl CapsuleError {
    /// The code to reset the stream with: that of the [`Violation`].
    #[must_use]
    pub fn code(self) -> Code {
        Violation::from(self).code()
    }
}

impl From<CapsuleError> for Violation {
    fn from(error: CapsuleError) -> Self {
        match error {
            CapsuleError::ReasonTooLong | CapsuleError::ReasonNotUtf8 => Self::CloseReasonInvalid,
            CapsuleError::Truncated => Self::CapsuleTruncated,
            CapsuleError::Malformed(_) => Self::CapsuleMalformed,
            //= https://www.rfc-editor.org/rfc/rfc9297#section-3.3
            // What does not fit its description is a malformed message. A limit of the
            // receiver's own is no part of that: the capsule is whole, and too much.
            CapsuleError::TooLarge(_) => Self::CapsuleTooLarge,
        }
    }
}

/// The longest prefix of `reason` that fits WT_CLOSE_SESSION, 1,024 bytes, and does not
/// cut a character (draft-ietf-webtrans-http3-16 §6).
#[must_use]
pub fn truncate_reason(reason: &str) -> &str {
    let mut end = reason.len().min(MAX_REASON);
    // A character has at most four bytes, so this ends after three steps.
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}

/// Type and length of a capsule whose value is `len` bytes, on the stack.
#[must_use]
pub fn header(ty: VarInt, len: usize) -> Head {
    Head::two(ty, VarInt::of_len(len))
}

/// What precedes the value of a capsule of any type, on the stack; dereferences to the
/// bytes.
///
/// # Errors
/// [`OutOfRange`] if `ty` or `len` is above 2^62 - 1.
pub fn encode_header(ty: CapsuleType, len: u64) -> Result<Head, OutOfRange> {
    Ok(Head::two(VarInt::new(ty.0)?, VarInt::new(len)?))
}

/// What precedes a datagram payload of `len` bytes in a DATAGRAM capsule.
#[must_use]
pub fn datagram_header(len: usize) -> Head {
    header(VarInt::from_u32(0x00), len)
}

/// Appends WT_CLOSE_SESSION.
///
/// # Errors
/// [`CapsuleError::ReasonTooLong`], and nothing is written, if `reason` exceeds
/// [`MAX_REASON`] bytes.
pub fn put_close_session(
    buf: &mut impl BufMut,
    code: u32,
    reason: &str,
) -> Result<(), CapsuleError> {
    if reason.len() > MAX_REASON {
        return Err(CapsuleError::ReasonTooLong);
    }
    buf.put_slice(&header(VarInt::from_u32(0x2843), 4 + reason.len()));
    buf.put_u32(code);
    buf.put_slice(reason.as_bytes());
    Ok(())
}

/// Appends WT_DRAIN_SESSION.
pub fn put_drain_session(buf: &mut impl BufMut) {
    buf.put_slice(&header(VarInt::from_u32(0x78ae), 0));
}

/// Appends WT_MAX_DATA.
pub fn put_max_data(buf: &mut impl BufMut, bytes: VarInt) {
    put_number(buf, 0x190b_4d3d, bytes);
}

/// Appends WT_MAX_STREAMS.
pub fn put_max_streams(buf: &mut impl BufMut, dir: Dir, streams: VarInt) {
    let ty = match dir {
        Dir::Bi => 0x190b_4d3f,
        Dir::Uni => 0x190b_4d40,
    };
    put_number(buf, ty, streams);
}

/// Appends WT_DATA_BLOCKED.
pub fn put_data_blocked(buf: &mut impl BufMut, limit: VarInt) {
    put_number(buf, 0x190b_4d41, limit);
}

/// Appends WT_STREAMS_BLOCKED.
pub fn put_streams_blocked(buf: &mut impl BufMut, dir: Dir, limit: VarInt) {
    let ty = match dir {
        Dir::Bi => 0x190b_4d43,
        Dir::Uni => 0x190b_4d44,
    };
    put_number(buf, ty, limit);
}

fn put_number(buf: &mut impl BufMut, ty: u32, number: VarInt) {
    buf.put_slice(&header(VarInt::from_u32(ty), number.len()));
    number.put(buf);
}

impl CapsuleType {
    /// Shortest and longest value of a WebTransport capsule; `None` for types
    /// that are not.
    pub(crate) const fn webtransport_bounds(self) -> Option<(u64, u64)> {
        Some(match self {
            Self::WT_CLOSE_SESSION => (4, 4 + MAX_REASON as u64),
            Self::WT_DRAIN_SESSION => (0, 0),
            Self::WT_MAX_DATA
            | Self::WT_MAX_STREAMS_BIDI
            | Self::WT_MAX_STREAMS_UNI
            | Self::WT_DATA_BLOCKED
            | Self::WT_STREAMS_BLOCKED_BIDI
            | Self::WT_STREAMS_BLOCKED_UNI => (1, 8),
            Self::WT_MAX_STREAM_DATA | Self::WT_STREAM_DATA_BLOCKED => (2, 16),
            _ => return None,
        })
    }

    /// Parses the complete value of a WebTransport capsule.
    pub(super) fn webtransport(self, mut value: Bytes) -> Result<Capsule, CapsuleError> {
        let malformed = CapsuleError::Malformed(self);
        if self == Self::WT_DRAIN_SESSION && value.is_empty() {
            return Ok(Capsule::DrainSession);
        }
        if self == Self::WT_CLOSE_SESSION {
            let code = u32::from_be_bytes(*value.first_chunk().ok_or(malformed)?);
            let reason = value.split_off(4);
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16#section-6
            // Both faults of the message make the whole stream malformed.
            if reason.len() > MAX_REASON {
                return Err(CapsuleError::ReasonTooLong);
            }
            if std::str::from_utf8(&reason).is_err() {
                return Err(CapsuleError::ReasonNotUtf8);
            }
            return Ok(Capsule::CloseSession { code, reason });
        }
        let number = varint::take(&mut value).ok_or(malformed)?;
        let capsule = match self {
            Self::WT_MAX_DATA => Capsule::MaxData(number),
            Self::WT_MAX_STREAMS_BIDI => Capsule::MaxStreams(Dir::Bi, number),
            Self::WT_MAX_STREAMS_UNI => Capsule::MaxStreams(Dir::Uni, number),
            Self::WT_DATA_BLOCKED => Capsule::DataBlocked(number),
            Self::WT_STREAMS_BLOCKED_BIDI => Capsule::StreamsBlocked(Dir::Bi, number),
            Self::WT_STREAMS_BLOCKED_UNI => Capsule::StreamsBlocked(Dir::Uni, number),
            Self::WT_MAX_STREAM_DATA => {
                let limit = varint::take(&mut value).ok_or(malformed)?;
                Capsule::MaxStreamData {
                    stream: number,
                    limit,
                }
            }
            Self::WT_STREAM_DATA_BLOCKED => {
                let limit = varint::take(&mut value).ok_or(malformed)?;
                Capsule::StreamDataBlocked {
                    stream: number,
                    limit,
                }
            }
            _ => return Err(malformed),
        };
        if value.is_empty() {
            Ok(capsule)
        } else {
            Err(malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{frame, testing::hex};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    // Test-vectors 6.2.
    #[test]
    fn capsules_encode_as_published() {
        use Dir::{Bi, Uni};
        let n = VarInt::from_u32;
        let close = |code, reason| written(|b| put_close_session(b, code, reason).unwrap());
        let bye = close(17, "bye");
        assert_eq!(bye, hex("6843 07 00000011 627965"));
        assert_eq!(
            [&frame::data_header(bye.len()), &bye[..]].concat(),
            hex("000a684307 00000011 627965")
        );
        assert_eq!(close(0, ""), hex("6843 04 00000000"));
        let drain = written(put_drain_session);
        assert_eq!(
            [&frame::data_header(drain.len()), &drain[..]].concat(),
            hex("0005 800078ae00")
        );
        assert_eq!(
            written(|b| put_max_streams(b, Bi, n(100))),
            hex("990b4d3f 02 4064")
        );
        assert_eq!(
            written(|b| put_max_streams(b, Uni, n(3))),
            hex("990b4d40 01 03")
        );
        assert_eq!(
            written(|b| put_max_streams(b, Uni, n(100))),
            hex("990b4d40 02 4064")
        );
        assert_eq!(
            written(|b| put_max_data(b, n(65536))),
            hex("990b4d3d 04 80010000")
        );
        assert_eq!(
            written(|b| put_max_data(b, n(8 << 20))),
            hex("990b4d3d 04 80800000")
        );
        assert_eq!(
            written(|b| put_data_blocked(b, n(65536))),
            hex("990b4d41 04 80010000")
        );
        assert_eq!(
            written(|b| put_streams_blocked(b, Uni, n(3))),
            hex("990b4d44 01 03")
        );
        assert_eq!(
            written(|b| put_streams_blocked(b, Bi, n(3))),
            hex("990b4d43 01 03")
        );
        assert_eq!(
            [&datagram_header(2), &b"hi"[..]].concat(),
            hex("00 02 6869")
        );
    }

    // Row B16: too long is refused, and shortening keeps characters whole.
    #[test]
    fn close_reasons_are_bounded() {
        let long = "é".repeat(513);
        let mut out = Vec::new();
        assert_eq!(
            put_close_session(&mut out, 1, &long),
            Err(CapsuleError::ReasonTooLong)
        );
        assert!(out.is_empty());
        let fits = truncate_reason(&long);
        assert_eq!(fits.len(), 1024);
        put_close_session(&mut out, 1, fits).unwrap();
        let odd = format!("x{long}");
        assert_eq!(truncate_reason(&odd).len(), 1023);
        assert_eq!(truncate_reason("short"), "short");
    }

    proptest! {
        // Row B16.
        #[test]
        fn truncation_is_the_longest_prefix_that_fits(reason in "\\PC{0,600}") {
            let kept = truncate_reason(&reason);
            prop_assert!(reason.starts_with(kept) && kept.len() <= MAX_REASON);
            if let Some(next) = reason[kept.len()..].chars().next() {
                prop_assert!(kept.len() + next.len_utf8() > MAX_REASON);
            }
        }
    }
}
