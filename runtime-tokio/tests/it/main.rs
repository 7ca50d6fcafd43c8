//! The tokio API over real sockets on loopback, both ends in one process.

mod endings;
mod harness;
mod requests;
mod streams;
#[cfg(feature = "tower")]
mod tower;
