//! Whoever can go through a test again looks on at every test: what a connection did
//! on this harness is done again, and compared, when the harness is dropped.

use std::fmt::Debug;
use std::sync::OnceLock;

use crate::config::Config;
use crate::connection::Observer;
use crate::id::Side;
use crate::quic;

/// Looks on at one harness.
pub trait Watch: Debug + Send {
    /// Looks on at a connection that begins.
    fn connection(&mut self, side: Side, config: &Config, seed: u64) -> Box<dyn Observer>;

    /// Looks on at a connection of raw QUIC that begins.
    fn quic_connection(&mut self, side: Side, config: &quic::Config) -> Box<dyn Observer>;

    /// Looks on at an endpoint that is made.
    #[cfg(feature = "pair")]
    fn endpoint(&mut self) -> Option<std::sync::Arc<crate::endpoint::ObserverFactory>> {
        None
    }

    /// What was written down since the last call.
    fn take(&mut self) -> String;

    /// Bytes written down since the last `take`.
    fn len(&self) -> usize;

    /// Whether nothing was.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Goes through what was written down; all connections are gone.
    ///
    /// # Panics
    /// When they do not do the same again.
    fn check(&mut self, seed: u64);
}

/// Makes whoever looks on.
pub type WatchFactory = fn() -> Box<dyn Watch>;

static FACTORY: OnceLock<WatchFactory> = OnceLock::new();

/// From here on, every harness of this process is looked at. The first call counts.
pub fn watch_all(factory: WatchFactory) {
    FACTORY.get_or_init(|| factory);
}

/// Whoever looks on at a harness, if anybody does.
pub(super) fn watch() -> Option<Box<dyn Watch>> {
    FACTORY.get().map(|factory| factory())
}
