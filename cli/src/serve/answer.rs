//! What the answers to requests are made of.

use std::time::SystemTime;

use aqueduct_tokio::ServerRequest;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

/// Why an answer came to no good end.
pub(crate) type Unanswered = Box<dyn std::error::Error + Send + Sync>;

/// An answer that is its status in words.
pub(crate) async fn refuse(
    stream: ServerRequest,
    method: &Method,
    status: StatusCode,
) -> Result<(), Unanswered> {
    explain(stream, method, status, &format!("{status}"), None).await
}

/// An answer of one line of text, with a field more if there is one.
pub(crate) async fn explain(
    mut stream: ServerRequest,
    method: &Method,
    status: StatusCode,
    text: &str,
    field: Option<(HeaderName, &'static str)>,
) -> Result<(), Unanswered> {
    let text = bytes::Bytes::from(format!("{text}\n"));
    let mut fields = HeaderMap::new();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    fields.insert(header::CONTENT_TYPE, plain);
    fields.insert(header::CONTENT_LENGTH, text.len().into());
    if let Some((name, value)) = field {
        fields.insert(name, HeaderValue::from_static(value));
    }
    let head = response(status, fields);
    if method == Method::HEAD {
        return Ok(stream.send.send_empty(head)?);
    }
    stream.send_response(head)?;
    stream.send_data(text).await?;
    Ok(stream.finish()?)
}

/// A response head. Whatever the server answers is made of one.
//= https://www.rfc-editor.org/rfc/rfc9110#section-6.6.1
// An origin server with a clock must say when it answered.
pub(crate) fn response(status: StatusCode, mut fields: HeaderMap) -> Response<()> {
    let now = httpdate::fmt_http_date(SystemTime::now());
    if let Ok(now) = HeaderValue::try_from(now) {
        fields.insert(header::DATE, now);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
