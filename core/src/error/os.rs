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

/// Address family not supported: EAFNOSUPPORT, WSAEAFNOSUPPORT.
const FAMILY: i32 = if cfg!(windows) {
    10047
} else if cfg!(any(target_os = "linux", target_os = "android")) {
    97
} else {
    // What the BSDs and macOS call it.
    47
};

impl OsError {
    /// Of a datagram that was not sent: whether the socket cannot send to that address
    /// whatever it is given, because it is of another family or no address to send to.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        self.code == Some(FAMILY) || self.kind == io::ErrorKind::AddrNotAvailable
    }

    /// The same, or the system has no way to the address at present. A connection that is
    /// begun is as good as refused.
    #[must_use]
    pub fn has_no_way(&self) -> bool {
        self.is_lasting() || self.kind == io::ErrorKind::NetworkUnreachable
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
