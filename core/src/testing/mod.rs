//! What tests of this crate and of its users stand on: no sockets, no clock, one
//! seed.
//!
//! [`Pair`](pair::Pair) joins two real endpoints, QUIC and TLS included, by a
//! simulated network on virtual time.

#[cfg(feature = "quinn")]
pub mod cert;
#[cfg(feature = "quinn")]
pub mod link;
#[cfg(feature = "quinn")]
pub mod pair;
