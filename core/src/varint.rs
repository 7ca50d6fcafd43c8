//! Integers of up to 62 bits, as QUIC and everything above it writes them (RFC 9000
//! section 16).

pub use crate::wire::varint::{Head, OutOfRange, VarInt};
