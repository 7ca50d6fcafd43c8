//! The recording of an endpoint: what its connections write down, and when UDP
//! datagrams came and went, to one sink.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aqueduct_core::config::Config;
use aqueduct_core::connection::Observer;
use aqueduct_core::endpoint::{EndpointObserver, ObserverFactory, Way};
use aqueduct_core::id::Side;
use aqueduct_core::quic;

use crate::HEADER;
use crate::tape::{Options, Record, Sink, Tape};
use crate::value::nanos;

/// What a recording of an endpoint is written to. Endpoints can share one: each
/// call of `write` hands over whole lines.
#[non_exhaustive]
pub struct RecordSink {
    /// Where the lines go.
    pub to: Box<dyn Write + Send>,
    /// Number of the endpoint's first connection; the others follow. Endpoints that
    /// share a sink need ranges of their own.
    pub first: u64,
}

impl fmt::Debug for RecordSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordSink")
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}

impl RecordSink {
    /// A sink of one endpoint, whose connections are numbered from 0.
    #[must_use]
    pub fn new(to: impl Write + Send + 'static) -> Self {
        Self {
            to: Box::new(to),
            first: 0,
        }
    }

    /// The same with another number for the first connection.
    #[must_use]
    pub fn first(mut self, number: u64) -> Self {
        self.first = number;
        self
    }
}

/// For [`EndpointConfig::observe`](aqueduct_core::endpoint::EndpointConfig::observe):
/// records all connections of an endpoint for which `sinks` gives a sink. It is asked
/// once by each endpoint. The sink is written to in the middle of everything, so it
/// should buffer; it is flushed when the endpoint is gone. After its first error, which
/// is logged, the recording ends.
pub fn recorder(
    options: Options,
    sinks: impl Fn() -> Option<RecordSink> + Send + Sync + 'static,
) -> Arc<ObserverFactory> {
    Arc::new(move || {
        let recorder = Recorder::new(sinks()?, options);
        Some(Box::new(recorder) as Box<dyn EndpointObserver>)
    })
}

/// Writes what the connections of one endpoint write down.
struct Recorder {
    to: Arc<Shared>,
    options: Options,
    epoch: Option<Instant>,
    next: u64,
}

/// `None` once it has failed.
struct Shared(Mutex<Option<Box<dyn Write + Send>>>);

impl Recorder {
    fn new(RecordSink { to, first }: RecordSink, options: Options) -> Self {
        let recorder = Self {
            to: Arc::new(Shared(Mutex::new(Some(to)))),
            options,
            epoch: None,
            next: first,
        };
        let remark = match options.secrets {
            false => "masked: no keys, no bodies, an x for each letter of values and paths",
            true => "HOLDS SECRETS: everything that was received or sent, but no keys",
        };
        recorder.to.write(&format!("{HEADER}# {remark}\n"));
        recorder
    }

    /// Another connection; `None` once the sink has failed.
    fn begin(&mut self, now: Instant) -> Option<(Record, Sink)> {
        if !self.to.with(|_| Ok(())) {
            return None;
        }
        let epoch = *self.epoch.get_or_insert(now);
        let record = Record::new(self.next, epoch, self.options);
        self.next += 1;
        let to = Arc::clone(&self.to);
        Some((record, Box::new(move |lines: &str| to.write(lines))))
    }
}

impl EndpointObserver for Recorder {
    fn connection(
        &mut self,
        now: Instant,
        side: Side,
        config: &Config,
        seed: u64,
    ) -> Option<Box<dyn Observer>> {
        let (record, sink) = self.begin(now)?;
        Some(Box::new(Tape::new(&record, side, config, seed, sink)))
    }

    fn quic_connection(
        &mut self,
        now: Instant,
        side: Side,
        config: &quic::Config,
    ) -> Option<Box<dyn Observer>> {
        let (record, sink) = self.begin(now)?;
        Some(Box::new(Tape::quic(&record, side, config, sink)))
    }

    fn datagram(&mut self, now: Instant, way: Way, len: usize) {
        let nanos = nanos(*self.epoch.get_or_insert(now), now);
        let way = if way == Way::In { "in" } else { "out" };
        self.to.write(&format!("- udp {nanos} {way} {len}\n"));
    }
}

impl Shared {
    /// False once it has failed.
    fn with(&self, work: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> bool {
        let mut sink = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(to) = &mut *sink
            && let Err(error) = work(to)
        {
            tracing::error!(%error, "the recording cannot be written and ends here");
            *sink = None;
        }
        sink.is_some()
    }

    fn write(&self, lines: &str) {
        self.with(|to| to.write_all(lines.as_bytes()));
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.with(|to| to.flush());
    }
}
