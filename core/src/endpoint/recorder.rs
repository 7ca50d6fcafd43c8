//! The recording of an endpoint: what its connections write down, and when UDP
//! datagrams came and went, to one sink.

use std::fmt;
use std::io::{self, Write};
use std::time::Instant;

use crate::connection::Connection;
use crate::record::call::nanos;
use crate::record::{HEADER, Record, Secrets};

/// Gives an endpoint the sink of its recording; see
/// [`EndpointConfig::record`](super::EndpointConfig::record).
pub type RecordFactory = dyn Fn() -> Option<RecordSink> + Send + Sync;

/// What a recording of an endpoint is written to. Endpoints can share one: each
/// call of `write` hands over whole lines.
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

/// Writes what the connections of one endpoint wrote down.
pub(super) struct Recorder {
    /// `None` once it has failed.
    sink: Option<Box<dyn Write + Send>>,
    secrets: Secrets,
    epoch: Option<Instant>,
    next: u64,
}

impl Recorder {
    pub(super) fn new(sink: RecordSink, secrets: Secrets) -> Self {
        let RecordSink { to, first } = sink;
        let remark = match secrets {
            Secrets::Masked { .. } => {
                "masked: no keys, no bodies, other text for paths, reasons and values of fields"
            }
            Secrets::Whole => "HOLDS SECRETS: everything that was received, but no keys",
        };
        let mut recorder = Self {
            sink: Some(to),
            secrets,
            epoch: None,
            next: first,
        };
        recorder.write(&format!("{HEADER}# {remark}\n"));
        recorder
    }

    /// How the next connection is recorded; it must not have heard anything yet.
    pub(super) fn next(&mut self, now: Instant) -> Record {
        let number = self.next;
        self.next += 1;
        Record {
            number,
            epoch: self.epoch(now),
            secrets: self.secrets.clone(),
        }
    }

    /// Writes what a connection has to tell. One whose lines nobody takes any more
    /// writes no others.
    pub(super) fn take(&mut self, connection: &mut Connection) {
        if self.sink.is_none() {
            return self.finish(connection);
        }
        let lines = connection.take_recorded();
        self.write(&lines);
    }

    /// The same for the last time.
    pub(super) fn finish(&mut self, connection: &mut Connection) {
        let lines = connection.finish_recorded();
        self.write(&lines);
    }

    /// Notes that a UDP datagram came in or went out.
    pub(super) fn datagram(&mut self, now: Instant, way: &str, len: usize) {
        if self.sink.is_none() {
            return;
        }
        let nanos = nanos(self.epoch(now), now);
        self.write(&format!("- udp {nanos} {way} {len}\n"));
    }

    fn epoch(&mut self, now: Instant) -> Instant {
        *self.epoch.get_or_insert(now)
    }

    fn write(&mut self, lines: &str) {
        let Some(sink) = &mut self.sink else { return };
        if let Err(error) = sink.write_all(lines.as_bytes()) {
            self.fail(&error);
        }
    }

    /// Hands everything over to where it stays.
    pub(super) fn flush(&mut self) {
        let Some(sink) = &mut self.sink else { return };
        if let Err(error) = sink.flush() {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        tracing::error!(%error, "the recording cannot be written and ends here");
        self.sink = None;
    }
}
