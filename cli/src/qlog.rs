//! `--qlog DIR`: a file for the trace of each connection.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aqueduct_tokio::protocol::endpoint::{EndpointConfig, QlogFactory};
use aqueduct_tokio::protocol::id::Side;

use crate::args::Qlog;
use crate::exit::{Context as _, Failure};

/// What a file costs at least: the block it takes, in which its last record has its place.
const FILE: u64 = 4096;

/// The traces of a run. Clones share their limit.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<QlogFactory>>);

impl Traces {
    /// Makes the folder, if traces are asked for.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(options: &Qlog) -> Result<Self, Failure> {
        let Some(folder) = &options.qlog else {
            return Ok(Self(None));
        };
        Ok(Self(Some(factory(folder, options.qlog_limit)?)))
    }

    /// A configuration whose connections are traced.
    #[must_use]
    pub fn of(&self, config: EndpointConfig) -> EndpointConfig {
        match &self.0 {
            Some(factory) => config.qlog(Arc::clone(factory)),
            None => config,
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.0.is_some()).finish()
    }
}

/// Opens a file in `folder`, which is made if need be, for each connection, as long as all of them
/// have at most `limit` bytes together.
fn factory(folder: &Path, limit: u64) -> Result<Arc<QlogFactory>, Failure> {
    fs::create_dir_all(folder).doing(|| format!("cannot make `{}`", folder.display()))?;
    let folder = folder.to_owned();
    let begun = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let count = AtomicU64::new(0);
    let room = Room::new(limit);
    Ok(Arc::new(move |side: Side, remote: SocketAddr| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        if !room.take(FILE) {
            return None;
        }
        // Colons of IPv6 addresses are not for file names everywhere.
        let remote = remote.to_string().replace([':', '[', ']'], "_");
        let path = folder.join(format!("{begun}-{number}-{side}-{remote}.sqlog"));
        match File::create_new(&path) {
            Ok(file) => {
                let trace = Trace::new(BufWriter::new(file), room.clone());
                Some(Box::new(trace) as Box<dyn Write + Send + Sync>)
            }
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "cannot write a trace");
                None
            }
        }
    }))
}

/// Bytes that are left to all traces.
#[derive(Clone)]
struct Room(Arc<(AtomicU64, Once)>);

impl Room {
    fn new(bytes: u64) -> Self {
        Self(Arc::new((AtomicU64::new(bytes), Once::new())))
    }

    /// Takes some. Once it was not enough there is no more for anyone.
    fn take(&self, bytes: u64) -> bool {
        let (left, told) = &*self.0;
        let order = Ordering::Relaxed;
        let taken = left.fetch_update(order, order, |left| left.checked_sub(bytes));
        if taken.is_err() {
            left.store(0, order);
            told.call_once(|| {
                tracing::warn!("the limit of all traces is reached: they end here (--qlog-limit)");
            });
        }
        taken.is_ok()
    }
}

/// A file of whole records. It never fails: what writes a trace would say so for each packet.
struct Trace<W> {
    to: W,
    room: Room,
    begun: Instant,
    /// The record that is not whole yet.
    record: Vec<u8>,
    ended: bool,
}

impl<W: Write> Trace<W> {
    fn new(to: W, room: Room) -> Self {
        Self {
            to,
            room,
            begun: Instant::now(),
            record: Vec::new(),
            ended: false,
        }
    }

    fn put(&mut self) {
        let written = match self.room.take(self.record.len() as u64) {
            true => self.to.write_all(&self.record),
            false => {
                self.ended = true;
                let time = self.begun.elapsed().as_millis();
                let last = format!(
                    "\u{1e}{{\"time\":{time},\"name\":\"loglevel:warning\",\"data\":\
                     {{\"message\":\"the trace ends here: the limit of all is reached\"}}}}\n"
                );
                let written = self.to.write_all(last.as_bytes());
                written.and_then(|()| self.to.flush())
            }
        };
        if let Err(error) = written {
            self.ended = true;
            tracing::warn!(%error, "a trace cannot be written and ends here");
        }
        self.record.clear();
    }
}

impl<W: Write> Write for Trace<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.ended {
            self.record.extend_from_slice(bytes);
            // The end of a record is the only one of a line: JSON has none in its strings.
            if bytes.ends_with(b"\n") {
                self.put();
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_end_with_a_whole_record_at_the_limit_of_all() {
        let room = Room::new(100);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        let record = format!("\u{1e}\"{}\"\n", "x".repeat(46));
        {
            let mut traces = [&mut a, &mut b].map(|to| Trace::new(to, room.clone()));
            for _ in 0..3 {
                for trace in &mut traces {
                    for part in record.as_bytes().chunks(7) {
                        trace.write_all(part).unwrap();
                    }
                }
            }
        }
        for trace in [a, b] {
            let text = String::from_utf8(trace).unwrap();
            let rest = text.strip_prefix(&record).unwrap();
            let last: serde_json::Value =
                serde_json::from_str(rest.strip_prefix('\u{1e}').unwrap()).unwrap();
            assert_eq!(last["name"], "loglevel:warning");
            assert_eq!(rest.lines().count(), 1);
        }
        assert!(!room.take(1));
    }

    #[test]
    fn no_file_is_made_beyond_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let factory = factory(folder.path(), 2 * FILE).unwrap();
        let remote = "[::1]:1".parse().unwrap();
        let made: Vec<_> = (0..3)
            .map(|_| factory(Side::Client, remote).is_some())
            .collect();
        assert_eq!(made, [true, true, false]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
