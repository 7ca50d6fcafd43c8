//! Codecs: bytes in any chunking in, typed values out. Nothing here knows which
//! streams and sessions there are, or a clock.
//!
//! Rules that hold for every module: no input, however malformed, panics or
//! makes a decoder hold more than the cap it was given; a declared length is
//! never allocated, only what arrived is; skipped payloads are counted, not
//! kept. Every error is a small `Copy` enum; which code it calls for is said once, by
//! the [`Violation`](crate::fault::Violation) it becomes.

pub mod capsule;
pub mod capsule_reader;
pub mod capsule_stream;
pub mod cursor;
pub mod datagram;
pub mod fields;
pub mod frame;
pub mod frame_reader;
pub mod grease;
mod payload;
pub mod priority;
pub mod qpack;
pub mod seen;
pub mod settings;
pub mod sf;
pub mod stream_type;
pub mod varint;

#[cfg(test)]
pub(crate) mod testing;
