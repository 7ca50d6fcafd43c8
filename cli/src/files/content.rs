//! What is sent of an open file.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use bytes::Bytes;

use crate::chunks::CHUNK;

/// A range of an open file, read in chunks.
#[derive(Debug)]
pub struct Content {
    /// At the place where it goes on.
    file: File,
    left: u64,
}

impl Content {
    /// `len` bytes from `offset` on.
    ///
    /// # Errors
    /// The system's, when there is no such place in the file.
    pub(super) fn new(mut file: File, offset: u64, len: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { file, left: len })
    }

    /// How many bytes are left to read.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.left
    }

    /// The next chunk, of at most 64 KiB, or `None` at the end. Blocks on the file system; costs
    /// an allocation.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter than it was.
    pub fn read(&mut self) -> io::Result<Option<Bytes>> {
        let want = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        if want == 0 {
            return Ok(None);
        }
        let mut chunk = Vec::with_capacity(want);
        let count = (&self.file).take(want as u64).read_to_end(&mut chunk)?;
        if count == 0 {
            let missing = format!("{} bytes of the announced length are missing", self.left);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, missing));
        }
        self.left -= count as u64;
        Ok(Some(chunk.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_a_file_is_read_exactly_or_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let whole: Vec<u8> = (0..200_000).map(crate::demo::pattern::byte_at).collect();
        std::fs::write(&path, &whole).unwrap();
        let open = || File::open(&path).unwrap();

        let mut content = Content::new(open(), 10, 150_000).unwrap();
        let (mut read, mut chunks) = (Vec::new(), 0);
        while let Some(chunk) = content.read().unwrap() {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK);
            (read, chunks) = ([read, chunk.to_vec()].concat(), chunks + 1);
        }
        assert_eq!(read, whole[10..150_010]);
        assert!(chunks >= 3);

        let mut short = Content::new(open(), 199_999, 2).unwrap();
        assert_eq!(short.read().unwrap().unwrap().len(), 1);
        let missing = short.read().unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::UnexpectedEof);
    }
}
