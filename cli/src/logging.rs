//! Logging to standard error by `-v`, refined by `RUST_LOG`.
//!
//! What a log line says may be a peer's: each value is escaped and cut here, whoever logged it. And
//! whoever causes lines does not have the program wait for their reader: they go through an
//! [`Outlet`].

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};

use aqueduct_tokio::protocol::escape::{LIMIT, escaped};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::outlet::Outlet;
use crate::output::beginning;

/// The longest message, in bytes; values beside it have [`LIMIT`] each.
const MESSAGE: usize = 1000;
/// The longest line, in bytes.
const LINE: usize = 4096;

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
/// over `verbose` for the targets it names. Lines go to `to`.
///
/// # Errors
/// The reason why `rust_log` could not be read.
pub fn start(verbose: u8, rust_log: Option<&str>, to: &'static Outlet) -> Result<(), String> {
    let mut filter = targets(verbose);
    if let Some(text) = rust_log.filter(|text| !text.is_empty()) {
        let asked: Targets = text.parse().map_err(|error| format!("RUST_LOG: {error}"))?;
        if let Some(level) = asked.default_level() {
            filter = filter.with_default(level);
        }
        filter = filter.with_targets(asked);
    }
    let lines = tracing_subscriber::fmt::layer()
        .fmt_fields(Plain)
        .with_writer(move || Line(to))
        .with_ansi(io::stderr().is_terminal())
        .with_target(verbose > 1);
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init()
        .map_err(|error| error.to_string())
}

/// Writes each field as text that a terminal shows and does not obey.
struct Plain;

impl<'a> FormatFields<'a> for Plain {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'a>, fields: R) -> fmt::Result {
        let mut visitor = Values {
            writer,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Values<'a> {
    writer: Writer<'a>,
    first: bool,
    result: fmt::Result,
}

impl Visit for Values<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.result.is_err() {
            return;
        }
        let space = if self.first { "" } else { " " };
        self.first = false;
        self.result = match field.name() {
            "message" => write!(self.writer, "{space}{}", plain(value, MESSAGE)),
            name => {
                let name = name.trim_start_matches("r#");
                let (dim, plainly) = match self.writer.has_ansi_escapes() {
                    true => ("\u{1b}[3m", "\u{1b}[0m"),
                    false => ("", ""),
                };
                let value = plain(value, LIMIT);
                write!(self.writer, "{space}{dim}{name}{plainly}={value}")
            }
        };
    }
}

/// A value in at most `limit` bytes. O(`limit`), however long its text is.
fn plain(value: &dyn fmt::Debug, limit: usize) -> String {
    let mut text = Beginning {
        text: String::new(),
        room: limit + 1,
    };
    // It fails where the text is long enough.
    let _ = write!(text, "{value:?}");
    escaped(&text.text).limit(limit).to_string()
}

/// The beginning of a text; an error when there is more.
struct Beginning {
    text: String,
    room: usize,
}

impl fmt::Write for Beginning {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let fits = beginning(more, self.room);
        self.text.push_str(fits);
        self.room -= fits.len();
        match fits.len() == more.len() {
            true => Ok(()),
            false => Err(fmt::Error),
        }
    }
}

/// One line on its way to the outlet.
struct Line(&'static Outlet);

impl io::Write for Line {
    /// A whole line at once, which is how the formatter hands it over.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let cut = match line.len() {
            0..=LINE => line.to_vec(),
            _ => format!("{}…\n", beginning(&String::from_utf8_lossy(line), LINE)).into_bytes(),
        };
        // Lines without room are counted there, and there is no better place to say that
        // standard error is gone.
        let _ = self.0.push(cut);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

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

    /// What is logged, as it comes to standard error.
    fn logged(log: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Page(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Page {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let page = Page::default();
        let outlet = Outlet::start(page.clone(), 1 << 20, |_| String::new()).unwrap();
        let outlet = outlet.for_ever();
        let lines = tracing_subscriber::fmt::layer()
            .fmt_fields(Plain)
            .with_writer(move || Line(outlet))
            .with_ansi(false)
            .without_time();
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, log);
        assert_eq!(outlet.flush(Duration::from_secs(60)), 0);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn values_and_messages_are_escaped_and_cut() {
        let hostile = "\u{1b}[2J\u{9b}31m\u{202e}\nERROR forged";
        let long = "x".repeat(10_000);
        let text = logged(|| {
            let _span = tracing::info_span!("a span", of = %hostile).entered();
            tracing::warn!(path = hostile, reason = %hostile, n = 3, "said {hostile}");
            tracing::warn!(%long, "{long}");
        });
        let lines: Vec<_> = text.lines().collect();
        let shown = r"\u{1b}[2J\u{9b}31m\u{202e}\nERROR forged";
        let [first, second] = lines[..] else {
            panic!("{text}")
        };
        assert!(first.contains(&format!("a span{{of={shown}}}")), "{first}");
        assert!(
            first.contains(&format!("said {shown} path=\"{shown}\" reason={shown} n=3")),
            "{first}"
        );
        assert!(
            second.ends_with(&format!("long={}…", "x".repeat(LIMIT - 3))),
            "{second}"
        );
        assert!(
            second.contains(&format!("{}… ", "x".repeat(MESSAGE - 3))),
            "{second}"
        );
    }

    #[test]
    fn a_line_has_an_end() {
        let value = "y".repeat(LIMIT);
        let text = logged(|| {
            tracing::warn!(
                a = %value, b = %value, c = %value, d = %value, e = %value, f = %value,
                g = %value, h = %value, i = %value, j = %value, k = %value, l = %value,
                m = %value, n = %value, o = %value, p = %value, q = %value, r = %value,
                s = %value, t = %value, u = %value, v = %value, w = %value, x = %value,
                "many",
            );
        });
        assert_eq!((text.len(), text.lines().count()), (LINE + "…\n".len(), 1));
        assert!(text.ends_with("y…\n"), "{text}");
    }
}
