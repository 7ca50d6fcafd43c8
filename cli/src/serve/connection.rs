//! One client's connection: a task for each of its requests and sessions.

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::pin::pin;
use std::sync::Arc;

use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::{Connection, ServerRequest};
use http::{Method, Request, StatusCode};

use super::answer::{Unanswered, refuse};
use super::{Site, demo, files, session};
use crate::demo::http::{HttpAction, route};
use crate::files::Share;
use crate::turns::Turn;

/// Takes requests and sessions until the connection is over.
pub(super) async fn run(connection: Connection, site: Arc<Site>) {
    let remote = connection.remote_address();
    tracing::info!(?remote, "a client connected");
    // One that is over already asks for nothing.
    let ip = remote.map_or(Ipv4Addr::UNSPECIFIED.into(), |remote| remote.ip());
    let share = site.places.share(ip);
    let rejected = |request: ConnectRequest| {
        let forbidden = StatusCode::FORBIDDEN;
        let events = &site.events;
        events.session_rejected(&request.uri, request.origin(), forbidden);
    };
    loop {
        tokio::select! {
            request = connection.accept_request() => {
                let Some((head, stream)) = request else { break };
                let asked = Asked { head, stream, connection: connection.clone(), share: share.clone() };
                // Tasks run in the order in which they are begun: many at once would be waited for.
                let turn = share.turn(&site.begins).await;
                tokio::spawn(begin(turn, serve(asked, site.clone())));
            }
            request = connection.accept_session() => {
                let Some(request) = request else { break };
                let turn = share.turn(&site.begins).await;
                tokio::spawn(begin(turn, session::run(request, connection.clone(), site.clone())));
            }
            request = connection.forbidden_session() => {
                let Some(request) = request else { break };
                rejected(request);
            }
        }
    }
    // Of a connection that came and went while this waited for its turn.
    while let Some(request) = connection.forbidden_session().await {
        rejected(request);
    }
    if let Some(reason) = connection.close_reason() {
        tracing::info!(?remote, %reason, "a connection is over");
    }
}

/// Does work, and gives the turn to the next as soon as this has begun: it waits for something, or
/// is done.
async fn begin(turn: Turn, work: impl Future) {
    let (mut turn, mut work) = (Some(turn), pin!(work));
    poll_fn(|cx| {
        let polled = work.as_mut().poll(cx).map(drop);
        drop(turn.take());
        polled
    })
    .await;
}

/// A request, and the connection that it came on.
struct Asked {
    head: Request<()>,
    stream: ServerRequest,
    connection: Connection,
    /// What the connection may have of the open files.
    share: Share,
}

/// Answers a request, until the client wants no answer any more.
async fn serve(asked: Asked, site: Arc<Site>) {
    let (method, path) = (
        asked.head.method().clone(),
        asked.head.uri().path().to_owned(),
    );
    tracing::info!(%method, path, "request");
    let cancelled = asked.stream.cancelled();
    tokio::select! {
        biased;
        done = answer(asked, &site) => if let Err(error) = done {
            // Most often the client went away, which is its right.
            tracing::info!(%method, path, error, "a request was not answered to its end");
        },
        // The answer is dropped in the middle of whatever it waits for.
        Some(why) = cancelled => tracing::info!(%method, path, %why, "a request was given up"),
    }
}

async fn answer(asked: Asked, site: &Site) -> Result<(), Unanswered> {
    let Asked {
        head,
        stream,
        connection,
        share,
    } = asked;
    // What may be a replay is acted upon only where acting twice does no harm.
    if stream.is_early() && !head.method().is_safe() {
        return refuse(stream, head.method(), StatusCode::TOO_EARLY).await;
    }
    match choose(&head, site) {
        Choice::Demo(action, page) => {
            demo::run(action, &head, stream, &connection, page, site.drain).await
        }
        Choice::File(root) => files::run(root.clone(), share, head, stream).await,
        Choice::Refuse(status) => refuse(stream, head.method(), status).await,
    }
}

enum Choice<'a> {
    Demo(HttpAction, &'a crate::page::Page),
    File(&'a crate::files::Root),
    Refuse(StatusCode),
}

/// Files win where both have something: `/`, and what the demonstration does not know.
fn choose<'a>(head: &Request<()>, site: &'a Site) -> Choice<'a> {
    if head.method() == Method::CONNECT {
        // Tunnels, and protocols in them that are not WebTransport.
        return Choice::Refuse(StatusCode::NOT_IMPLEMENTED);
    }
    let uri = head.uri();
    let action = site
        .demo
        .as_ref()
        .map(|page| (route(head.method(), uri.path(), uri.query()), page));
    match (action, &site.root) {
        (Some((HttpAction::Page | HttpAction::NotFound, _)) | None, Some(root)) => {
            Choice::File(root)
        }
        (Some((action, page)), _) => Choice::Demo(action, page),
        (None, None) => Choice::Refuse(StatusCode::NOT_FOUND),
    }
}
