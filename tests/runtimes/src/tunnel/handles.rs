//! Both ends over the asynchronous handles.

use aqueduct_handles::{Connection, Datagrams, ServerRequest};
use bytes::Bytes;
use http::Response;
use smol::future::or;

use super::{AHEAD, ECHO, NAME, PINGS, UNKNOWN, VALUE, ahead, request};
use crate::script::pattern;
use crate::trace::{Digest, Trace};

/// The server's side, to the end of the client's.
///
/// # Panics
/// When anything goes otherwise than the protocol says.
pub async fn serve(mut stream: ServerRequest, trace: &Trace) {
    let datagrams = stream.datagrams();
    stream.send_response(Response::new(())).expect("first");
    let (mut send, mut recv) = stream.into_capsules().split();
    let capsules = async {
        while let Some(capsule) = recv.recv(VALUE).await.expect("whole") {
            let value = Digest::of(&capsule.value);
            trace.note(NAME, format!("{}: {value}", capsule.ty));
            if capsule.ty == ECHO {
                send.send(ECHO, capsule.value).await.expect("is wanted");
            }
        }
    };
    or(capsules, echo(&datagrams, trace)).await;
    send.finish().await.expect("between capsules");
    trace.note(NAME, "end");
}

async fn echo(datagrams: &Datagrams, trace: &Trace) {
    while let Ok((context, payload)) = datagrams.recv_in().await {
        let text = String::from_utf8_lossy(&payload);
        let name = format!("{NAME} datagrams");
        trace.note(name, format!("{text} in {context}"));
        let sent = datagrams.send_wait_in(context, &payload).await;
        sent.expect("small");
    }
}

/// The client's side.
///
/// # Panics
/// As [`serve`].
pub async fn ask(connection: Connection, trace: &Trace) {
    let sent = connection.request(request().into_http()).await;
    let mut stream = sent.expect("is taken");
    let datagrams = stream.datagrams();
    datagrams.send_in(ahead(), AHEAD).expect("small");
    let response = stream.recv_response().await.expect("answers");
    trace.note(NAME, response.status().as_str());
    let (mut send, mut recv) = stream.into_capsules().split();
    let echo = async || {
        let (context, payload) = datagrams.recv_in().await.expect("comes back");
        let text = String::from_utf8_lossy(&payload);
        let name = format!("{NAME} datagrams");
        trace.note(name, format!("{text} in {context}"));
    };
    echo().await;
    let value = pattern(VALUE);
    send.send(ECHO, value.clone()).await.expect("is wanted");
    let back = recv.recv(VALUE).await.expect("whole").expect("one");
    assert_eq!((back.ty, back.value), (ECHO, value));
    trace.note(NAME, "echo");
    let unknown = Bytes::from_static(b"who knows");
    send.send(UNKNOWN, unknown).await.expect("is taken");
    for number in 0..PINGS {
        let text = format!("ping {number}");
        let sent = datagrams.send_wait_in(super::context(number), text.as_bytes());
        sent.await.expect("small");
        echo().await;
    }
    send.finish().await.expect("between capsules");
    assert_eq!(recv.recv(VALUE).await, Ok(None));
    trace.note(NAME, "end");
}
