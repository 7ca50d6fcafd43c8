//! Bodies in chunks: out of files and standard input, into files and standard output.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

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
    pub async fn file(path: &Path) -> Result<Self, Failure> {
        let name = format!("`{}`", path.display());
        let doing = || format!("cannot create {name}");
        let path = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || Draft::begin(&path)).await;
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

/// A file beside the one that it becomes; gone when it does not.
struct Draft {
    at: PathBuf,
    becomes: PathBuf,
    done: bool,
}

impl Draft {
    /// Opens what is to be written for `path`.
    fn begin(path: &Path) -> io::Result<(std::fs::File, Option<Self>)> {
        let before = std::fs::metadata(path).ok();
        // Through links, so that they stay what they are.
        let becomes = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let dangling = before.is_none() && std::fs::symlink_metadata(path).is_ok();
        let special = before.as_ref().is_some_and(|it| !it.is_file());
        let direct = || {
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true);
            options.open(path).map(|file| (file, None))
        };
        let Some(name) = becomes.file_name().filter(|_| !dangling && !special) else {
            return direct();
        };
        let at = becomes.with_file_name(beside(name));
        let file = match std::fs::File::create_new(&at) {
            Ok(file) => file,
            // The file may be written, and nothing be made beside it.
            Err(_) if before.is_some() => return direct(),
            Err(error) => return Err(error),
        };
        let draft = Self {
            at,
            becomes,
            done: false,
        };
        if let Some(before) = before {
            file.set_permissions(before.permissions())?;
        }
        Ok((file, Some(draft)))
    }

    fn finish(mut self) -> io::Result<()> {
        std::fs::rename(&self.at, &self.becomes)?;
        self.done = true;
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = std::fs::remove_file(&self.at)
        {
            tracing::warn!(%error, path = %self.at.display(), "what was begun is left");
        }
    }
}

/// A name that nobody has: of this process, and of this file in it.
fn beside(name: &std::ffi::OsStr) -> std::ffi::OsString {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // File names have an end, too.
    let name = name.to_string_lossy();
    let name = crate::output::beginning(&name, 180);
    format!(".{name}.{}-{number}.part", std::process::id()).into()
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
        let mut sink = Sink::file(&path).await.unwrap();
        sink.write(&all(source).await.unwrap().0).await.unwrap();
        sink.write(b", amice").await.unwrap();
        sink.finish().await.unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"salve, amice");
        let error = Sink::file(&dir.path().join("none/out")).await.unwrap_err();
        assert!(error.to_string().contains("none/out"), "{error}");
    }

    #[tokio::test]
    async fn a_file_has_its_name_when_it_is_whole_and_else_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let names = || std::fs::read_dir(dir.path()).unwrap().count();
        let mut sink = Sink::file(&path).await.unwrap();
        sink.write(b"half").await.unwrap();
        assert!(!path.exists());
        drop(sink);
        assert_eq!(names(), 0);

        std::fs::write(&path, "old").unwrap();
        let mut sink = Sink::file(&path).await.unwrap();
        sink.write(b"half").await.unwrap();
        drop(sink);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        let mut sink = Sink::file(&path).await.unwrap();
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
        let mut sink = Sink::file(&link).await.unwrap();
        sink.write(b"new").await.unwrap();
        sink.finish().await.unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        let sink = Sink::file(Path::new("/dev/null")).await.unwrap();
        assert!(sink.draft.is_none());
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
