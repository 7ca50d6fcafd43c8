//! Bodies in chunks: out of files and standard input, into files and standard output.

use std::io;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::args::Data;
use crate::draft::{Draft, Kept, Origin};
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
    /// The file that is written in the place of the one asked for.
    draft: Option<Draft>,
}

impl Sink {
    /// Standard output.
    pub fn stdout() -> Self {
        Self {
            to: Box::new(tokio::io::stdout()),
            name: "standard output".to_owned(),
            draft: None,
        }
    }

    /// A file, which gets its name when it is whole: until [`Sink::finish`] there is another beside
    /// it, and what had the name before is what it was. A device or a pipe is written as it is.
    /// What does not become whole is kept as a part, with its origin, and told in `kept`.
    pub async fn file(path: &Path, origin: Origin, kept: Kept) -> Result<Self, Failure> {
        let path = path.to_owned();
        let name = format!("`{}`", path.display());
        Self::opened(name, move || Draft::begin(&path, origin, kept)).await
    }

    /// The same file, begun before: this goes on at the end of its part, which has `len` bytes.
    pub async fn part(
        path: &Path,
        part: &Path,
        len: u64,
        origin: Origin,
        kept: Kept,
    ) -> Result<Self, Failure> {
        let (path, part) = (path.to_owned(), part.to_owned());
        let name = format!("`{}`", path.display());
        let resume = move || Draft::resume(&path, &part, len, origin, kept);
        Self::opened(name, move || {
            resume().map(|(file, draft)| (file, Some(draft)))
        })
        .await
    }

    async fn opened(
        name: String,
        open: impl FnOnce() -> io::Result<(std::fs::File, Option<Draft>)> + Send + 'static,
    ) -> Result<Self, Failure> {
        let doing = || format!("cannot create {name}");
        let opened = tokio::task::spawn_blocking(open).await;
        let (file, draft) = opened.doing(doing)?.doing(doing)?;
        Ok(Self {
            to: Box::new(File::from_std(file)),
            name,
            draft,
        })
    }

    /// Writes all of `chunk`.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), Failure> {
        self.to
            .write_all(chunk)
            .await
            .doing(|| format!("cannot write to {}", self.name))
    }

    /// What is in it so far reaches the file, so that all of it is in the part.
    pub async fn flush(&mut self) {
        if let Err(error) = self.to.flush().await {
            tracing::debug!(%error, name = self.name, "a part misses its end");
        }
    }

    /// Reports what a buffer still hides, and gives a file its name. Must be called at the end.
    pub async fn finish(mut self) -> Result<(), Failure> {
        let name = self.name;
        self.to
            .flush()
            .await
            .doing(|| format!("cannot write to {name}"))?;
        match self.draft {
            Some(draft) => draft.finish().doing(|| format!("cannot create {name}")),
            None => Ok(()),
        }
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

    async fn begun(path: &Path) -> Result<Sink, Failure> {
        let origin = Origin {
            url: "https://a.example/".to_owned(),
            ..Origin::default()
        };
        Sink::file(path, origin, Kept::default()).await
    }

    #[tokio::test]
    async fn a_file_is_read_to_its_end_in_chunks() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let content: Vec<u8> = (0..200_000).map(crate::demo::pattern::byte_at).collect();
        std::fs::write(&path, &content).unwrap();
        let (source, len) = Source::data(&Data::File(path.clone())).await.unwrap();
        assert_eq!(len, Some(200_000));
        let (read, chunks) = all(source).await.unwrap();
        assert!(read == content && chunks >= 4);
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
        let mut sink = begun(&path).await.unwrap();
        sink.write(&all(source).await.unwrap().0).await.unwrap();
        sink.write(b", amice").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"salve, amice");
        let error = begun(&dir.path().join("none/out")).await.unwrap_err();
        assert!(error.to_string().contains("none/out"), "{error}");
    }

    #[tokio::test]
    async fn a_file_has_its_name_when_it_is_whole_and_else_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let mut sink = begun(&path).await.unwrap();
        sink.write(b"half").await.unwrap();
        sink.flush().await;
        assert!(!path.exists());
        drop(sink);
        assert_eq!(std::fs::read(dir.path().join("out.part")).unwrap(), b"half");
        assert_eq!(names(), 2, "and where it came from");

        std::fs::write(&path, "old").unwrap();
        let mut sink = begun(&path).await.unwrap();
        sink.write(b"half").await.unwrap();
        drop(sink);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let mut sink = begun(&path).await.unwrap();
        sink.write(b"new").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(names(), 1);
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn links_and_devices_stay_what_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut sink = begun(&link).await.unwrap();
        sink.write(b"new").await.unwrap();
        sink.finish().await.unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        let sink = begun(Path::new("/dev/null")).await.unwrap();
        assert!(sink.draft.is_none());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_is_reported_at_the_end() {
        let mut sink = begun(Path::new("/dev/full")).await.unwrap();
        let written = async {
            sink.write(b"x").await?;
            sink.finish().await
        };
        assert!(written.await.unwrap_err().to_string().contains("/dev/full"));
    }
}
