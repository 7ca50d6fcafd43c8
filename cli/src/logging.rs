//! Logging to standard error by `-v`, refined by `RUST_LOG`.

use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What a count of `-v` shows: warnings, steps, details, packets.
///
/// The libraries below stay one level quieter than Aqueduct itself, as they log each packet.
fn targets(verbose: u8) -> Targets {
    let (ours, others) = match verbose {
        0 => (LevelFilter::WARN, LevelFilter::ERROR),
        1 => (LevelFilter::INFO, LevelFilter::WARN),
        2 => (LevelFilter::DEBUG, LevelFilter::INFO),
        _ => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    [
        "aqueduct",
        "aqueduct_cli",
        "aqueduct_core",
        "aqueduct_handles",
        "aqueduct_async_std",
        "aqueduct_mio",
        "aqueduct_tokio",
    ]
    .into_iter()
    .fold(Targets::new().with_default(others), |targets, name| {
        targets.with_target(name, ours)
    })
}

/// Starts logging. `rust_log` is the value of `RUST_LOG`, as in `quinn_proto=trace,info`; it wins
/// over `verbose` for the targets it names.
///
/// # Errors
/// The reason why `rust_log` could not be read.
pub fn start(verbose: u8, rust_log: Option<&str>) -> Result<(), String> {
    let mut filter = targets(verbose);
    if let Some(text) = rust_log.filter(|text| !text.is_empty()) {
        let asked: Targets = text.parse().map_err(|error| format!("RUST_LOG: {error}"))?;
        if let Some(level) = asked.default_level() {
            filter = filter.with_default(level);
        }
        filter = filter.with_targets(asked);
    }
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(verbose > 1);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn each_v_shows_one_level_more() {
        let shows = |count, target, level| targets(count).would_enable(target, &level);
        assert!(shows(0, "aqueduct_core::h3", Level::WARN));
        assert!(!shows(0, "aqueduct_core::h3", Level::INFO));
        assert!(shows(1, "aqueduct_cli", Level::INFO));
        assert!(!shows(2, "quinn_proto::connection", Level::DEBUG));
        assert!(shows(3, "quinn_proto::connection", Level::TRACE));
    }
}
