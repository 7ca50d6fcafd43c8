//! The request for a WebTransport session, on either side.

use std::sync::Arc;

use aqueduct_core::connection::{Access, Peek};
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::head::ResponseHead;
use aqueduct_core::id::{SessionKey, Side};
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionClose};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Uri};

use super::{Session, SessionHandle};
use crate::connection::{ConnHandle, Connection};
use crate::error::{AcceptError, OpenSessionError, RejectError};
use crate::half::Half;
use crate::place::{Place, SessionTopic};
use crate::shared::{Locked, Step, wait_for};
use crate::table::Answer;

/// A client's wish for a session (server).
///
/// Dropping it without an answer rejects it with status 500.
#[derive(Debug)]
pub struct SessionRequest {
    pending: PendingSession,
    request: ConnectRequest,
}

impl SessionRequest {
    pub(crate) fn new(
        conn: &Arc<ConnHandle>,
        locked: &mut Locked<'_>,
        key: SessionKey,
        at: usize,
        request: ConnectRequest,
    ) -> Self {
        Self {
            pending: PendingSession::new(conn, locked, key, at),
            request,
        }
    }

    /// What is asked for: scheme, authority and path.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.request.uri
    }

    /// The other fields of the request.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.request.headers
    }

    /// The `origin` field, if there is exactly one and it is visible ASCII.
    /// Browsers always send it; check it where it matters.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        self.request.origin()
    }

    /// The application protocols the client offers, the preferred first; empty when
    /// it offers none (draft-ietf-webtrans-http3-16 §3.3).
    #[must_use]
    pub fn protocols(&self) -> &[String] {
        &self.request.protocols
    }

    /// Its connection.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection::of(&self.pending.half().conn)
    }

    /// Waits until the client gives the request up, or the connection ends, and tells
    /// how; `None` once it was rejected. When it was accepted, that is how the session
    /// ends, as [`Session::closed`] tells it.
    ///
    /// Borrows nothing, so that it goes beside other work in a `select!`, and any
    /// number of tasks may wait. Until it is ready or dropped it counts as a handle of
    /// the session. Cancel safe.
    pub fn cancelled(&self) -> impl Future<Output = Option<SessionClose>> + Send + 'static + use<> {
        let half = self.pending.half();
        let half = half.again(&mut half.conn.lock());
        async move {
            wait_for(&half.conn.shared, |locked| {
                if let Some(close) = locked.ended(half.at) {
                    return Step::Done(Some(close));
                }
                let session = &locked.stream(half.at).session;
                if session.as_ref().is_some_and(|session| session.over) {
                    return Step::Done(None);
                }
                Step::Wait(Place::Session(half.at, SessionTopic::State))
            })
            .await
        }
    }

    /// Accepts with status 200 and no further fields. Streams and datagrams that
    /// the client sent ahead are waiting in the session.
    ///
    /// # Errors
    /// [`AcceptError::Gone`] when the client has given up.
    pub fn accept(self) -> Result<Session, AcceptError> {
        self.accept_with(ConnectAnswer::default())
    }

    /// Accepts with one of the application [`protocols`](Self::protocols) the client
    /// offers.
    ///
    /// # Errors
    /// [`AcceptError::ProtocolNotOffered`] for another one, and as for
    /// [`accept_with`](Self::accept_with).
    pub fn accept_with_protocol(self, protocol: &str) -> Result<Session, AcceptError> {
        self.accept_with(ConnectAnswer::new().protocol(protocol))
    }

    /// Accepts with an answer of its own: status, fields, application protocol.
    ///
    /// # Errors
    /// [`AcceptError::ProtocolNotOffered`] for an answer with a protocol that the
    /// client did not offer, [`AcceptError::InvalidHead`] for an answer that cannot be sent, and as
    /// for [`accept`](Self::accept). The request is rejected with status 500
    /// when there is still somebody to tell.
    pub fn accept_with(mut self, answer: ConnectAnswer) -> Result<Session, AcceptError> {
        let half = self.pending.half();
        let accept = half.conn.lock().core(half.conn.key, |core| {
            core.webtransport(self.pending.key).accept(&answer)
        });
        accept.unwrap_or(Err(AcceptError::Gone)).map(|()| {
            self.pending
                .establish(own(&self.request.uri), Box::new(answer))
        })
    }

    /// Rejects with a status of 300 to 599.
    ///
    /// # Errors
    /// [`RejectError::InvalidStatus`] for another status; the request is
    /// rejected with status 500 then.
    pub fn reject(mut self, status: StatusCode) -> Result<(), RejectError> {
        self.pending
            .reject(&ResponseHead::new(status), Bytes::new())
    }

    /// Rejects with fields and content that say why. The content is held until
    /// the client takes it: keep it short.
    ///
    /// # Errors
    /// As for [`reject`](Self::reject), and [`RejectError::InvalidHead`] for
    /// fields that HTTP/3 does not allow.
    pub fn reject_with(mut self, response: Response<Bytes>) -> Result<(), RejectError> {
        let (parts, content) = response.into_parts();
        let head = ResponseHead::from_http(Response::from_parts(parts, ()));
        self.pending.reject(&head, content)
    }
}

/// A session that is not established: its drop takes it back.
#[derive(Debug)]
pub(crate) struct PendingSession {
    key: SessionKey,
    /// Taken when the session is established or answered.
    half: Option<Half>,
    server: bool,
}

impl PendingSession {
    pub(crate) fn new(
        conn: &Arc<ConnHandle>,
        locked: &mut Locked<'_>,
        key: SessionKey,
        at: usize,
    ) -> Self {
        let server = locked.conn(conn.at).side == Side::Server;
        Self {
            key,
            half: Some(Half::new(conn, locked, at, key.stream())),
            server,
        }
    }

    fn half(&self) -> &Half {
        self.half
            .as_ref()
            .expect("taken by the methods that consume the value only")
    }

    fn establish(&mut self, uri: Uri, answer: Box<ConnectAnswer>) -> Session {
        let half = self
            .half
            .take()
            .expect("taken by the methods that consume the value only");
        let look = |core: &mut Peek<'_, QuinnTransport<'_>>| core.session_stats(self.key);
        let stats = half.conn.lock().peek(half.conn.key, look);
        let says = !answer.headers.is_empty() || answer.protocol.is_some();
        Session::new(SessionHandle {
            half,
            uri,
            answer: says.then_some(answer),
            dialect: stats.flatten().and_then(|stats| stats.dialect),
        })
    }

    /// Waits for the server's answer.
    pub(crate) async fn established(mut self, uri: Uri) -> Result<Session, OpenSessionError> {
        let half = self.half();
        let (conn, at) = (half.conn.clone(), half.at);
        let answer = wait_for(&conn.shared, |locked| {
            let stream = locked.stream(at);
            if let Some(answer) = stream
                .session
                .as_mut()
                .and_then(|state| state.answer.take())
            {
                return Step::Done(Ok(answer));
            }
            match locked.ended(at) {
                Some(close) => Step::Done(Err(close.into())),
                None => Step::Wait(Place::Session(at, SessionTopic::State)),
            }
        })
        .await;
        match answer {
            Ok(Answer::Established(answer)) => Ok(self.establish(uri, answer)),
            Ok(Answer::Rejected(status, answer)) => {
                self.half = None;
                Err(OpenSessionError::Rejected {
                    status,
                    headers: answer.headers,
                })
            }
            Err(error) => {
                self.half = None;
                Err(error)
            }
        }
    }

    fn reject(&mut self, head: &ResponseHead, content: Bytes) -> Result<(), RejectError> {
        let half = self.half();
        let mut locked = half.conn.lock();
        let reject = locked.core(half.conn.key, |core| {
            core.webtransport(self.key).reject_with(head, content)
        });
        let done = reject.unwrap_or(Err(RejectError::Gone));
        if done.is_ok()
            && let Some(session) = &mut locked.stream(half.at).session
        {
            session.over = true;
        }
        locked.wake(Place::Session(half.at, SessionTopic::State));
        drop(locked);
        if done.is_ok() {
            self.half = None;
        }
        done
    }
}

impl Drop for PendingSession {
    fn drop(&mut self) {
        let Some(half) = &self.half else { return };
        // Whoever has gone meanwhile need not be told.
        if self.server {
            let head = ResponseHead::new(StatusCode::INTERNAL_SERVER_ERROR);
            let _ = self.reject(&head, Bytes::new());
        } else {
            let close = |core: &mut Access<'_, QuinnTransport<'_>>| {
                core.webtransport(self.key).close(0, "")
            };
            let _ = half.conn.lock().core(half.conn.key, close);
        }
    }
}

/// The same URI with text of its own: that of a received one is all of the head, which a
/// session would hold for its life.
fn own(uri: &Uri) -> Uri {
    let copy = || {
        let mut parts = uri.clone().into_parts();
        if let Some(authority) = &mut parts.authority {
            *authority = authority.as_str().parse().ok()?;
        }
        if let Some(path) = &mut parts.path_and_query {
            *path = path.as_str().parse().ok()?;
        }
        Uri::from_parts(parts).ok()
    };
    copy().unwrap_or_else(|| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_uri_is_the_same_and_holds_nothing() {
        for text in [
            "https://example.com:1/a?b=%20",
            "https://[::1]/",
            "a:443",
            "/b",
        ] {
            let head = Bytes::copy_from_slice(text.as_bytes());
            let uri = Uri::from_maybe_shared(head.clone()).expect(text);
            assert!(!head.is_unique(), "the text is shared: {text}");
            let copy = own(&uri);
            assert_eq!(copy, uri);
            drop(uri);
            assert!(head.is_unique(), "{text}");
        }
    }
}
