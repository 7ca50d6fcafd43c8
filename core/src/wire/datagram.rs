//! HTTP Datagrams in QUIC DATAGRAM frames (RFC 9297 section 2.1).

use bytes::Bytes;
use thiserror::Error;

use super::varint::{self, Head, VarInt};
use crate::{
    code::Code,
    id::{Dir, Side, StreamId},
};

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

impl DatagramError {
    /// Error code of the connection close this calls for.
    #[must_use]
    pub const fn code(self) -> Code {
        Code::H3_DATAGRAM_ERROR
    }
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

/// Takes the context id that some protocols put before the payload (RFC 9298
/// section 4). `None` if the payload ends inside it: such a datagram is
/// dropped.
pub fn take_context(payload: &mut Bytes) -> Option<u64> {
    varint::take(payload)
}

/// What precedes the payload of a datagram of `stream` in context `context`.
#[must_use]
pub fn prefix_with_context(stream: StreamId, context: VarInt) -> Head {
    Head::two(quarter(stream), context)
}

/// The number within the class is a quarter of the id, and fits because it is
/// smaller than the id.
fn quarter(stream: StreamId) -> VarInt {
    VarInt::new(stream.number()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{stream_type::request_id, testing::hex};

    fn stream(id: u64) -> StreamId {
        request_id(id).unwrap()
    }

    // Test-vectors 6.2 and the MASQUE one of 7.
    #[test]
    fn datagrams_encode_and_decode_as_published() {
        for (id, wire) in [(0, "00 6869"), (44, "0b 6869"), (256, "4040 6869")] {
            assert_eq!([&prefix(stream(id)), &b"hi"[..]].concat(), hex(wire));
            let decoded = decode(Bytes::from(hex(wire)));
            assert_eq!(decoded, Ok((stream(id), Bytes::from_static(b"hi"))));
        }
        let masque = prefix_with_context(stream(44), VarInt::from_u32(0));
        assert_eq!([&masque, &b"hi"[..]].concat(), hex("0b 00 6869"));
        let (_, mut payload) = decode(Bytes::from(hex("0b 00 6869"))).unwrap();
        assert_eq!(take_context(&mut payload), Some(0));
        assert_eq!(payload, b"hi"[..]);
        assert_eq!(take_context(&mut Bytes::from_static(&[0x40])), None);
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
        assert_eq!(error.code(), Code::H3_DATAGRAM_ERROR);
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
            if let Ok((_, mut payload)) = decode(wire.into()) {
                prop_assert!(payload.len() < len);
                take_context(&mut payload);
            }
        }
    }
}
