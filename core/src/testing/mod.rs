//! What tests of this crate and of its users stand on: no sockets, no clock, and
//! everything random from one seed.
//!
//! [`loopback::Loopback`] is a transport without QUIC, [`loopback_pair::LoopbackPair`] two
//! connections joined by it, [`loopback_quic::LoopbackQuic`] two of raw QUIC,
//! [`raw::RawPeer`] one connection against a script.
//! [`watch_all`] has what happens on all of them gone through again.
//! `pair::Pair` joins two real endpoints, QUIC and TLS included, by a simulated network.

#[cfg(feature = "pair")]
pub mod cert;
#[cfg(feature = "pair")]
pub mod faults;
#[cfg(feature = "pair")]
pub mod link;
pub mod loopback;
pub mod loopback_pair;
pub mod loopback_quic;
#[cfg(feature = "quinn")]
pub mod packet_key;
#[cfg(feature = "pair")]
pub mod pair;
pub mod raw;
mod watch;

/// Plaintext of packets on their way between quinn and the cipher, for fuzzing.
#[cfg(feature = "quinn")]
pub mod reset_at {
    pub use crate::endpoint::reset_at::frames::{
        Head, NoRoom, Reset, Verdict, has_resets, receive, send,
    };
    pub use crate::endpoint::reset_at::ledger::Ledger;
}

pub use watch::{Watch, WatchFactory, watch_all};

/// Where virtual time begins. Its value is of no consequence: nothing but
/// differences to it is ever looked at.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "an `Instant` cannot be made in another way"
)]
pub fn epoch() -> std::time::Instant {
    std::time::Instant::now()
}
