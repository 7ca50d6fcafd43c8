//! Waiting for what the core says may be opened later.

use aqueduct_core::error::{CloseReason, RequestError as CoreRequest};
use aqueduct_core::id::Dir;
use aqueduct_core::webtransport::{
    OpenSessionError as CoreSession, OpenStreamError as CoreStream, SessionClose,
};

use crate::connection::ConnHandle;
use crate::error::{OpenSessionError, OpenStreamError, RequestError};
use crate::place::{At, ConnTopic, Place, SessionTopic, state_of};
use crate::shared::{Locked, Step, wait_for};

/// What ends a refusal.
pub(crate) enum Until {
    /// Stream credit of QUIC's.
    Credit,
    /// The handshake, the peer's SETTINGS, or the connection's end.
    Connection,
    /// Stream credit of the session's.
    SessionCredit,
    /// The session's beginning or end.
    Session,
    /// Nothing.
    Never,
}

/// A refusal of the core's.
pub(crate) trait Refusal: Copy {
    fn until(self) -> Until;
}

impl Refusal for CoreRequest {
    fn until(self) -> Until {
        match self {
            Self::Blocked => Until::Credit,
            Self::NotConnected | Self::SettingsNotReceived | Self::Closed => Until::Connection,
            _ => Until::Never,
        }
    }
}

impl Refusal for CoreSession {
    fn until(self) -> Until {
        match self {
            Self::Request(refusal) => refusal.until(),
            _ => Until::Never,
        }
    }
}

impl Refusal for CoreStream {
    fn until(self) -> Until {
        match self {
            Self::Blocked => Until::Credit,
            Self::StreamLimit => Until::SessionCredit,
            Self::SessionPending | Self::SessionGone => Until::Session,
            Self::Closed => Until::Connection,
            _ => Until::Never,
        }
    }
}

/// Why waiting is in vain.
pub(crate) enum Failed<R> {
    Refused(R),
    Session(SessionClose),
    Connection(CloseReason),
}

impl From<Failed<CoreRequest>> for RequestError {
    fn from(failed: Failed<CoreRequest>) -> Self {
        match failed {
            Failed::Refused(why) => Self::Refused(why),
            Failed::Connection(reason) | Failed::Session(SessionClose::Connection(reason)) => {
                Self::Connection(reason)
            }
            // A request waits for no session.
            Failed::Session(_) => Self::Refused(CoreRequest::Closed),
        }
    }
}

impl From<Failed<CoreStream>> for OpenStreamError {
    fn from(failed: Failed<CoreStream>) -> Self {
        match failed {
            Failed::Refused(why) => Self::Refused(why),
            Failed::Session(close) => close.into(),
            Failed::Connection(reason) => Self::Connection(reason),
        }
    }
}

impl From<Failed<CoreSession>> for OpenSessionError {
    fn from(failed: Failed<CoreSession>) -> Self {
        match failed {
            Failed::Refused(why) => Self::Refused(why),
            Failed::Session(close) => close.into(),
            Failed::Connection(reason) => Self::Connection(reason),
        }
    }
}

/// Tries to open something until it worked or waiting is in vain.
pub(crate) async fn open_with<T, R: Refusal>(
    conn: &ConnHandle,
    dir: Dir,
    session: Option<At>,
    mut open: impl FnMut(&mut Locked<'_>) -> Result<T, R>,
) -> Result<T, Failed<R>> {
    wait_for(&conn.shared, |locked| {
        open_step(locked, conn.at, dir, session, &mut open)
    })
    .await
}

/// One try to open something.
pub(crate) fn open_step<T, R: Refusal>(
    locked: &mut Locked<'_>,
    conn: usize,
    dir: Dir,
    session: Option<At>,
    open: impl FnOnce(&mut Locked<'_>) -> Result<T, R>,
) -> Step<Result<T, Failed<R>>> {
    let refusal = match open(locked) {
        Ok(value) => return Step::Done(Ok(value)),
        Err(refusal) => refusal,
    };
    let wait = match (refusal.until(), session) {
        (Until::Credit, _) => Place::Conn(conn, ConnTopic::credit(dir)),
        (Until::Connection, _) => state_of(conn),
        (Until::SessionCredit, Some(at)) => Place::Session(at, SessionTopic::open(dir)),
        (Until::Session, Some(at)) => Place::Session(at, SessionTopic::State),
        _ => return Step::Done(Err(Failed::Refused(refusal))),
    };
    locked.pump();
    let close = session.and_then(|at| locked.stream(at).end.as_ref()?.get());
    if let Some(close) = close {
        return Step::Done(Err(Failed::Session(SessionClose::clone(close))));
    }
    match &locked.conn(conn).closed {
        Some(reason) => Step::Done(Err(Failed::Connection(reason.clone()))),
        None => Step::Wait(wait),
    }
}
