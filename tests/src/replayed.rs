//! Every test on the harness of the core is one of recording and replaying, too: once
//! without secrets, with the same events again, and once with them, to the byte.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use aqueduct_core::config::Config;
use aqueduct_core::connection::{Answer, Input, Observer, Outcome, Path, Seen};
use aqueduct_core::event::Event;
use aqueduct_core::id::{Side, StreamId};
use aqueduct_core::quic;
use aqueduct_core::testing::{Watch, epoch, watch_all};
use aqueduct_record::{HEADER, Options, Record, Recording, ReplayError, Sink, Tape};

/// Length at which the recording with secrets is given up: the time is the test's.
const LONG: usize = 1 << 20;

/// Everything is kept.
fn whole() -> Options {
    Options::default().secrets(true).transport(true)
}

/// From here on, each connection of a harness of this process is recorded, and replayed
/// when its harness is dropped.
pub fn replay_all() {
    watch_all(|| Box::new(Kept::default()));
}

/// Lines of a recording, shared with those who write them.
#[derive(Clone, Debug, Default)]
struct Lines(Arc<Mutex<String>>);

impl Lines {
    fn text(&self) -> MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recording of one end.
    fn record(&self, side: Side, options: Options) -> (Record, Sink) {
        if self.text().is_empty() {
            self.text().push_str(HEADER);
        }
        let record = Record::new(side as u64, epoch(), options);
        let lines = self.clone();
        let sink = move |text: &str| lines.text().push_str(text);
        (record, Box::new(sink))
    }

    fn tape(&self, side: Side, config: &Config, seed: u64, options: Options) -> Tape {
        let (record, sink) = self.record(side, options);
        Tape::new(&record, side, config, seed, sink)
    }

    fn quic_tape(&self, side: Side, config: &quic::Config, options: Options) -> Tape {
        let (record, sink) = self.record(side, options);
        Tape::quic(&record, side, config, sink)
    }
}

/// The recordings of one harness.
#[derive(Debug, Default)]
struct Kept {
    masked: Lines,
    whole: Lines,
    /// Something was taken out: what is left is not gone through.
    taken: bool,
}

impl Watch for Kept {
    fn connection(&mut self, side: Side, config: &Config, seed: u64) -> Box<dyn Observer> {
        Box::new(Both {
            masked: self.masked.tape(side, config, seed, Options::default()),
            whole: Some(self.whole.tape(side, config, seed, whole())),
            lines: self.whole.clone(),
        })
    }

    fn quic_connection(&mut self, side: Side, config: &quic::Config) -> Box<dyn Observer> {
        Box::new(Both {
            masked: self.masked.quic_tape(side, config, Options::default()),
            whole: Some(self.whole.quic_tape(side, config, whole())),
            lines: self.whole.clone(),
        })
    }

    #[cfg(feature = "pair")]
    fn endpoint(&mut self) -> Option<Arc<aqueduct_core::endpoint::ObserverFactory>> {
        let lines = self.masked.clone();
        Some(aqueduct_record::recorder(Options::default(), move || {
            Some(aqueduct_record::RecordSink::new(lines.clone()))
        }))
    }

    fn take(&mut self) -> String {
        self.taken = true;
        std::mem::take(&mut *self.masked.text())
    }

    fn len(&self) -> usize {
        self.masked.text().len()
    }

    fn check(&mut self, seed: u64) {
        if !self.taken {
            check(&self.masked.text(), seed);
        }
        if self.whole.text().len() < LONG {
            check(&self.whole.text(), seed);
        }
    }
}

/// Goes through a recording.
///
/// # Panics
/// When it does not read, or a connection does not behave as it did.
fn check(text: &str, seed: u64) {
    if text.is_empty() {
        return;
    }
    let result = Recording::read(text).map_err(Into::into).and_then(|file| {
        file.connections().iter().try_for_each(|connection| {
            let replayed = connection.replay_transport(epoch(), &mut |_, _| {});
            match replayed {
                Err(ReplayError::NoTransport) => connection.replay(epoch(), &mut |_, _| {}),
                replayed => replayed,
            }
            .map(drop)
        })
    });
    if let Err(error) = result {
        let file = std::env::temp_dir().join(format!("aqueduct-{}-{seed}.rec", std::process::id()));
        let kept = std::fs::write(&file, text);
        panic!(
            "SEED={seed}: the replay of {} ({kept:?}): {error}",
            file.display()
        );
    }
}

/// Both recordings of one connection.
#[derive(Debug)]
struct Both {
    masked: Tape,
    /// Until it is long.
    whole: Option<Tape>,
    lines: Lines,
}

impl Both {
    fn each(&mut self, tell: impl Fn(&mut Tape)) {
        tell(&mut self.masked);
        self.whole.iter_mut().for_each(tell);
    }
}

impl Observer for Both {
    fn input(&mut self, now: Instant, path: Path, input: Input<'_>) {
        if self.lines.text().len() > LONG {
            self.whole = None;
        }
        self.each(|tape| tape.input(now, path, input));
    }

    fn answer(&mut self, answer: Answer<'_>) {
        self.each(|tape| tape.answer(answer));
    }

    fn seen(&mut self, stream: StreamId, what: Seen<'_>) {
        self.each(|tape| tape.seen(stream, what));
    }

    fn outcome(&mut self, outcome: Outcome) {
        self.each(|tape| tape.outcome(outcome));
    }

    fn event(&mut self, event: &Event) {
        self.each(|tape| tape.event(event));
    }
}

#[cfg(feature = "pair")]
impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.text().push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
