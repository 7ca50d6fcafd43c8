//! Exchanges between two ends of QUIC on one thread, TLS included, with queues in the place
//! of sockets: by quinn-proto alone, by endpoints and their drivers, by handles.

mod core;
mod floor;
mod handles;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aqueduct_core::id::Side;

pub use self::core::Core;
pub use self::floor::Floor;
pub use self::handles::Handles;
pub use self::wire::{Counts, Wire};

/// What an exchange sends, and what comes back of a request.
pub const HUNDRED: &[u8] = &[7; 100];
/// What passes after each exchange.
const PAUSE: Duration = Duration::from_micros(100);

/// Two ends, connected, with a session where there are sessions.
pub trait Ends {
    /// So many requests at once, each answered with [`HUNDRED`] bytes.
    fn get(&mut self, at_once: usize);
    /// So many streams at once that carry [`HUNDRED`] bytes, opened, read to the end and
    /// gone.
    fn stream(&mut self, at_once: usize);
    /// So many datagrams at once of [`HUNDRED`] bytes that come back.
    fn datagram(&mut self, at_once: usize);
    /// What an end has sent.
    fn sent(&self, side: Side) -> Counts;
}

/// Nanoseconds that have passed by [`pass`]; for a program whose clock this is.
pub static PASSED: AtomicU64 = AtomicU64::new(0);

/// Lets time pass, in a program whose clock is [`PASSED`].
pub fn pass(time: Duration) {
    PASSED.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
}
