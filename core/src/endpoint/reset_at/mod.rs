//! RESET_STREAM_AT (draft-ietf-quic-reliable-stream-reset) on a quinn-proto without it.
//!
//! ```text
//!   QuinnTransport ── streams.rs   what is reset, read and given back
//!         │
//!     ledger.rs                    what both ends have said of resets
//!         │
//!   tls.rs ── key.rs ── frames.rs  parameters; plaintext of packets, between quinn and the AEAD
//!
//!     shared.rs    the ledger, for all three
//! ```
//!
//! quinn drops transport parameters that it does not know and closes a connection for a
//! frame that it does not know. But it leaves TLS and packet protection to traits. So a
//! session of ours says the parameter and reads it, and keys of ours see each packet
//! between quinn and the cipher.
//!
//! **Received**, a RESET_STREAM_AT becomes an empty STREAM frame that ends the stream at
//! its final size, in place and never longer. quinn then does what it does with an end:
//! it opens the stream, checks size and credit, and says that the stream is readable. It
//! does not take the stream for finished, since bytes before that end never come. The
//! layer above reads up to the reliable size, is told of the reset with the final size,
//! and quinn is told to stop the stream, which gives slot and credit back at once.
//!
//! **Sent**, a reset is quinn's own; on its way into a packet each RESET_STREAM of a stream
//! whose header must arrive becomes a STREAM frame with the header and a RESET_STREAM_AT
//! behind it. So the header travels with the reset each time that quinn repeats it, and
//! nothing has to know what was acknowledged. The packet grows by that: the keys say that
//! their tag is longer, by the *room* that the resets on their way need all together, for a
//! loss may put them all into one packet. What is not used of it is padding. Resets wait
//! while there is no more room.
//!
//! The day that quinn-proto has the frame, this folder goes.

pub(crate) mod frames;
mod key;
pub(crate) mod ledger;
mod shared;
pub(super) mod streams;
pub(crate) mod tls;

/// The transport parameter that says that the frame is understood.
//= https://www.ietf.org/archive/id/draft-ietf-quic-reliable-stream-reset-10.html#section-3
// Empty; it has this number for good.
pub(super) const PARAMETER: u64 = 0x1d;

/// Its number in drafts 05 to 07, which some peers know alone.
pub(super) const OLDER_PARAMETER: u64 = 0x17_f758_6d2c_b571;

/// Bytes of a stream that can be made to arrive with its reset, at most: a header of
/// WebTransport's has 10.
pub(super) const MAX_HEAD: usize = 16;

/// Keys as one connection has them, for benches.
#[cfg(feature = "testing")]
pub(crate) fn wrapped(
    keys: [Box<dyn rustls::quic::PacketKey>; 2],
) -> [Box<dyn quinn_proto::crypto::PacketKey>; 2] {
    let shared = std::sync::Arc::new(shared::Shared::new(crate::id::Side::Client));
    keys.map(|key| key::Key::boxed(key, &shared))
}

#[cfg(all(test, feature = "pair"))]
mod tests;
