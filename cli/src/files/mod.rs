//! Static files: from a request to a status, fields and a range of an open file.
//!
//! [`Root::plan`] does everything but send: the caller copies [`Body::File`] to the stream in
//! chunks, with [`Content::read`]. Both block on the file system, so an async caller has them done
//! by [`Share::work`].
//!
//! Nothing outside the folder is served. A path with `..`, an encoded separator, NUL or a backslash
//! is refused before the file system is asked; the path found is resolved through every symbolic
//! link and must lie within the folder; and what was opened must be the file that lies there, so
//! that exchanging a folder for a link between the two steps gains nothing.

mod conditional;
mod content;
mod mime;
mod path;
mod places;
mod range;

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

pub use content::Content;
pub use places::{Place, Places, Share};

use conditional::{Outcome, Validators};
use range::Ranged;

use crate::throttle::Throttle;

/// A folder whose files are served.
#[derive(Clone, Debug)]
pub struct Root {
    folder: PathBuf,
}

/// How to answer a request.
#[derive(Debug)]
pub struct Plan {
    /// The response's status.
    pub status: StatusCode,
    /// The response's fields, `content-length` among them.
    pub fields: HeaderMap,
    /// The response's body; empty for HEAD.
    pub body: Body,
}

/// The body of a [`Plan`].
#[derive(Debug)]
pub enum Body {
    /// No body.
    Empty,
    /// A short explanation.
    Text(Bytes),
    /// A file, or a range of one.
    File(Content),
}

impl Root {
    /// Opens a folder.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = fs::canonicalize(folder)?;
        if !fs::metadata(&folder)?.is_dir() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a folder"));
        }
        Ok(Self { folder })
    }

    /// Decides how to answer. `path` and `query` are those of the request target, still encoded.
    /// Blocks on the file system.
    pub fn plan(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
        fields: &HeaderMap,
    ) -> Plan {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut plan = explain(StatusCode::METHOD_NOT_ALLOWED);
            plan.fields
                .insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return plan;
        }
        let mut plan = match self.find(path, query) {
            Ok(Found::File(found)) => answer(found, method, fields),
            Ok(Found::MovedTo(location)) => moved(&location),
            Err(status) => explain(status),
        };
        if *method == Method::HEAD {
            plan.body = Body::Empty;
        }
        plan
    }

    fn find(&self, path: &str, query: Option<&str>) -> Result<Found, StatusCode> {
        let asked = path::parse(path).map_err(|_| StatusCode::BAD_REQUEST)?;
        let mut candidate = self.folder.clone();
        candidate.extend(&asked.segments);
        let real = self.resolve(&candidate)?;
        let metadata = fs::metadata(&real).map_err(|error| status_of(&error))?;
        if metadata.is_dir() {
            if !asked.folder {
                return Ok(Found::MovedTo(asked.with_slash(query)));
            }
            return self
                .open_file(&candidate.join("index.html"))
                .map(Found::File);
        }
        if asked.folder {
            // `/file.txt/` names something within a file.
            return Err(StatusCode::NOT_FOUND);
        }
        self.open_file(&candidate).map(Found::File)
    }

    /// Follows every link; what lies outside looks like what does not exist.
    fn resolve(&self, candidate: &Path) -> Result<PathBuf, StatusCode> {
        let real = fs::canonicalize(candidate).map_err(|error| status_of(&error))?;
        if real.starts_with(&self.folder) {
            Ok(real)
        } else {
            Err(StatusCode::NOT_FOUND)
        }
    }

    fn open_file(&self, candidate: &Path) -> Result<FoundFile, StatusCode> {
        let real = self.resolve(candidate)?;
        // Opening a named pipe would block until someone writes to it.
        let before = fs::metadata(&real).map_err(|error| status_of(&error))?;
        if !before.is_file() {
            return Err(StatusCode::NOT_FOUND);
        }
        let file = File::open(&real).map_err(|error| status_of(&error))?;
        let metadata = file.metadata().map_err(|error| status_of(&error))?;
        // Somebody who may write to the folder could have put a link in place of a part of `real`
        // before it was opened. What is open is served only if it is also what lies, without any
        // link, at a place within the folder.
        let again = self.resolve(&real)?;
        let there = fs::symlink_metadata(&again).map_err(|error| status_of(&error))?;
        if !metadata.is_file() || !same_file(&metadata, &there) {
            return Err(StatusCode::NOT_FOUND);
        }
        let content_type = mime::content_type(candidate);
        Ok(FoundFile {
            file,
            metadata,
            content_type,
        })
    }
}

enum Found {
    File(FoundFile),
    MovedTo(String),
}

struct FoundFile {
    file: File,
    metadata: Metadata,
    content_type: &'static str,
}

fn answer(found: FoundFile, method: &Method, asked: &HeaderMap) -> Plan {
    let FoundFile {
        file,
        metadata,
        content_type,
    } = found;
    let total = metadata.len();
    let validators = Validators::new(total, metadata.modified().ok(), SystemTime::now());

    let mut fields = HeaderMap::new();
    validators.write(&mut fields);
    fields.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match conditional::evaluate(asked, &validators) {
        Outcome::Proceed => {}
        Outcome::NotModified => {
            return Plan {
                status: StatusCode::NOT_MODIFIED,
                fields,
                body: Body::Empty,
            };
        }
        Outcome::Failed => return explain(StatusCode::PRECONDITION_FAILED),
    }

    //= https://www.rfc-editor.org/rfc/rfc9110#section-14.2
    // Range is defined for GET only; with an If-Range that does not match it is ignored.
    let ranged = if *method == Method::GET && conditional::range_applies(asked, &validators) {
        range::parse(asked.get(header::RANGE), total)
    } else {
        Ranged::Whole
    };
    let (status, offset, len) = match ranged {
        Ranged::Whole => (StatusCode::OK, 0, total),
        Ranged::Part { offset, len } => {
            let last = offset + len - 1;
            insert(
                &mut fields,
                header::CONTENT_RANGE,
                &format!("bytes {offset}-{last}/{total}"),
            );
            (StatusCode::PARTIAL_CONTENT, offset, len)
        }
        Ranged::Unsatisfiable => {
            let mut plan = explain(StatusCode::RANGE_NOT_SATISFIABLE);
            insert(
                &mut plan.fields,
                header::CONTENT_RANGE,
                &format!("bytes */{total}"),
            );
            return plan;
        }
    };
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    fields.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    fields.insert(header::CONTENT_LENGTH, len.into());
    let body = if len == 0 {
        Body::Empty
    } else {
        match Content::new(file, offset, len) {
            Ok(content) => Body::File(content),
            Err(error) => return explain(status_of(&error)),
        }
    };
    Plan {
        status,
        fields,
        body,
    }
}

/// There is no place for one more open file.
#[must_use]
pub fn busy(method: &Method) -> Plan {
    let mut plan = explain(StatusCode::SERVICE_UNAVAILABLE);
    if *method == Method::HEAD {
        plan.body = Body::Empty;
    }
    plan
}

/// A response whose body is its status in words.
fn explain(status: StatusCode) -> Plan {
    let text = Bytes::from(format!("{status}\n"));
    let mut fields = HeaderMap::new();
    fields.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    fields.insert(header::CONTENT_LENGTH, text.len().into());
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.6.4
    // With Retry-After, as this passes.
    if status == StatusCode::SERVICE_UNAVAILABLE {
        fields.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Plan {
        status,
        fields,
        body: Body::Text(text),
    }
}

fn moved(location: &str) -> Plan {
    let mut plan = explain(StatusCode::MOVED_PERMANENTLY);
    insert(&mut plan.fields, header::LOCATION, location);
    plan
}

/// Inserts a value made of visible ASCII; the callers make no other.
fn insert(fields: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        fields.insert(name, value);
    }
}

fn status_of(error: &io::Error) -> StatusCode {
    match error.kind() {
        io::ErrorKind::PermissionDenied => StatusCode::FORBIDDEN,
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput => StatusCode::NOT_FOUND,
        // A loop of links has no stable kind yet.
        _ if error.raw_os_error() == Some(ELOOP) => StatusCode::NOT_FOUND,
        _ => {
            if let Some(count) = UNREADABLE.occasion() {
                tracing::warn!(%error, count, "cannot read a file");
            }
            match error.raw_os_error() {
                Some(code) if cfg!(unix) && SCARCE.contains(&code) => {
                    StatusCode::SERVICE_UNAVAILABLE
                }
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            }
        }
    }
}

/// Files that could not be read, of all clients.
static UNREADABLE: Throttle = Throttle::new();

/// Want of memory, and too many open files in the system or the process: 12, 23 and 24 on every
/// Unix.
const SCARCE: [i32; 3] = [12, 23, 24];

/// "Too many symbolic links": 40 on Linux, 62 on macOS and the BSDs; unused on Windows.
const ELOOP: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };

#[cfg(unix)]
fn same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Windows has no stable file index in `std`; a link has another size and age than what it names,
/// and creating one needs a privilege there.
#[cfg(not(unix))]
fn same_file(a: &Metadata, b: &Metadata) -> bool {
    a.file_type() == b.file_type()
        && a.len() == b.len()
        && a.modified().ok() == b.modified().ok()
        && a.created().ok() == b.created().ok()
}

#[cfg(test)]
mod tests;
