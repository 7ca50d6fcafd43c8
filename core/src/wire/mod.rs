//! Codecs: bytes in any chunking in, typed values out. Nothing here knows a
//! stream, a session or a clock.
pub mod fields;
pub mod qpack;
