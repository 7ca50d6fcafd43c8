//! One client's connection: a task for each of its requests and sessions.

use std::sync::Arc;

use aqueduct_tokio::{Connection, ServerRequest};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};

use super::{Site, demo, files, session};
use crate::demo::http::{HttpAction, route};

/// Takes requests and sessions until the connection is over.
pub(super) async fn run(connection: Connection, site: Arc<Site>) {
    let remote = connection.remote_address();
    tracing::info!(?remote, "a client connected");
    loop {
        tokio::select! {
            request = connection.accept_request() => {
                let Some((head, stream)) = request else { break };
                tokio::spawn(answer(head, stream, connection.clone(), site.clone()));
            }
            request = connection.accept_session() => {
                let Some(request) = request else { break };
                tokio::spawn(session::run(request, connection.clone(), site.clone()));
            }
        }
    }
    if let Some(reason) = connection.close_reason() {
        tracing::info!(?remote, %reason, "a connection is over");
    }
}

async fn answer(head: Request<()>, stream: ServerRequest, connection: Connection, site: Arc<Site>) {
    let (method, path) = (head.method().clone(), head.uri().path().to_owned());
    tracing::info!(%method, path, "request");
    let done = match choose(&head, &site) {
        Choice::Demo(action, page) => {
            demo::run(action, &head, stream, &connection, page, site.drain).await
        }
        Choice::File(root) => files::run(root.clone(), head, stream).await,
        Choice::Refuse(status) => refuse(stream, &method, status).await,
    };
    if let Err(error) = done {
        // Most often the client went away, which is its right.
        tracing::info!(%method, path, error, "a request was not answered to its end");
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

/// Why an answer came to no good end.
pub(super) type Unanswered = Box<dyn std::error::Error + Send + Sync>;

/// An answer that is its status in words.
pub(super) async fn refuse(
    stream: ServerRequest,
    method: &Method,
    status: StatusCode,
) -> Result<(), Unanswered> {
    explain(stream, method, status, &format!("{status}"), None).await
}

/// An answer of one line of text.
pub(super) async fn explain(
    mut stream: ServerRequest,
    method: &Method,
    status: StatusCode,
    text: &str,
    allow: Option<&'static str>,
) -> Result<(), Unanswered> {
    let text = bytes::Bytes::from(format!("{text}\n"));
    let mut fields = HeaderMap::new();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    fields.insert(header::CONTENT_TYPE, plain);
    fields.insert(header::CONTENT_LENGTH, text.len().into());
    if let Some(allow) = allow {
        fields.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    let head = response(status, fields);
    if method == Method::HEAD {
        return Ok(stream.send.send_empty(head)?);
    }
    stream.send_response(head)?;
    stream.send_data(text).await?;
    Ok(stream.finish()?)
}

/// A response head.
pub(super) fn response(status: StatusCode, fields: HeaderMap) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
