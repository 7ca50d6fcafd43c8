//! For the servers: what they are configured with.

use std::time::Duration;

use aqueduct_tokio::protocol::config::Config;

/// The defaults; with the argument `brisk`, the deadlines are short enough to be seen by an
/// attack of a few seconds.
#[must_use]
pub fn config() -> Config {
    let mut config = Config::default();
    if std::env::args().any(|arg| arg == "brisk") {
        let limits = &mut config.limits;
        limits.head_timeout = Duration::from_millis(500);
        limits.section_timeout = Duration::from_millis(500);
        limits.early_timeout = Duration::from_millis(500);
        limits.close_timeout = Duration::from_millis(300);
        limits.idle_timeout = Duration::from_millis(500);
        limits.progress_window = Duration::from_secs(1);
    }
    config
}
