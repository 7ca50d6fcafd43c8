//! HTTP/3 requests answered by a `tower` service, such as axum's `Router`, on the
//! connections that also carry WebTransport.

use std::error::Error;

use aqueduct_handles::Connection;
pub use aqueduct_handles::tower::{AnswerError, Body, WebTransport, answer, answer_session};
use http::{Request, Response};
use tower_service::Service;

/// Answers every request of a connection with a clone of `service`, each in a task
/// of its own, until the connection accepts no more. Sessions are not touched:
/// [`Connection::accept_session`] goes on beside it, or [`serve_sessions`].
///
/// When a client gives a request up, what its service is doing is dropped at the place
/// where it waits, as when a connection to an HTTP/1.1 server is lost.
///
/// Dropping the future ends the accepting; requests that were accepted go on.
pub async fn serve<S, B>(connection: Connection, service: S)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
{
    while let Some((request, stream)) = connection.accept_request().await {
        let service = service.clone();
        tokio::spawn(async move {
            // The client has been told; what is left is for the log.
            if let Err(error) = answer(service, request, stream).await {
                let cause = error.source().map(ToString::to_string);
                tracing::debug!(%error, cause, "request not answered to its end");
            }
        });
    }
}

/// As [`serve`], for requests for WebTransport sessions: the service gets a CONNECT with a
/// [`WebTransport`] among its extensions, which a handler takes and answers. What the
/// service answers to one that nobody takes rejects it, such as a router's 404.
///
/// ```
/// use aqueduct_tokio::tower::WebTransport;
/// use axum::{Extension, Router, http::StatusCode, routing::connect};
///
/// async fn chat(Extension(session): Extension<WebTransport>) -> Result<(), StatusCode> {
///     let request = session.take().ok_or(StatusCode::BAD_REQUEST)?;
///     let session = request.accept().map_err(|_| StatusCode::BAD_REQUEST)?;
///     // The handler may go on as long as the session does, or spawn a task.
///     while let Ok(datagram) = session.recv_datagram().await {
///         session.send_datagram_wait(&datagram).await.ok();
///     }
///     Ok(())
/// }
///
/// let app: Router = Router::new().route("/chat", connect(chat));
/// ```
pub async fn serve_sessions<S, B>(connection: Connection, service: S)
where
    S: Service<Request<Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>> + Send,
{
    while let Some(session) = connection.accept_session().await {
        let service = service.clone();
        tokio::spawn(async move {
            if let Err(error) = answer_session(service, session).await {
                let cause = error.source().map(ToString::to_string);
                tracing::debug!(%error, cause, "session not answered");
            }
        });
    }
}
