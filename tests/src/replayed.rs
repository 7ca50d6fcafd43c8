//! Every test on the harness of the core is one of recording and replaying, too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aqueduct_core::config::Config;
use aqueduct_core::connection::Observer;
use aqueduct_core::id::Side;
use aqueduct_core::testing::{Watch, epoch, watch_all};

use aqueduct_record::{HEADER, Options, Record, Recording, Tape};

/// From here on, each connection of a harness of this process is recorded, masked, and
/// replayed when its harness is dropped.
pub fn replay_all() {
    watch_all(|| Box::new(Kept::default()));
}

/// The recording of one harness.
#[derive(Debug, Default)]
struct Kept {
    text: Arc<Mutex<String>>,
    /// Something was taken out: what is left is not gone through.
    taken: bool,
}

impl Kept {
    fn text(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch for Kept {
    fn connection(&mut self, side: Side, config: &Config, seed: u64) -> Box<dyn Observer> {
        if self.text().is_empty() {
            self.text().push_str(HEADER);
        }
        let record = Record::new(side as u64, epoch(), Options::default());
        let text = Arc::clone(&self.text);
        let sink = move |lines: &str| {
            let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
            text.push_str(lines);
        };
        Box::new(Tape::new(&record, side, config, seed, Box::new(sink)))
    }

    #[cfg(feature = "pair")]
    fn endpoint(&mut self) -> Option<Arc<aqueduct_core::endpoint::ObserverFactory>> {
        let text = Arc::clone(&self.text);
        Some(aqueduct_record::recorder(Options::default(), move || {
            let to = Shared(Arc::clone(&text));
            Some(aqueduct_record::RecordSink::new(to))
        }))
    }

    fn take(&mut self) -> String {
        self.taken = true;
        std::mem::take(&mut *self.text())
    }

    fn len(&self) -> usize {
        self.text().len()
    }

    fn check(&mut self, seed: u64) {
        if !self.taken {
            check(&self.text(), seed);
        }
    }
}

/// Goes through a recording.
///
/// # Panics
/// When it does not read, or a connection does not behave as it did.
fn check(text: &str, seed: u64) {
    let result = Recording::read(text).map_err(Into::into).and_then(|file| {
        file.connections()
            .iter()
            .try_for_each(|connection| connection.replay(epoch(), &mut |_, _| {}).map(drop))
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

#[cfg(feature = "pair")]
struct Shared(Arc<Mutex<String>>);

#[cfg(feature = "pair")]
impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
