//! An attacker on raw QUIC streams, the servers it attacks, and an honest client beside it.
//!
//! ```text
//!  soak, trial ── report       one attack on one server, or all of them mixed; what is measured
//!      │
//!  attacks/*                   one file an attack
//!      │
//!  flood, drip                 what several attacks do with a stream
//!      │
//!  attacker    honest          keeps connections up and calls the attack; 325 requests a second
//!      │         │
//!     net ── conn ── wire      a socket, its connections, bytes by hand
//!
//!  server                      a child process: memory, counters, whether it lives
//! ```
#![deny(unsafe_op_in_unsafe_fn)]

pub mod attacker;
pub mod attacks;
pub mod conn;
pub mod drip;
pub mod flood;
pub mod heap;
pub mod honest;
pub mod limits;
pub mod net;
pub mod report;
pub mod server;
pub mod soak;
pub mod trial;
pub mod wire;
