//! Requests for files.

use std::time::Instant;

use aqueduct_tokio::ServerRequest;
use http::{Method, Request, StatusCode, header};

use super::answer::{Unanswered, explain, response};
use crate::chunks::Source;
use crate::files::{Body, Root, Share};
use crate::throttle::Throttle;

/// Requests that found no place, of all clients.
static REFUSED: Throttle = Throttle::new();

/// Answers with a file, no faster than the client takes it. As long as that takes the file is open,
/// so it needs a place of `share`.
pub(super) async fn run(
    root: Root,
    share: Share,
    head: Request<()>,
    mut stream: ServerRequest,
) -> Result<(), Unanswered> {
    let method = head.method().clone();
    let Some(place) = share.take() else {
        if let Some(count) = REFUSED.occasion(Instant::now()) {
            tracing::warn!(count, "requests for files were refused: too many are open");
        }
        return busy(stream, &method).await;
    };
    // Disks may be slow: the plan is made where waiting for them blocks nobody.
    let plan = tokio::task::spawn_blocking(move || {
        let uri = head.uri();
        root.plan(head.method(), uri.path(), uri.query(), head.headers())
    })
    .await?;
    if plan.status == StatusCode::SERVICE_UNAVAILABLE {
        return busy(stream, &method).await;
    }
    let head = response(plan.status, plan.fields);
    match plan.body {
        Body::Empty => stream.send.send_empty(head)?,
        Body::Text(text) => {
            drop(place);
            stream.send_response(head)?;
            stream.send_data(text).await?;
            stream.finish()?;
        }
        Body::File { file, offset, len } => {
            let _place = place;
            let mut source = Source::range(file, offset, len).await?;
            stream.send_response(head)?;
            while let Some(chunk) = source.next().await? {
                stream.send_data(chunk).await?;
            }
            stream.finish()?;
        }
    }
    Ok(())
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-15.6.4
// With Retry-After, as this passes.
async fn busy(stream: ServerRequest, method: &Method) -> Result<(), Unanswered> {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    let later = Some((header::RETRY_AFTER, "1"));
    explain(stream, method, status, &status.to_string(), later).await
}
