//! Every test on this harness is one of recording and replaying, too: what a
//! connection did is gone through again when the harness is dropped.

use std::sync::Arc;
#[cfg(feature = "pair")]
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::config::Config;
use crate::connection::Connection;
use crate::id::Side;
#[cfg(feature = "pair")]
use crate::record::HEADER;
use crate::record::{Record, Secrets};
use crate::replay::Recording;

/// A recorded connection. The key of its mask repeats with the seed.
pub(super) fn recorded(side: Side, config: Config, seed: u64) -> Connection {
    let record = Record {
        number: side as u64,
        epoch: super::epoch(),
        secrets: Secrets::Masked {
            key: [seed, seed ^ 1],
        },
    };
    Connection::recorded(side, Arc::new(config), seed, &record)
}

/// The recording of an endpoint, gone through when this is dropped, which has to be
/// after the endpoint.
#[cfg(feature = "pair")]
#[derive(Debug)]
pub(super) struct Kept {
    sender: Sender<Vec<u8>>,
    lines: Receiver<Vec<u8>>,
    seed: u64,
}

#[cfg(feature = "pair")]
impl Kept {
    pub(super) fn new(seed: u64) -> Self {
        let (sender, lines) = channel();
        Self {
            sender,
            lines,
            seed,
        }
    }

    pub(super) fn factory(&self) -> Arc<crate::endpoint::RecordFactory> {
        let sender = self.sender.clone();
        Arc::new(move || {
            let to = Box::new(Sink(sender.clone()));
            Some(crate::endpoint::RecordSink { to, first: 0 })
        })
    }

    /// What has been recorded since the last call.
    pub(super) fn take(&self) -> String {
        let bytes: Vec<u8> = self.lines.try_iter().flatten().collect();
        String::from_utf8(bytes).expect("recordings are text")
    }
}

#[cfg(feature = "pair")]
impl Drop for Kept {
    fn drop(&mut self) {
        let text = self.take();
        // What was taken was taken to be looked at.
        if text.starts_with(HEADER) && !std::thread::panicking() {
            check(&text, self.seed);
        }
    }
}

#[cfg(feature = "pair")]
struct Sink(Sender<Vec<u8>>);

#[cfg(feature = "pair")]
impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .send(bytes.to_vec())
            .map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Goes through a recording.
///
/// # Panics
/// When it does not read, or a connection does not behave as it did.
pub(super) fn check(text: &str, seed: u64) {
    let result = Recording::read(text).map_err(Into::into).and_then(|file| {
        file.connections()
            .iter()
            .try_for_each(|connection| connection.replay(super::epoch(), &mut |_, _| {}).map(drop))
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
