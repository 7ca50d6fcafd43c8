//! HTTP/3 requests answered by a `tower` service, such as axum's `Router`, on the
//! connections that also carry WebTransport.

use std::error::Error;

use aqueduct_handles::Connection;
pub use aqueduct_handles::tower::{AnswerError, Body, answer};
use http::{Request, Response};
use tower_service::Service;

/// Answers every request of a connection with a clone of `service`, each in a task
/// of its own, until the connection accepts no more. Sessions are not touched:
/// [`Connection::accept_session`] goes on beside it.
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
