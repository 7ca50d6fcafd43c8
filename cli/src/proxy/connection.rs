//! One client's connection: a task for each of its requests.

use std::net::SocketAddr;
use std::sync::Arc;

use aqueduct_tokio::protocol::head::Protocol;
use aqueduct_tokio::proxy::Served;
use aqueduct_tokio::{Connection, ServerRequest};
use http::header::ALLOW;
use http::{Method, Request, StatusCode};

use super::Site;
use crate::serve::answer::{Unanswered, explain, refuse};

/// What there is to read.
const PAGE: &str = "This is a proxy for UDP and TCP over HTTP/3 (MASQUE): RFC 9298, connect-tcp and CONNECT.\n\
                    aqueduct tunnel --help tells how to use it.";

/// Takes requests until the connection is over.
pub(super) async fn run(connection: Connection, site: Arc<Site>) {
    let remote = connection.remote_address();
    tracing::info!(?remote, "a client connected");
    while let Some((head, stream)) = connection.accept_request().await {
        tokio::spawn(serve(remote, head, stream, site.clone()));
    }
    if let Some(reason) = connection.close_reason() {
        tracing::info!(?remote, %reason, "a connection is over");
    }
}

/// Serves a tunnel to its end, or answers what is none.
async fn serve(
    remote: Option<SocketAddr>,
    head: Request<()>,
    stream: ServerRequest,
    site: Arc<Site>,
) {
    let access = &site.access;
    // A client that moves keeps the name it had.
    let asked = access.asked(remote, &head);
    let opened = |tunnel: &aqueduct_tokio::proxy::Opened| access.opened(&asked, tunnel);
    match site.proxy.serve_with(head, stream, opened).await {
        Served::Refused { target, refusal } => access.refused(&asked, target, &refusal),
        Served::GivenUp(target) => access.given_up(&asked, &target),
        Served::Tunnel(report) => access.ended(&asked, &report),
        Served::Other(request) => {
            let (head, stream) = *request;
            let path = head.uri().path().to_owned();
            let cancelled = stream.cancelled();
            let is_tunnels = access.whose(&path).is_some();
            tokio::select! {
                biased;
                done = other(&head, stream, is_tunnels) => if let Err(error) = done {
                    tracing::info!(path, error, "a request was not answered to its end");
                },
                Some(why) = cancelled => tracing::info!(path, %why, "a request was given up"),
            }
        }
        served => tracing::debug!(?served, "a request is over"),
    }
}

/// Answers a request that is for no tunnel, though its path may be for tunnels.
async fn other(
    head: &Request<()>,
    stream: ServerRequest,
    is_tunnels: bool,
) -> Result<(), Unanswered> {
    let method = head.method();
    if method == Method::CONNECT || head.extensions().get::<Protocol>().is_some() {
        return refuse(stream, method, StatusCode::NOT_IMPLEMENTED).await;
    }
    //= https://www.rfc-editor.org/rfc/rfc9110#section-9.3.7
    // Whoever asks it of the path of a tunnel is let in there, or would have been refused.
    if method == Method::OPTIONS && is_tunnels {
        let allow = Some((ALLOW, "CONNECT, OPTIONS"));
        let text = "a tunnel may be asked for with CONNECT";
        return explain(stream, method, StatusCode::OK, text, allow).await;
    }
    match (head.uri().path(), method) {
        ("/", &Method::GET | &Method::HEAD) => {
            explain(stream, method, StatusCode::OK, PAGE, None).await
        }
        _ => refuse(stream, method, StatusCode::NOT_FOUND).await,
    }
}
