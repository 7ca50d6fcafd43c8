//! Bytes of a stream as lines.

use aqueduct_core::behaviour::Failure;

/// The longest line, in bytes.
const MOST: usize = 1000;

/// The code that a stream is ended with whose line is too long, or no text.
const NONSENSE: u64 = 1;

/// What has come of a line.
#[derive(Default)]
pub(crate) struct Lines(Vec<u8>);

impl Lines {
    /// The lines that end in these bytes.
    ///
    /// # Errors
    /// A line is longer than anybody types, or no text.
    pub(crate) fn take(&mut self, data: &[u8]) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(piece);
            if self.0.len() > MOST {
                return Err(Failure::new(NONSENSE));
            }
            if self.0.ends_with(b"\n") {
                let line = String::from_utf8(std::mem::take(&mut self.0));
                let line = line.map_err(|_| Failure::new(NONSENSE))?;
                lines.push(line.trim_end().to_owned());
            }
        }
        Ok(lines)
    }
}
