//! What one end has seen: facts by subject, in each subject's order.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Facts by subject (a connection, a request, a session, a stream). The order
/// between subjects is the network's affair and not kept.
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Trace {
    /// Notes a fact.
    pub fn note(&self, subject: impl Into<String>, fact: impl Into<String>) {
        let mut facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        facts.entry(subject.into()).or_default().push(fact.into());
    }

    /// What was noted of a subject.
    #[must_use]
    pub fn of(&self, subject: &str) -> Vec<String> {
        let facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        facts.get(subject).cloned().unwrap_or_default()
    }
}

/// One line per fact.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (subject, facts) in &*facts {
            for fact in facts {
                writeln!(f, "{subject}: {fact}")?;
            }
        }
        Ok(())
    }
}

/// Bytes in one line: their number and FNV-1a, however they were cut.
#[derive(Copy, Clone, Debug)]
pub struct Digest {
    /// How many.
    pub len: usize,
    hash: u64,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            len: 0,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }
}

impl Digest {
    /// Adds the next bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    /// Of bytes that are all there.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut digest = Self::default();
        digest.add(bytes);
        digest
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {:016x}", self.len, self.hash)
    }
}
