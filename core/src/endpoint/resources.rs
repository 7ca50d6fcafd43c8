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
            if answer(&mut state.lend(now), *stream) {
                state.answered.push(*stream);
            }
            true
        }
        Event::Stream(stream, event) => {
            let Some(at) = state.answered.iter().position(|it| it == stream) else {
                return false;
            };
            // One of them comes of every answer, and nothing after it.
            if let StreamEvent::Delivered | StreamEvent::Stopped(_) = event {
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
