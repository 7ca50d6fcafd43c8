//! Bodies in chunks: out of files and standard input, into files and standard output.

use std::io::{self, SeekFrom};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::args::Data;
use crate::exit::{Context as _, Failure};

/// The longest chunk read.
pub const CHUNK: usize = 64 << 10;

/// Something that is read in chunks up to a limit.
pub struct Source {
    from: Box<dyn AsyncRead + Send + Unpin>,
    left: u64,
    /// Whether an end before the limit is an error.
    exact: bool,
}

impl Source {
    /// `len` bytes of a file from `offset` on; fewer are an error.
    pub async fn range(file: std::fs::File, offset: u64, len: u64) -> io::Result<Self> {
        let mut file = File::from_std(file);
        file.seek(SeekFrom::Start(offset)).await?;
        Ok(Self {
            from: Box::new(file),
            left: len,
            exact: true,
        })
    }

    /// The body that `--data` names, and its length if it is known before it is read.
    pub async fn data(data: &Data) -> Result<(Self, Option<u64>), Failure> {
        let unlimited = |from| Self {
            from,
            left: u64::MAX,
            exact: false,
        };
        match data {
            Data::Text(text) => {
                let len = text.len() as u64;
                let text = io::Cursor::new(text.clone().into_bytes());
                Ok((
                    Self {
                        from: Box::new(text),
                        left: len,
                        exact: true,
                    },
                    Some(len),
                ))
            }
            Data::File(path) if path == Path::new("-") => {
                Ok((unlimited(Box::new(tokio::io::stdin())), None))
            }
            Data::File(path) => {
                let open = async {
                    let file = File::open(path).await?;
                    let metadata = file.metadata().await?;
                    Ok::<_, io::Error>((file, metadata))
                };
                let (file, metadata) = open
                    .await
                    .doing(|| format!("cannot read `{}`", path.display()))?;
                if metadata.is_file() {
                    let len = metadata.len();
                    Ok((
                        Self {
                            from: Box::new(file),
                            left: len,
                            exact: true,
                        },
                        Some(len),
                    ))
                } else {
                    // A pipe or a device has no length to announce.
                    Ok((unlimited(Box::new(file)), None))
                }
            }
        }
    }

    /// The next chunk of at most [`CHUNK`] bytes, or `None` at the end. Costs one allocation.
    /// Not cancel-safe: bytes read may be lost.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let want = usize::try_from(self.left).unwrap_or(CHUNK).min(CHUNK);
        if want == 0 {
            return Ok(None);
        }
        let mut chunk = BytesMut::with_capacity(want);
        // The allocation may be larger than asked for, so the limit is set here.
        let count = (&mut self.from)
            .take(want as u64)
            .read_buf(&mut chunk)
            .await?;
        self.left -= count as u64;
        match count {
            0 if self.exact => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} bytes of the announced length are missing", self.left),
            )),
            0 => Ok(None),
            _ => Ok(Some(chunk.freeze())),
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// Where a response's body goes.
pub struct Sink {
    to: Box<dyn AsyncWrite + Send + Unpin>,
    name: String,
}

impl Sink {
    /// Standard output.
    pub fn stdout() -> Self {
        Self {
            to: Box::new(tokio::io::stdout()),
            name: "standard output".to_owned(),
        }
    }

    /// A file, made or emptied.
    pub async fn file(path: &Path) -> Result<Self, Failure> {
        let name = format!("`{}`", path.display());
        let file = File::create(path)
            .await
            .doing(|| format!("cannot create {name}"))?;
        Ok(Self {
            to: Box::new(file),
            name,
        })
    }

    /// Writes all of `chunk`.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.to
            .write_all(chunk)
            .await
            .doing(|| format!("cannot write to {}", self.name))
    }

    /// Reports what a buffer still hides. Must be called at the end.
    pub async fn finish(mut self) -> Result<(), Failure> {
        self.to
            .flush()
            .await
            .doing(|| format!("cannot write to {}", self.name))
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut source: Source) -> io::Result<(Vec<u8>, usize)> {
        let (mut all, mut chunks) = (Vec::new(), 0);
        while let Some(chunk) = source.next().await? {
            assert!(!chunk.is_empty() && chunk.len() <= CHUNK);
            all.extend_from_slice(&chunk);
            chunks += 1;
        }
        Ok((all, chunks))
    }

    #[tokio::test]
    async fn a_range_of_a_file_is_read_exactly_or_fails() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..200_000).map(crate::demo::pattern::byte_at).collect();
        std::fs::write(&path, &content).unwrap();
        let open = || std::fs::File::open(&path).unwrap();

        let (read, chunks) = all(Source::range(open(), 10, 150_000).await.unwrap())
            .await
            .unwrap();
        assert_eq!(read, content[10..150_010]);
        assert!(chunks >= 3);
        let short = all(Source::range(open(), 199_999, 2).await.unwrap())
            .await
            .unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);

        let (source, len) = Source::data(&Data::File(path.clone())).await.unwrap();
        assert_eq!(len, Some(200_000));
        assert_eq!(all(source).await.unwrap().0, content);
        assert!(
            Source::data(&Data::File(dir.path().join("none")))
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn text_goes_in_and_a_file_comes_out() {
        let (source, len) = Source::data(&Data::Text("salve".into())).await.unwrap();
        assert_eq!(len, Some(5));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut sink = Sink::file(&path).await.unwrap();
        sink.write(&all(source).await.unwrap().0).await.unwrap();
        sink.write(b", amice").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"salve, amice");
        let error = Sink::file(&dir.path().join("none/out")).await.unwrap_err();
        assert!(error.to_string().contains("none/out"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_reported_at_the_end() {
        let mut sink = Sink::file(Path::new("/dev/full")).await.unwrap();
        let written = async {
            sink.write(b"x").await?;
            sink.finish().await
        };
        assert!(written.await.unwrap_err().to_string().contains("/dev/full"));
    }
}
