//! `--record FILE`: what HTTP/3 is told and does, for `aqueduct replay`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aqueduct_record::{Options, RecordSink, recorder};
use aqueduct_tokio::protocol::endpoint::EndpointConfig;

use crate::args::Record;
use crate::exit::{Context as _, Failure};

/// Connections of each endpoint are numbered from a million more.
const NUMBERS: u64 = 1_000_000;

/// The file of a recording. What is left in memory is written when the last clone is gone.
#[derive(Clone, Debug, Default)]
pub struct Recording(Option<Shared>);

/// The last line of a recording that was ended by its limit.
const LAST: &str = "# the recording ends here: its limit is reached (--record-limit)\n";

/// The file, up to its limit.
#[derive(Debug)]
struct Sheet {
    file: BufWriter<File>,
    /// Bytes that may follow; `None` after the last line.
    room: Option<u64>,
}

/// Endpoints that share a port, or race for a connection, share the file.
#[derive(Clone, Debug)]
struct Shared {
    sheet: Arc<Mutex<Sheet>>,
    endpoints: Arc<AtomicU64>,
    options: Options,
}

impl Recording {
    /// Makes the file, if one is asked for. What holds something stays as it is: a recording may be
    /// the only one of its kind.
    ///
    /// # Errors
    /// When it cannot be made, or holds something.
    pub fn begin(options: &Record) -> Result<Self, Failure> {
        let Some(path) = &options.record else {
            return Ok(Self(None));
        };
        let file = open(path).doing(|| format!("cannot record to `{}`", path.display()))?;
        Ok(Self(Some(Shared {
            sheet: Arc::new(Mutex::new(Sheet {
                file: BufWriter::new(file),
                room: Some(options.record_limit),
            })),
            endpoints: Arc::default(),
            options: Options::default()
                .secrets(options.record_secrets)
                .transport(options.record_transport),
        })))
    }

    /// A configuration whose endpoints are recorded.
    #[must_use]
    pub fn of(&self, config: EndpointConfig) -> EndpointConfig {
        let Some(shared) = &self.0 else {
            return config;
        };
        let sinks = shared.clone();
        config.observe(recorder(shared.options, move || {
            let number = sinks.endpoints.fetch_add(1, Ordering::Relaxed);
            Some(RecordSink::new(sinks.clone()).first(number * NUMBERS))
        }))
    }

    /// Whether anything is recorded.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Writes what is left in memory: endpoints may outlive the program's work in tasks that nobody
    /// waits for.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&self) -> Result<(), Failure> {
        let Some(shared) = &self.0 else { return Ok(()) };
        let mut shared = shared.clone();
        shared
            .flush()
            .doing(|| "cannot write the recording".to_owned())
    }
}

/// A file without content, or what is no file.
fn open(path: &Path) -> io::Result<File> {
    // Not cut off: that is what this is about.
    let mut options = File::options();
    let file = options
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() > 0 {
        let why = "there is something in it: move it away, or name another file";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
    }
    Ok(file)
}

impl Write for Shared {
    /// All of it at once, so that lines stay whole. After an error the endpoint that wrote tells it
    /// and writes no more.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut sheet = self.sheet.lock().unwrap_or_else(PoisonError::into_inner);
        let full = || io::Error::other("its limit is reached (--record-limit)");
        let room = sheet.room.ok_or_else(full)?;
        let after = room.checked_sub(lines.len() as u64);
        match after.filter(|after| *after >= LAST.len() as u64) {
            Some(after) => {
                sheet.room = Some(after);
                sheet.file.write_all(lines)?;
                Ok(lines.len())
            }
            None => {
                sheet.room = None;
                sheet.file.write_all(LAST.as_bytes())?;
                sheet.file.flush()?;
                Err(full())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut sheet = self.sheet.lock().unwrap_or_else(PoisonError::into_inner);
        sheet.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn shared(limit: u64) -> (tempfile::TempDir, Shared) {
        let folder = tempfile::tempdir().unwrap();
        let options = Record {
            record: Some(folder.path().join("file")),
            record_limit: limit,
            record_secrets: false,
            record_transport: false,
        };
        let Recording(Some(shared)) = Recording::begin(&options).unwrap() else {
            panic!("it is asked for");
        };
        (folder, shared)
    }

    #[test]
    fn what_is_recorded_stays() {
        let (folder, mut shared) = shared(1 << 20);
        shared.write_all(b"of value").unwrap();
        shared.flush().unwrap();
        let path = folder.path().join("file");
        let options = Record {
            record: Some(path.clone()),
            record_limit: 1 << 20,
            record_secrets: false,
            record_transport: false,
        };
        let failure = Recording::begin(&options).unwrap_err().to_string();
        assert!(failure.contains("there is something in it"), "{failure}");
        assert_eq!(fs::read(path).unwrap(), b"of value");
    }

    #[test]
    fn a_recording_is_as_long_as_its_limit_and_no_longer() {
        let limit = 200 + LAST.len() as u64;
        let line = "x".repeat(99) + "\n";
        for (last, fits) in [(100, true), (101, false)] {
            let (folder, mut shared) = shared(limit);
            let written = |shared: &mut Shared, len: usize| shared.write(&vec![b'y'; len]);
            shared.write_all(line.as_bytes()).unwrap();
            assert_eq!(written(&mut shared, last).is_ok(), fits);
            // Whoever shares the file is told, too.
            written(&mut shared.clone(), 1).unwrap_err();
            written(&mut shared, 1).unwrap_err();
            let text = fs::read_to_string(folder.path().join("file")).unwrap();
            assert_eq!(text.len() as u64, if fits { limit } else { limit - 100 });
            assert!(text.starts_with(&line) && text.ends_with(LAST), "{text}");
        }
    }
}
