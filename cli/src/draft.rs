//! Files that are written beside the name they get when they are whole, and the parts that are left
//! of those that do not become whole.
//!
//! | name | what it is |
//! |---|---|
//! | `.NAME.PID-N.part` | written by a process that runs, or was killed |
//! | `NAME.part` | what came of a transfer that failed |
//! | `NAME.part.json` | where that came from, and its validator |

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde_json::{Value, json};

/// The longest description of a part that is read.
const LONGEST: u64 = 64 << 10;

/// Where a part came from: what has to be the same when it is gone on with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// The URL as it was given.
    pub url: String,
    /// Its entity tag, when that is strong.
    pub etag: Option<String>,
    /// When it was modified, when that is as good as a strong validator.
    pub last_modified: Option<String>,
    /// The length of the whole, in bytes.
    pub total: Option<u64>,
}

impl Origin {
    /// What a condition can be about.
    pub fn validator(&self) -> Option<&str> {
        self.etag.as_deref().or(self.last_modified.as_deref())
    }

    fn to_json(&self) -> Value {
        json!({
            "url": self.url,
            "etag": self.etag,
            "last_modified": self.last_modified,
            "total": self.total,
        })
    }

    /// Reads a description; `None` when this program has not written it.
    fn read(path: &Path) -> Option<Self> {
        if fs::metadata(path).ok()?.len() > LONGEST {
            return None;
        }
        let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let text = |name| value.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            url: text("url")?,
            etag: text("etag"),
            last_modified: text("last_modified"),
            total: value.get("total").and_then(Value::as_u64),
        })
    }
}

/// A part that is left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// Its length, in bytes; not 0.
    pub len: u64,
    /// Where it came from. `None` when nobody knows.
    pub origin: Option<Origin>,
    /// When it was written last, if the system knows.
    pub modified: Option<SystemTime>,
}

impl Part {
    /// What there is of a file: its part, or else the file itself.
    ///
    /// # Errors
    /// When what has the name cannot be looked at.
    pub fn find(path: &Path) -> io::Result<Option<Self>> {
        let becomes = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let [part, description] = names(&becomes);
        for (path, origin) in [(part, Origin::read(&description)), (becomes, None)] {
            match fs::metadata(&path) {
                Ok(it) if it.is_file() && it.len() > 0 => {
                    return Ok(Some(Self {
                        path,
                        len: it.len(),
                        origin,
                        modified: it.modified().ok(),
                    }));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

/// The names of a file's part and of its description.
pub fn names(path: &Path) -> [PathBuf; 2] {
    [".part", ".part.json"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name.into()
    })
}

/// The parts that were left, to be told. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Vec<Part>>>);

impl Kept {
    /// A part takes the place of the one before it.
    fn add(&self, part: Part) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|other| other.path != part.path);
        all.push(part);
    }

    /// Those since the last call that are still there: another try may have gone on with one, or
    /// have had no need of it.
    pub fn take(&self) -> Vec<Part> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = std::mem::take(&mut *all);
        all.retain(|part| part.path.exists());
        all
    }
}

/// A file beside the one that it becomes; a part when it does not.
#[derive(Debug)]
pub struct Draft {
    at: PathBuf,
    becomes: PathBuf,
    origin: Origin,
    kept: Kept,
    done: bool,
}

impl Draft {
    fn new(at: PathBuf, becomes: PathBuf, origin: Origin, kept: Kept) -> Self {
        Self {
            at,
            becomes,
            origin,
            kept,
            done: false,
        }
    }

    /// Opens what is to be written for `path`.
    ///
    /// # Errors
    /// When nothing can be written there.
    pub fn begin(path: &Path, origin: Origin, kept: Kept) -> io::Result<(File, Option<Self>)> {
        let before = fs::metadata(path).ok();
        // Through links, so that they stay what they are.
        let becomes = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let dangling = before.is_none() && fs::symlink_metadata(path).is_ok();
        let special = before.as_ref().is_some_and(|it| !it.is_file());
        let direct = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            options.open(path).map(|file| (file, None))
        };
        let Some(at) = beside(&becomes).filter(|_| !dangling && !special) else {
            return direct();
        };
        let file = match File::create_new(&at) {
            Ok(file) => file,
            // The file may be written, and nothing be made beside it.
            Err(_) if before.is_some() => return direct(),
            Err(error) => return Err(error),
        };
        let draft = Self::new(at, becomes, origin, kept);
        if let Some(before) = before {
            file.set_permissions(before.permissions())?;
        }
        Ok((file, Some(draft)))
    }

    /// Goes on with a part of `path`, which is nobody else's from then on.
    ///
    /// # Errors
    /// When it is not `len` bytes long any more, or cannot be written.
    pub fn resume(
        path: &Path,
        part: &Path,
        len: u64,
        origin: Origin,
        kept: Kept,
    ) -> io::Result<(File, Self)> {
        let becomes = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let at = beside(&becomes).ok_or(io::ErrorKind::InvalidInput)?;
        fs::rename(part, &at)?;
        let draft = Self::new(at, becomes, origin, kept);
        let file = OpenOptions::new().append(true).open(&draft.at)?;
        if file.metadata()?.len() != len {
            return Err(io::Error::other("somebody else has written to its part"));
        }
        Ok((file, draft))
    }

    /// Gives the file its name. A part from before is of no use any more.
    ///
    /// # Errors
    /// When the name cannot be given.
    pub fn finish(mut self) -> io::Result<()> {
        fs::rename(&self.at, &self.becomes)?;
        self.done = true;
        let [part, description] = names(&self.becomes);
        // Nobody else writes such descriptions.
        if Origin::read(&description).is_some() {
            let _ = fs::remove_file(part);
            let _ = fs::remove_file(description);
        }
        Ok(())
    }

    fn keep(&self) -> io::Result<()> {
        let len = fs::metadata(&self.at)?.len();
        // What has no origin is not worth keeping: an answer that tells of an error.
        if len == 0 || self.origin.url.is_empty() {
            return fs::remove_file(&self.at);
        }
        let [part, description] = names(&self.becomes);
        // A description of another part is worse than none.
        match fs::remove_file(&description) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&self.at, &part)?;
        self.kept.add(Part {
            path: part,
            len,
            origin: Some(self.origin.clone()),
            modified: None,
        });
        fs::write(description, format!("{}\n", self.origin.to_json()))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = self.keep()
        {
            tracing::warn!(%error, path = %self.at.display(), "what was begun is left");
        }
    }
}

/// A place that nobody has: of this process, and of this file in it.
fn beside(path: &Path) -> Option<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // File names have an end, too.
    let name = path.file_name()?.to_string_lossy();
    let name = crate::output::beginning(&name, 180);
    let name = format!(".{name}.{}-{number}.part", std::process::id());
    Some(path.with_file_name(OsString::from(name)))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn origin() -> Origin {
        Origin {
            url: "https://a.example/x".to_owned(),
            etag: Some("\"1\"".to_owned()),
            last_modified: None,
            total: Some(8),
        }
    }

    #[test]
    fn a_part_is_kept_with_its_origin_and_becomes_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let kept = Kept::default();
        let (mut file, draft) = Draft::begin(&path, origin(), kept.clone()).unwrap();
        file.write_all(b"half").unwrap();
        drop((file, draft));
        let told = kept.take();
        assert_eq!(
            (told[0].path.clone(), told[0].len),
            (path.with_extension("part"), 4)
        );

        let part = Part::find(&path).unwrap().unwrap();
        assert_eq!((part.len, part.origin.clone()), (4, Some(origin())));
        let (mut file, draft) =
            Draft::resume(&path, &part.path, 4, origin(), kept.clone()).unwrap();
        assert!(Part::find(&path).unwrap().is_none(), "it is somebody's");
        file.write_all(b"full").unwrap();
        draft.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"halffull");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(kept.take().is_empty());
    }

    #[test]
    fn a_part_that_somebody_wrote_to_is_not_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "from curl").unwrap();
        let part = Part::find(&path).unwrap().unwrap();
        assert_eq!((part.len, part.origin), (9, None));
        let error = Draft::resume(&path, &part.path, 8, origin(), Kept::default()).unwrap_err();
        assert!(error.to_string().contains("somebody else"), "{error}");
        assert_eq!(fs::read(path.with_extension("part")).unwrap(), b"from curl");
    }

    #[test]
    fn nothing_is_no_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        drop(Draft::begin(&path, origin(), Kept::default()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Part::find(&path).unwrap().is_none());
    }
}
