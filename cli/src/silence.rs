//! Waiting until nothing has come for a while.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Waits until nothing has come for so long, since `from` or, without, since now.
pub async fn silence(heard: &mut watch::Receiver<Instant>, quiet: Duration, from: Option<Instant>) {
    let begun = from.unwrap_or_else(Instant::now);
    loop {
        let until = begun.max(*heard.borrow_and_update()) + quiet;
        tokio::select! {
            () = sleep_until(until) => return,
            // Who is heard is there as long as anybody waits.
            Ok(()) = heard.changed() => {}
        }
    }
}
