//! What begins on a connection: requests and sessions, sent or accepted.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, ready};

use aqueduct_core::error::RequestError as Refusal;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::{Dir, StreamKey};
use aqueduct_core::webtransport::ConnectRequest;
use http::{Method, Request, Uri};

use crate::connection::Connection;
use crate::datagrams::Datagrams;
use crate::error::{OpenSessionError, RequestError};
use crate::http::{CameEarly, RequestStream, ResponseReceiver, ServerRequest};
use crate::place::{ConnTopic, Place};
use crate::session::{PendingSession, Session, SessionRequest};
use crate::share::PRICE;
use crate::shared::{Locked, Step, wait_for};
use crate::table::Stream;
use crate::wait::open_with;

/// What a client asks for; see [`Connection::accept_any`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A request.
    Request(Request<()>, ServerRequest),
    /// A WebTransport session.
    Session(SessionRequest),
}

impl Connection {
    /// The next request (server); `None` when the connection is over or draining
    /// has come to its end. Many tasks may wait at once; cancel safe.
    ///
    /// Requests that wait to be accepted and those that have handles, sessions included,
    /// are bounded by
    /// [`Limits::open_requests`](aqueduct_core::config::Limits::open_requests), whatever
    /// the client does with their streams; further ones are refused with
    /// H3_REQUEST_REJECTED. A request that is never accepted delays no other, and one that
    /// is cancelled before it is accepted is forgotten.
    ///
    /// The [`Protocol`](aqueduct_core::head::Protocol) of an extended CONNECT is among
    /// the request's extensions, and [`CameEarly`] of one in early data; one for WebTransport is no request but a
    /// [session](Self::accept_session).
    pub async fn accept_request(&self) -> Option<(Request<()>, ServerRequest)> {
        let conn = &self.0;
        let place = Place::Conn(conn.at, ConnTopic::Requests);
        wait_for(&conn.shared, |locked| {
            if let Some(wait) = locked.rest_at(place) {
                return wait;
            }
            if let Some((at, head)) = locked.conn(conn.at).requests.pop_front() {
                locked.take_share(conn.at, PRICE);
                let method = head.method.clone();
                let message = locked.conn(conn.at).streams[at].message.as_ref();
                let early = message.is_some_and(|message| message.early);
                let stream = ServerRequest::new(conn, locked, at, method);
                let mut request = head.into_http();
                if early {
                    request.extensions_mut().insert(CameEarly);
                }
                return Step::Done(Some((request, stream)));
            }
            self.end_or_wait(locked, place)
        })
        .await
    }

    /// The next request for a session (server); `None` when the connection is
    /// over. Many tasks may wait at once; cancel safe. Bounded as
    /// [requests](Self::accept_request) are, and by
    /// [`Limits::sessions`](aqueduct_core::config::Limits::sessions).
    pub async fn accept_session(&self) -> Option<SessionRequest> {
        let conn = &self.0;
        let place = Place::Conn(conn.at, ConnTopic::Sessions);
        wait_for(&conn.shared, |locked| {
            if let Some(wait) = locked.rest_at(place) {
                return wait;
            }
            if let Some((key, at, request)) = locked.conn(conn.at).sessions.pop_front() {
                locked.take_share(conn.at, PRICE);
                return Step::Done(Some(SessionRequest::new(conn, locked, key, at, *request)));
            }
            self.end_or_wait(locked, place)
        })
        .await
    }

    /// The next request of either kind (server), for a handler that answers both;
    /// otherwise as [`accept_request`](Self::accept_request) and
    /// [`accept_session`](Self::accept_session).
    pub async fn accept_any(&self) -> Option<Incoming> {
        let mut session = pin!(self.accept_session());
        let mut request = pin!(self.accept_request());
        poll_fn(|cx| {
            if let Poll::Ready(session) = session.as_mut().poll(cx) {
                return Poll::Ready(session.map(Incoming::Session));
            }
            let request = ready!(request.as_mut().poll(cx));
            Poll::Ready(request.map(|(head, stream)| Incoming::Request(head, stream)))
        })
        .await
    }

    /// The next request for a session that was answered 403, because the configuration
    /// does not allow the page that made it
    /// ([`Config::origins`](aqueduct_core::webtransport::Config::origins)); `None` when the
    /// connection is over. The latest four are kept for whoever looks; cancel safe.
    pub async fn forbidden_session(&self) -> Option<ConnectRequest> {
        let conn = &self.0;
        let place = Place::Conn(conn.at, ConnTopic::Forbidden);
        wait_for(&conn.shared, |locked| {
            match locked.conn(conn.at).forbidden.pop_front() {
                Some(request) => Step::Done(Some(*request)),
                None => self.end_or_wait(locked, place),
            }
        })
        .await
    }

    pub(crate) fn end_or_wait<T>(&self, locked: &mut Locked<'_>, place: Place) -> Step<Option<T>> {
        if locked.conn(self.0.at).closed.is_some() {
            Step::Done(None)
        } else {
            Step::Wait(place)
        }
    }

    /// Sends GET for `uri` (client), without further fields. Otherwise as
    /// [`request_empty`](Self::request_empty).
    ///
    /// # Errors
    /// [`RequestError`]; nothing was sent.
    pub async fn get(&self, uri: Uri) -> Result<RequestStream, RequestError> {
        let head = RequestHead::new(Method::GET, uri);
        self.send_head(&head, End::Fin).await
    }

    /// Sends a request's head (client) and waits, if it must, for the handshake
    /// and for stream credit. Before the handshake is complete it goes out as early data
    /// where it may: see [`may_send_early`](Self::may_send_early). One that the server does
    /// not take is not sent again, and its halves tell `EarlyDataRejected`. Content and the answer go through the result.
    /// Cancel safe: a dropped future has sent nothing.
    ///
    /// A CONNECT with a [`Protocol`](aqueduct_core::head::Protocol) among its
    /// extensions is an extended one (RFC 9220), which waits for the peer's SETTINGS
    /// as well: what its stream carries is that protocol's affair.
    ///
    /// # Errors
    /// [`RequestError`]; nothing was sent.
    pub async fn request(&self, request: Request<()>) -> Result<RequestStream, RequestError> {
        let head = RequestHead::from_http(request);
        self.send_head(&head, End::More).await
    }

    /// Like [`request`](Self::request), for a request without content: it is
    /// complete when this returns. A CONNECT, which has no end before its answer,
    /// stays open.
    ///
    /// # Errors
    /// [`RequestError`]; nothing was sent.
    pub async fn request_empty(&self, request: Request<()>) -> Result<RequestStream, RequestError> {
        let head = RequestHead::from_http(request);
        let end = if head.method == Method::CONNECT {
            End::More
        } else {
            End::Fin
        };
        self.send_head(&head, end).await
    }

    async fn send_head(&self, head: &RequestHead, end: End) -> Result<RequestStream, RequestError> {
        let open = |locked: &mut Locked<'_>| self.open_stream(locked, head, end);
        Ok(open_with(&self.0, Dir::Bi, None, open).await?)
    }

    /// Sends a request's head, or tells what it would have to wait for.
    pub(crate) fn try_send_head(
        &self,
        head: &RequestHead,
        end: End,
    ) -> Result<RequestStream, Refusal> {
        self.open_stream(&mut self.0.lock(), head, end)
    }

    /// Sends a request without content, or tells what it would have to wait for. Nobody
    /// has a handle of what is sent.
    pub(crate) fn try_send_whole(&self, head: &RequestHead) -> Result<ResponseReceiver, Refusal> {
        let mut locked = self.0.lock();
        let (at, key) = self.send_on(&mut locked, head, End::Fin)?;
        Ok(ResponseReceiver::of_whole(&self.0, &mut locked, at, key))
    }

    /// Sends a request's head as early data; `None` if that cannot be.
    pub(crate) fn try_send_early(&self, head: &RequestHead, end: End) -> Option<RequestStream> {
        let mut locked = self.0.lock();
        let may = locked.peek(self.0.key, |core| core.may_send_early());
        if may != Some(true) {
            return None;
        }
        self.open_stream(&mut locked, head, end).ok()
    }

    /// Sends a request's head, with datagrams from its first moment: one that came before
    /// they are asked for would end it.
    pub(crate) fn try_open_channel(
        &self,
        head: &RequestHead,
    ) -> Result<(RequestStream, Datagrams), Refusal> {
        let mut locked = self.0.lock();
        let stream = self.open_stream(&mut locked, head, End::More)?;
        let key = stream.send.0.half.key;
        let _ = locked.core(self.0.key, |core| core.enable_datagrams(key));
        drop(locked);
        let datagrams = stream.datagrams();
        Ok((stream, datagrams))
    }

    fn open_stream(
        &self,
        locked: &mut Locked<'_>,
        head: &RequestHead,
        end: End,
    ) -> Result<RequestStream, Refusal> {
        let (at, key) = self.send_on(locked, head, end)?;
        Ok(RequestStream::new(&self.0, locked, at, key, end))
    }

    /// Sends a request's head, and gives its stream's place and key.
    fn send_on(
        &self,
        locked: &mut Locked<'_>,
        head: &RequestHead,
        end: End,
    ) -> Result<(usize, StreamKey), Refusal> {
        let conn = &self.0;
        let sent = locked.core(conn.key, |core| core.request(head, end));
        let key = sent.unwrap_or(Err(Refusal::Closed))?;
        // The entry exists before the lock goes, so no event of it is missed.
        let at = locked.conn(conn.at).insert_stream(Stream::message(key));
        Ok((at, key))
    }

    /// Asks for a WebTransport session (client) and waits for the peer's
    /// SETTINGS, stream credit and the answer. Dropping the future cancels the
    /// request.
    ///
    /// # Errors
    /// [`OpenSessionError`].
    pub async fn open_session(&self, request: ConnectRequest) -> Result<Session, OpenSessionError> {
        let conn = &self.0;
        let open = |locked: &mut Locked<'_>| {
            let sent = locked.core(conn.key, |core| core.open_session(&request));
            let key = sent.unwrap_or(Err(Refusal::Closed.into()))?;
            let at = locked.conn(conn.at).insert_stream(Stream::session(key));
            Ok(PendingSession::new(conn, locked, key, at))
        };
        let pending = open_with(conn, Dir::Bi, None, open).await?;
        pending.established(request.uri).await
    }
}
