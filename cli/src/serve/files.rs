//! Requests for files.

use aqueduct_tokio::ServerRequest;
use http::Request;

use super::answer::{Unanswered, response};
use crate::chunks::Source;
use crate::files::{Body, Root};

/// Answers with a file, no faster than the client takes it.
pub(super) async fn run(
    root: Root,
    head: Request<()>,
    mut stream: ServerRequest,
) -> Result<(), Unanswered> {
    // Disks may be slow: the plan is made where waiting for them blocks nobody.
    let plan = tokio::task::spawn_blocking(move || {
        let uri = head.uri();
        root.plan(head.method(), uri.path(), uri.query(), head.headers())
    })
    .await?;
    let head = response(plan.status, plan.fields);
    match plan.body {
        Body::Empty => stream.send.send_empty(head)?,
        Body::Text(text) => {
            stream.send_response(head)?;
            stream.send_data(text).await?;
            stream.finish()?;
        }
        Body::File { file, offset, len } => {
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
