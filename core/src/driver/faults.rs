//! Errors of a socket: which end it, and how long the others are waited out.

use std::io;
use std::time::{Duration, Instant};

use crate::endpoint::{Endpoint, Transmit};
use crate::error::OsError;

/// Pause after the first failed receive call, and the longest: it doubles with each
/// failure in between.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Errors of single peers in a row before the socket is left alone for
/// [`FIRST_PAUSE`].
pub(super) const PEER_ERRORS: u32 = 16;
/// Failed sends that wait to be told to the endpoint; more are counted only.
const MAX_FAILED: usize = 256;
/// Shortest time between two warnings.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// What a failed call says about the socket.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Says {
    /// Nothing is wrong: nothing is there, or there is no room.
    Nothing,
    /// A peer could not be reached, which some systems tell here.
    Peer,
    /// It fails at present.
    Fails,
    /// It will never work again.
    Gone,
}

/// What an error says. A socket is gone when the system does not know it or does not
/// let it be used (EBADF, ENOTSOCK, ENOTCONN, EPIPE, EOPNOTSUPP and ENOSYS, and what
/// Windows calls so); everything else may pass.
pub(super) fn says(error: &io::Error) -> Says {
    use io::ErrorKind::{
        BrokenPipe, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkUnreachable, NotConnected, Unsupported, WouldBlock,
    };
    match error.kind() {
        WouldBlock | Interrupted => Says::Nothing,
        ConnectionReset | ConnectionRefused | HostUnreachable | NetworkUnreachable => Says::Peer,
        BrokenPipe | NotConnected | Unsupported => Says::Gone,
        _ if error.raw_os_error().is_some_and(is_gone) => Says::Gone,
        _ => Says::Fails,
    }
}

#[cfg(unix)]
fn is_gone(code: i32) -> bool {
    matches!(code, libc::EBADF | libc::ENOTSOCK)
}

/// WSAEBADF, WSAENOTSOCK, WSAESHUTDOWN, WSANOTINITIALISED.
#[cfg(windows)]
fn is_gone(code: i32) -> bool {
    matches!(code, 10009 | 10038 | 10058 | 10093)
}

#[cfg(not(any(unix, windows)))]
fn is_gone(_: i32) -> bool {
    false
}

#[cfg(unix)]
fn is_too_long(code: i32) -> bool {
    code == libc::EMSGSIZE
}

/// WSAEMSGSIZE.
#[cfg(windows)]
fn is_too_long(code: i32) -> bool {
    code == 10040
}

#[cfg(not(any(unix, windows)))]
fn is_too_long(_: i32) -> bool {
    false
}

/// Whether an error of a send is one for which quinn-udp gives up GSO and ECN, and which
/// the system also has for one address alone.
#[cfg(unix)]
pub(super) fn lessens(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO))
}

#[cfg(not(unix))]
pub(super) fn lessens(_: &io::Error) -> bool {
    false
}

/// What went wrong with a socket and was survived.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Failed receive calls since the last one that did not fail.
    in_a_row: u32,
    /// The socket is not asked before.
    pub(super) paused: Option<Instant>,
    /// The endpoint ends something because of what it has not been told yet.
    urgent: bool,
    /// What the endpoint has not been told yet.
    received: Vec<OsError>,
    sent: Vec<(Transmit, OsError)>,
    /// The socket ended while something was sent: the next receive call tells.
    gone: Option<io::Error>,
    warned: Option<Instant>,
    /// Errors since the last warning.
    silent: u64,
}

impl Faults {
    /// Whether the socket may be asked now.
    ///
    /// # Errors
    /// The socket was found to be gone; told once.
    pub(super) fn may_receive(&mut self, now: Instant) -> io::Result<bool> {
        if let Some(error) = self.gone.take() {
            return Err(error);
        }
        if self.paused.is_some_and(|until| now < until) {
            return Ok(false);
        }
        self.paused = None;
        Ok(true)
    }

    /// A receive call did what it should.
    pub(super) fn received(&mut self) {
        self.in_a_row = 0;
    }

    /// A receive call failed.
    ///
    /// # Errors
    /// The same error, if it ends the socket.
    pub(super) fn on_receive(&mut self, now: Instant, error: io::Error) -> io::Result<()> {
        let pause = match says(&error) {
            Says::Gone => return Err(error),
            Says::Nothing => {
                self.received();
                return Ok(());
            }
            // Each of these takes the cause away with it, and peers must not be able to
            // make the socket wait for long.
            Says::Peer if self.in_a_row < PEER_ERRORS => None,
            Says::Peer => Some(FIRST_PAUSE),
            Says::Fails => {
                let doubled = FIRST_PAUSE.saturating_mul(1 << self.in_a_row.min(10));
                Some(doubled.min(LONGEST_PAUSE))
            }
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.paused = pause.and_then(|pause| now.checked_add(pause));
        self.received.push(OsError::from(&error));
        Ok(())
    }

    /// A datagram was not sent, and not because there was no room.
    pub(super) fn on_send(&mut self, transmit: Transmit, error: io::Error) {
        if self.sent.len() < MAX_FAILED {
            let error = OsError::from(&error);
            self.urgent |= error.has_no_way();
            self.sent.push((transmit, error));
        }
        if says(&error) == Says::Gone {
            self.gone = Some(error);
        }
    }

    /// Whether a turn is due at once: the next receive call ends the endpoint, or what the
    /// endpoint is told next ends a connection.
    pub(super) fn is_urgent(&self) -> bool {
        self.gone.is_some() || self.urgent
    }

    /// Tells the endpoint, and now and then the log.
    pub(super) fn tell(&mut self, core: &mut Endpoint, now: Instant) {
        self.urgent = false;
        let mut worst = None;
        for error in self.received.drain(..) {
            core.handle_recv_error(error);
            worst = Some((None, error));
            self.silent += 1;
        }
        for (transmit, error) in self.sent.drain(..) {
            core.handle_send_error(&transmit, error);
            // Whoever tries whether a larger datagram passes expects this.
            if transmit.datagram_size() > 1200 && error.code.is_some_and(is_too_long) {
                continue;
            }
            worst = Some((Some(transmit.remote), error));
            self.silent += 1;
        }
        let Some((remote, error)) = worst else { return };
        if self.warned.is_some_and(|at| now < at + WARN_EVERY) {
            return;
        }
        self.warned = Some(now);
        let errors = std::mem::take(&mut self.silent);
        match remote {
            None => tracing::warn!(%error, errors, "the socket fails to receive"),
            Some(remote) => tracing::warn!(%error, %remote, errors, "the socket fails to send"),
        }
    }
}
