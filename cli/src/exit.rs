//! Exit codes, and failures that know theirs.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// Why the program ends, as its exit code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for was done.
    Ok = 0,
    /// The network, the protocol, a local file, or a check failed.
    Failure = 1,
    /// The command line was wrong. clap uses the same number.
    Usage = 2,
    /// A certificate was not trusted, or could not be loaded or made.
    Certificate = 3,
    /// The server answered with an error status: 400 or above to a request, any but 2xx to a
    /// session.
    Refused = 4,
    /// SIGHUP came. Shells give a process that a signal ended 128 and the signal's number.
    Hangup = 129,
    /// SIGINT, or Ctrl-C.
    Interrupt = 130,
    /// SIGTERM, or Ctrl-Break.
    Terminate = 143,
}

/// The text of `--help` about exit codes.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  network, protocol, file or check failure
  2  wrong usage
  3  certificate not trusted, or not usable
  4  the server answered with an error status, or refused the session
  129, 130, 143  SIGHUP, SIGINT, SIGTERM came before it was done";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Whether a request may be sent again after a failure.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Again {
    /// It would fail again, or nobody knows.
    #[default]
    No,
    /// It may succeed. The server may have acted upon it, so only what can be repeated is.
    Idempotent,
    /// It may succeed, and the server has done nothing yet.
    Safe,
}

impl Again {
    /// As programs read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Idempotent => "idempotent",
            Self::Safe => "safe",
        }
    }
}

/// A failure to show to the user: what was being done, why it failed, and the exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    again: Again,
    doing: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    /// A failure that this program found itself.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            again: Again::No,
            doing: what.into(),
            source: None,
        }
    }

    /// A failure with a cause.
    pub fn because(
        exit: Exit,
        doing: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            exit,
            again: Again::No,
            doing: doing.into(),
            source: Some(source.into()),
        }
    }

    /// The same, after which a request may be sent again as told.
    #[must_use]
    pub fn or(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    /// The same, for another who has met with it.
    #[must_use]
    pub fn repeated(&self) -> Self {
        Self::new(self.exit, self.to_string()).or(self.again)
    }

    /// Whether a request may be sent again after this.
    pub fn again(&self) -> Again {
        self.again
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for Failure {
    /// The whole chain on one line, causes after colons. A cause that its parent already prints is
    /// not repeated.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)?;
        let mut said = self.doing.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
                said = text;
            }
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Adds what was being done to any error.
pub trait Context<T> {
    /// Turns an error into a [`Failure`] with [`Exit::Failure`].
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn Error + Send + Sync>>> Context<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure::because(Exit::Failure, what(), error))
    }
}

/// Whether a QUIC transport error code is a TLS alert about a certificate.
///
//= https://www.rfc-editor.org/rfc/rfc9001#section-4.8
/// QUIC carries a TLS alert as 0x100 plus the alert's number; those of certificates are in
/// RFC 8446 section 6.
pub fn is_certificate_alert(transport_code: u64) -> bool {
    const ALERTS: [u64; 9] = [
        42,  // bad_certificate
        43,  // unsupported_certificate
        44,  // certificate_revoked
        45,  // certificate_expired
        46,  // certificate_unknown
        48,  // unknown_ca
        113, // bad_certificate_status_response
        114, // bad_certificate_hash_value
        116, // certificate_required
    ];
    transport_code
        .checked_sub(0x100)
        .is_some_and(|alert| ALERTS.contains(&alert))
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_failure_prints_its_causes_once() {
        let inner = Failure::because(
            Exit::Failure,
            "cannot read `x`",
            io::Error::new(io::ErrorKind::NotFound, "no such file"),
        );
        let outer = Failure::because(Exit::Certificate, "cannot start", inner);
        assert_eq!(
            outer.to_string(),
            "cannot start: cannot read `x`: no such file"
        );
        assert_eq!(outer.exit(), Exit::Certificate);
    }

    #[test]
    fn certificate_alerts_are_told_from_others() {
        assert!(is_certificate_alert(0x100 + 48));
        assert!(is_certificate_alert(0x12e));
        assert!(!is_certificate_alert(0x100 + 40)); // handshake_failure
        assert!(!is_certificate_alert(0x100 + 120)); // no_application_protocol
        assert!(!is_certificate_alert(48));
    }
}
