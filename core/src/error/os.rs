//! What the operating system says, in a value that can be kept and compared.

use std::fmt;
use std::io;

/// An error of a system call.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub struct OsError {
    /// Which kind of error, where the standard library tells.
    pub kind: io::ErrorKind,
    /// The system's own number, where it gave one: `errno` or `WSAGetLastError`.
    pub code: Option<i32>,
}

impl OsError {
    /// The error with a number of this system's; 0 for one without.
    #[must_use]
    pub fn new(code: i32) -> Self {
        match code {
            0 => Self::from(&io::Error::from(io::ErrorKind::Other)),
            code => Self::from(&io::Error::from_raw_os_error(code)),
        }
    }
}

impl From<&io::Error> for OsError {
    fn from(error: &io::Error) -> Self {
        Self {
            kind: error.kind(),
            code: error.raw_os_error(),
        }
    }
}

impl From<io::Error> for OsError {
    fn from(error: io::Error) -> Self {
        Self::from(&error)
    }
}

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => io::Error::from_raw_os_error(code).fmt(f),
            None => self.kind.fmt(f),
        }
    }
}
