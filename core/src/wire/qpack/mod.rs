//! QPACK (RFC 9204): field compression over one stream of table instructions
//! in each direction, without I/O.
//!
//! ```text
//!            our Encoder                              peer's decoder
//!   encode() ───────── field section, request stream ─────────▶
//!   take_output() ──── inserts, encoder stream 0x02 ──────────▶
//!   handle_decoder_stream() ◀── acks, decoder stream 0x03 ─────
//!
//!            our Decoder                              peer's encoder
//!   decode() ◀──────── field section, request stream ──────────
//!   handle_encoder_stream() ◀── inserts, encoder stream 0x02 ──
//!   take_output() ──── acks, decoder stream 0x03 ─────────────▶
//! ```
//!
//! Both halves only change in the calls above and neither knows what a stream
//! is beyond its number. After any call, `has_output` says whether bytes wait
//! for the matching unidirectional stream. Bytes of the two instruction
//! streams may arrive in any chunking.
//!
//! Every error ends the connection: the two tables can no longer be assumed
//! equal, so an [`Encoder`] or [`Decoder`] that failed must not be used again.
//!
//! No call panics on what a peer sends. Memory is bounded: the decoder by its
//! table capacity, its blocked-stream limit and [`MAX_DECODER_BACKLOG`]; the
//! encoder by its capacity, [`MAX_ENCODER_BACKLOG`] and
//! [`MAX_OUTSTANDING_SECTIONS`].

mod decoder;
mod encoder;
mod error;
mod field_line;
mod huffman;
mod huffman_table;
mod instruction;
pub(crate) mod names;
mod prefix_int;
mod references;
mod static_table;
mod table;
mod text;

pub use self::decoder::{Decoded, Decoder, MAX_DECODER_BACKLOG};
pub use self::encoder::{Encoder, MAX_ENCODER_BACKLOG};
pub use self::error::{DecoderStreamReason, DecompressionReason, EncoderStreamReason, QpackError};
#[doc(hidden)]
pub use self::huffman::{code_bits, encode as encode_huffman};
pub use self::references::MAX_OUTSTANDING_SECTIONS;
pub use self::text::Text;

#[cfg(test)]
mod tests;
