//! The tokio API over real sockets on loopback, both ends in one process.

mod endings;
#[cfg(all(feature = "quic-lb", target_os = "linux"))]
mod group;
mod harness;
mod requests;
mod streams;
#[cfg(feature = "tower")]
mod tower;
