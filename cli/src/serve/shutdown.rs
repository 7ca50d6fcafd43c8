//! The moment from which on nobody is waited for.

use tokio::sync::watch;

/// Told once to all who wait for it.
#[derive(Debug)]
pub(super) struct Shutdown(watch::Sender<bool>);

impl Shutdown {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// It is now.
    pub(super) fn tell(&self) {
        self.0.send_replace(true);
    }

    /// Waits for it. Cancel-safe.
    pub(super) async fn came(&self) {
        // The sender is there as long as anybody can ask.
        let _ = self.0.subscribe().wait_for(|told| *told).await;
    }
}
