//! The HTTP resources of the demonstration, acted upon.

use std::time::Duration;

use aqueduct_tokio::protocol::head::FieldSection;
use aqueduct_tokio::{Connection, ServerRequest};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::answer::{Unanswered, explain, refuse, response};
use crate::demo::http::HttpAction;
use crate::demo::pattern::Pattern;
use crate::page::Page;
use crate::units;

/// Does what a request asks for.
pub(super) async fn run(
    action: HttpAction,
    head: &Request<()>,
    mut stream: ServerRequest,
    connection: &Connection,
    page: &Page,
    drain: Duration,
) -> Result<(), Unanswered> {
    let method = head.method();
    match action {
        HttpAction::Page => {
            let (fields, html) = page.content();
            body(stream, method, response(StatusCode::OK, fields), html).await
        }
        HttpAction::Bytes(len) => pattern(stream, method, len).await,
        HttpAction::Echo => echo(head, stream).await,
        HttpAction::Sha256 => sha256(stream, method).await,
        HttpAction::Headers => {
            let json = field_list(head.extensions().get());
            let head = of_type("application/json");
            body(stream, method, head, json).await
        }
        HttpAction::Trailers => trailers(stream, method).await,
        HttpAction::Status(status) => {
            if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
                return Ok(stream.send.send_empty(response(status, HeaderMap::new()))?);
            }
            refuse(stream, method, status).await
        }
        HttpAction::Early => {
            let mut fields = HeaderMap::new();
            let link = HeaderValue::from_static("</style.css>; rel=preload; as=style");
            fields.insert(header::LINK, link);
            stream.send_interim(response(StatusCode::EARLY_HINTS, fields))?;
            text(stream, method, "a 103 came first\n").await
        }
        HttpAction::EarlyData => {
            // Where the handshake fails nobody reads the answer.
            let _ = connection.connected().await;
            let word = units::early_data(connection.early_data().unwrap_or_default());
            text(stream, method, &format!("{word}\n")).await
        }
        HttpAction::Slow(time) => {
            tokio::time::sleep(time).await;
            text(stream, method, &format!("after {} ms\n", time.as_millis())).await
        }
        HttpAction::Goaway => {
            connection.drain(drain);
            text(stream, method, "going away\n").await
        }
        HttpAction::Reset(code) => {
            stream.reset(code.into());
            Ok(())
        }
        HttpAction::MethodNotAllowed(allow) => {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let allow = Some((header::ALLOW, allow));
            explain(stream, method, status, &status.to_string(), allow).await
        }
        HttpAction::BadRequest(why) => {
            explain(stream, method, StatusCode::BAD_REQUEST, &why, None).await
        }
        HttpAction::NotFound => refuse(stream, method, StatusCode::NOT_FOUND).await,
    }
}

fn of_type(content_type: &'static str) -> Response<()> {
    let mut fields = HeaderMap::new();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response(StatusCode::OK, fields)
}

async fn text(stream: ServerRequest, method: &Method, text: &str) -> Result<(), Unanswered> {
    let content = Bytes::copy_from_slice(text.as_bytes());
    body(
        stream,
        method,
        of_type("text/plain; charset=utf-8"),
        content,
    )
    .await
}

/// Sends a whole body; of a HEAD's, the head alone.
async fn body(
    mut stream: ServerRequest,
    method: &Method,
    mut head: Response<()>,
    content: Bytes,
) -> Result<(), Unanswered> {
    head.headers_mut()
        .insert(header::CONTENT_LENGTH, content.len().into());
    if method == Method::HEAD {
        return Ok(stream.send.send_empty(head)?);
    }
    stream.send_response(head)?;
    stream.send_data(content).await?;
    Ok(stream.finish()?)
}

async fn pattern(mut stream: ServerRequest, method: &Method, len: u64) -> Result<(), Unanswered> {
    let mut head = of_type("application/octet-stream");
    head.headers_mut()
        .insert(header::CONTENT_LENGTH, len.into());
    if method == Method::HEAD {
        return Ok(stream.send.send_empty(head)?);
    }
    stream.send_response(head)?;
    for chunk in Pattern::new(len) {
        stream.send_data(chunk).await?;
    }
    Ok(stream.finish()?)
}

/// Sends content and trailers back as they come.
async fn echo(head: &Request<()>, mut stream: ServerRequest) -> Result<(), Unanswered> {
    let mut fields = HeaderMap::new();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        if let Some(value) = head.headers().get(&name) {
            fields.insert(name, value.clone());
        }
    }
    let answer = response(StatusCode::OK, fields);
    if head.method() == Method::HEAD {
        return Ok(stream.send.send_empty(answer)?);
    }
    stream.send_response(answer)?;
    while let Some(chunk) = stream.recv_data().await? {
        stream.send_data(chunk).await?;
    }
    match stream.recv_trailers().await? {
        Some(trailers) => stream.send_trailers(&trailers.headers)?,
        None => stream.finish()?,
    }
    Ok(())
}

async fn sha256(mut stream: ServerRequest, method: &Method) -> Result<(), Unanswered> {
    let (mut digest, mut size) = (Sha256::new(), 0_u64);
    while let Some(chunk) = stream.recv_data().await? {
        digest.update(&chunk);
        size += chunk.len() as u64;
    }
    text(
        stream,
        method,
        &format!("{} {size}\n", HEXLOWER.encode(&digest.finalize())),
    )
    .await
}

async fn trailers(mut stream: ServerRequest, method: &Method) -> Result<(), Unanswered> {
    let head = of_type("text/plain; charset=utf-8");
    if method == Method::HEAD {
        return Ok(stream.send.send_empty(head)?);
    }
    stream.send_response(head)?;
    stream.send_data(Bytes::from_static(b"body")).await?;
    let mut trailers = HeaderMap::new();
    for (name, value) in [("x-trailer-a", "1"), ("x-trailer-b", "2")] {
        trailers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    Ok(stream.send_trailers(&trailers)?)
}

/// The field lines as received, pseudo-header fields included, as a JSON array of pairs. Bytes that
/// are not UTF-8 are replaced.
fn field_list(fields: Option<&FieldSection>) -> Bytes {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs: Vec<_> = fields
        .into_iter()
        .flat_map(FieldSection::iter)
        .map(|field| serde_json::json!([text(field.name), text(field.value)]))
        .collect();
    Bytes::from(serde_json::Value::from(pairs).to_string())
}
