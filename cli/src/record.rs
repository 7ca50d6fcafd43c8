//! `--record FILE`: what HTTP/3 is told and does, for `aqueduct replay`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
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

/// Endpoints that share a port, or race for a connection, share the file.
#[derive(Clone, Debug)]
struct Shared {
    file: Arc<Mutex<BufWriter<File>>>,
    endpoints: Arc<AtomicU64>,
    options: Options,
}

impl Recording {
    /// Makes the file, if one is asked for.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(options: &Record) -> Result<Self, Failure> {
        let Some(path) = &options.record else {
            return Ok(Self(None));
        };
        let file = File::create(path).doing(|| format!("cannot record to `{}`", path.display()))?;
        Ok(Self(Some(Shared {
            file: Arc::new(Mutex::new(BufWriter::new(file))),
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

impl Write for Shared {
    /// All of it at once, so that lines stay whole.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(lines)?;
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.flush()
    }
}
