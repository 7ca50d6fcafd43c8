//! HTTP Datagrams in QUIC DATAGRAM frames (RFC 9297 section 2.1).

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

use super::varint::{self, Head, OutOfRange, VarInt};
use crate::id::{Dir, Side, StreamId};

/// Largest quarter stream id, 2^60 - 1.
pub const MAX_QUARTER_ID: u64 = (1 << 60) - 1;

/// Why a QUIC DATAGRAM cannot be an HTTP Datagram. Both are connection errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DatagramError {
    /// It ends before its quarter stream id does.
    #[error("datagram ends inside its quarter stream id")]
    TooShort,
    /// A quarter stream id above 2^60 - 1.
    #[error("quarter stream id {0} is above 2^60 - 1")]
    QuarterIdTooLarge(u64),
}

/// Splits a QUIC DATAGRAM into the request stream it belongs to and its
/// payload, a slice that may be empty.
///
/// # Errors
/// [`DatagramError`] if the front is no quarter stream id.
pub fn decode(mut datagram: Bytes) -> Result<(StreamId, Bytes), DatagramError> {
    //= https://www.rfc-editor.org/rfc/rfc9297#section-2.1
    // Stream ids end at 2^62 - 1, so a quarter of one ends at 2^60 - 1.
    let quarter = varint::take(&mut datagram).ok_or(DatagramError::TooShort)?;
    if quarter > MAX_QUARTER_ID {
        return Err(DatagramError::QuarterIdTooLarge(quarter));
    }
    Ok((StreamId::new(Side::Client, Dir::Bi, quarter), datagram))
}

/// What precedes the payload of a datagram of `stream`, a request stream.
#[must_use]
pub fn prefix(stream: StreamId) -> Head {
    Head::one(quarter(stream))
}

/// What precedes the payload of a datagram of `stream` in a context.
#[must_use]
pub fn prefix_with_context(stream: StreamId, context: ContextId) -> Head {
    Head::two(quarter(stream), context.0)
}

/// The number that some protocols put before a datagram's payload (RFC 9298 section
/// 4), 0 to 2^62 - 1: which of several uses of one request it is for.
///
/// ```
/// use aqueduct_core::datagram::ContextId;
/// use bytes::Bytes;
///
/// let (context, payload) = ContextId::split(Bytes::from_static(b"\x02hello"))?;
/// assert_eq!((context, &payload[..]), (ContextId::from_u32(2), &b"hello"[..]));
/// # Ok::<_, aqueduct_core::datagram::NoContext>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextId(VarInt);

impl ContextId {
    /// Context 0, which needs no registration: whole payloads of the protocol.
    pub const ZERO: Self = Self::from_u32(0);

    /// Checks the bound.
    ///
    /// # Errors
    /// [`OutOfRange`] above 2^62 - 1.
    pub const fn new(id: u64) -> Result<Self, OutOfRange> {
        match VarInt::new(id) {
            Ok(id) => Ok(Self(id)),
            Err(error) => Err(error),
        }
    }

    /// Every `u32` fits.
    #[must_use]
    pub const fn from_u32(id: u32) -> Self {
        Self(VarInt::from_u32(id))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// Bytes it takes in a datagram: 1, 2, 4 or 8.
    #[expect(clippy::len_without_is_empty, reason = "a number, not a container")]
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Splits a received payload into the context id at its front and what it is for,
    /// a slice that may be empty.
    ///
    /// # Errors
    /// [`NoContext`] if the payload ends before the id does.
    //= https://www.rfc-editor.org/rfc/rfc9298#section-4
    // The id has no length of its own: it is whatever the first byte says.
    pub fn split(mut payload: Bytes) -> Result<(Self, Bytes), NoContext> {
        let id = varint::take(&mut payload).ok_or(NoContext)?;
        // What was decoded can be encoded.
        Ok((Self(VarInt::new(id).unwrap_or_default()), payload))
    }

    /// Its shortest encoding, on the stack; dereferences to the bytes.
    #[must_use]
    pub fn encode(self) -> Head {
        Head::one(self.0)
    }
}

impl fmt::Display for ContextId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A datagram ends before its context id does. It is dropped, or the request ended:
/// the protocol decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Error)]
#[error("the datagram ends inside its context id")]
pub struct NoContext;

/// The number within the class is a quarter of the id, and fits because it is
/// smaller than the id.
fn quarter(stream: StreamId) -> VarInt {
    VarInt::new(stream.number()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        code::Code,
        wire::testing::{code, hex},
    };

    fn stream(id: u64) -> StreamId {
        StreamId::from_wire(id).unwrap()
    }

    // Test-vectors 6.2 and the MASQUE one of 7.
    #[test]
    fn datagrams_encode_and_decode_as_published() {
        for (id, wire) in [(0, "00 6869"), (44, "0b 6869"), (256, "4040 6869")] {
            assert_eq!([&prefix(stream(id)), &b"hi"[..]].concat(), hex(wire));
            let decoded = decode(Bytes::from(hex(wire)));
            assert_eq!(decoded, Ok((stream(id), Bytes::from_static(b"hi"))));
        }
        let (prefix, context) = (prefix(stream(44)), ContextId::ZERO.encode());
        let masque = [&prefix, &context, &b"hi"[..]].concat();
        assert_eq!(masque, hex("0b 00 6869"));
        let (_, payload) = decode(Bytes::from(hex("0b 00 6869"))).unwrap();
        let (context, payload) = ContextId::split(payload).unwrap();
        assert_eq!((context.get(), payload), (0, Bytes::from_static(b"hi")));
        for short in [&[][..], &[0x40], &[0xc0; 7]] {
            assert_eq!(ContextId::split(Bytes::from_static(short)), Err(NoContext));
        }
        assert!(ContextId::new(1 << 62).is_err());
    }

    #[test]
    fn short_and_oversized_prefixes_are_connection_errors() {
        for short in ["", "40", "c00000000000"] {
            assert_eq!(
                decode(Bytes::from(hex(short))),
                Err(DatagramError::TooShort)
            );
        }
        let largest = decode(Bytes::from(hex("cfffffffffffffff"))).unwrap();
        assert_eq!(largest, (stream((1 << 62) - 4), Bytes::new()));
        let error = decode(Bytes::from(hex("d000000000000000"))).unwrap_err();
        assert_eq!(error, DatagramError::QuarterIdTooLarge(1 << 60));
        assert_eq!(code(error), Code::H3_DATAGRAM_ERROR);
    }

    proptest! {
        #[test]
        fn round_trips(number in 0..1_u64 << 60, body in prop::collection::vec(any::<u8>(), 0..50)) {
            let id = StreamId::new(Side::Client, Dir::Bi, number);
            let wire = [&prefix(id), &body[..]].concat();
            prop_assert_eq!(decode(wire.into()), Ok((id, Bytes::from(body))));
        }

        // Row A20.
        #[test]
        fn random_bytes_never_panic(wire in prop::collection::vec(any::<u8>(), 0..20)) {
            let len = wire.len();
            if let Ok((_, payload)) = decode(wire.into()) {
                prop_assert!(payload.len() < len);
                if let Ok((context, rest)) = ContextId::split(payload.clone()) {
                    prop_assert!(context.len() == context.encode().len());
                    prop_assert!(rest.len() < payload.len() && payload.ends_with(&rest));
                }
            }
        }
    }
}
