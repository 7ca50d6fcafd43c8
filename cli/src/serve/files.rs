//! Requests for files.

use aqueduct_tokio::ServerRequest;
use http::Request;

use super::answer::{Unanswered, response};
use crate::files::{Body, Root, Share, busy};
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
    let (plan, place) = match share.take() {
        Some(place) => {
            // The place goes with the work, so that it is taken until the file is closed, also
            // when nobody waits for the answer any more.
            let plan = move || {
                let uri = head.uri();
                let plan = root.plan(head.method(), uri.path(), uri.query(), head.headers());
                (plan, Some(place))
            };
            share.work(plan).await?
        }
        None => {
            if let Some(count) = REFUSED.occasion() {
                tracing::warn!(count, "requests for files were refused: too many are open");
            }
            (busy(head.method()), None)
        }
    };
    let head = response(plan.status, plan.fields);
    match plan.body {
        Body::Empty => stream.send.send_empty(head)?,
        Body::Text(text) => {
            drop(place);
            stream.send_response(head)?;
            stream.send_data(text).await?;
            stream.finish()?;
        }
        Body::File(content) => {
            stream.send_response(head)?;
            let mut open = (content, place);
            while open.0.left() > 0 {
                let read = move || (open.0.read(), open);
                let (chunk, back) = share.work(read).await?;
                open = back;
                if let Some(chunk) = chunk? {
                    stream.send_data(chunk).await?;
                }
            }
            stream.finish()?;
        }
    }
    Ok(())
}
