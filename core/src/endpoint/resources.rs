//! Paths that are WebTransport's alone: who asks for them otherwise is answered here, by
//! ordinary calls of an application, so that a recording has them.

use std::time::Instant;

use http::header::ALLOW;
use http::{HeaderValue, Method, StatusCode};

use super::connection::{ConnectionMut, State};
use crate::code::Code;
use crate::event::{Event, StreamEvent};
use crate::head::{End, ResponseHead};
use crate::id::StreamKey;

/// Whether an event is about a request that no application is told of: one to a resource
/// that is no CONNECT, which is answered, and what comes of the answer. `paths` are in
/// order.
pub(super) fn is_answered(
    paths: &[String],
    state: &mut State,
    now: Instant,
    event: &Event,
) -> bool {
    match event {
        Event::Request { stream, head, .. } => {
            let path = head.uri.path();
            let is_one = paths.binary_search_by(|it| it.as_str().cmp(path)).is_ok();
            if !is_one || head.method == Method::CONNECT {
                return false;
            }
            if let Some(mut connection) = state.lend(now)
                && answer(&mut connection, *stream)
            {
                state.answered.push(*stream);
            }
            true
        }
        Event::Stream(stream, event) => {
            let Some(at) = state.answered.iter().position(|it| it == stream) else {
                return false;
            };
            // One of them comes of every answer, and nothing after it.
            if let StreamEvent::Delivered | StreamEvent::Stopped(_) | StreamEvent::Malformed(_) =
                event
            {
                state.answered.swap_remove(at);
            }
            true
        }
        Event::Trailers { stream, .. } => state.answered.contains(stream),
        _ => false,
    }
}

/// Answers 405; whether the answer is under way.
fn answer(connection: &mut ConnectionMut<'_>, stream: StreamKey) -> bool {
    let mut access = connection.access();
    //= https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6
    // The answer says which methods there are.
    let mut no = ResponseHead::new(StatusCode::METHOD_NOT_ALLOWED);
    let connect = HeaderValue::from_static("CONNECT");
    no.headers.insert(ALLOW, connect);
    let answered = access.respond(stream, &no, End::Fin).is_ok();
    // Whoever has gone meanwhile needs neither answer nor end.
    if !answered && let Ok(mut send) = access.send(stream) {
        send.reset(Code::H3_INTERNAL_ERROR.value()).ok();
    }
    if let Ok(mut recv) = access.recv(stream) {
        recv.stop(Code::H3_NO_ERROR.value()).ok();
    }
    answered
}

#[cfg(all(test, feature = "pair"))]
mod tests {
    use std::time::Duration;

    use crate::endpoint::state_of;
    use crate::head::{End, RequestHead};
    use crate::testing::pair::{Options, Pair};

    /// Not even when nothing of it arrives in time.
    #[test]
    fn an_answer_is_not_remembered_for_ever() {
        let mut options = Options {
            resources: vec!["/wt".into()],
            ..Options::default()
        };
        options.server.limits.progress_window = Duration::from_secs(1);
        let (mut pair, client, server) = Pair::connected(options);
        pair.server.link.down = true;
        let get = RequestHead::new(http::Method::GET, "https://a/wt".parse().expect("a URI"));
        let asked = pair.client(client).access().request(&get, End::Fin);
        asked.expect("is sent");
        pair.advance(Duration::from_millis(100));
        let remembered = |pair: &mut Pair| {
            let state = state_of(&mut pair.server.endpoint.slots, server);
            state.expect("known").answered.len()
        };
        assert_eq!(remembered(&mut pair), 1);
        pair.advance(Duration::from_secs(2));
        assert_eq!(remembered(&mut pair), 0);
        assert!(pair.server(server).access().close_reason().is_none());
    }
}
