//! Whoever works for a request learns at once that it is not wanted any more.

use std::pin::pin;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::error::{CloseReason, PeerCode};
use aqueduct_core::fault::Violation;
use aqueduct_core::webtransport::{ConnectRequest, SessionClose};
use bytes::Bytes;
use http::{Request, Response};

use super::{Net, both, poll, table};
use crate::Cancelled;

const CANCELLED: Code = Code::H3_REQUEST_CANCELLED;

fn code(code: Code) -> PeerCode {
    PeerCode::http(code.value())
}

#[test]
fn a_stop_of_the_answer_is_told_to_all_who_wait() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, server) = net.post(&ours, &theirs);
    let (mut one, mut two) = (pin!(server.cancelled()), pin!(server.send.cancelled()));
    assert!(poll(one.as_mut()).is_none() && poll(two.as_mut()).is_none());
    // One that is dropped while it waits takes nothing along.
    {
        let mut dropped = pin!(server.recv.cancelled());
        assert!(poll(dropped.as_mut()).is_none());
    }
    client.recv.stop(CANCELLED).expect("open");
    let stopped = Some(Cancelled::Stopped(code(CANCELLED)));
    assert_eq!(
        net.run(both(one, two)),
        (stopped.clone(), stopped.clone()),
        "woken by it"
    );
    assert_eq!(poll(pin!(server.cancelled())), Some(stopped), "and known");
}

#[test]
fn a_reset_of_the_request_is_told_while_it_matters() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, server) = net.post(&ours, &theirs);
    let mut cancelled = pin!(server.cancelled());
    assert!(poll(cancelled.as_mut()).is_none());
    client.send.reset(CANCELLED).expect("open");
    let reset = Cancelled::Reset(code(CANCELLED));
    assert_eq!(net.run(cancelled), Some(reset));

    // A server that needs no more of the content has asked for the reset itself.
    let (mut client, mut server) = net.post(&ours, &theirs);
    let mut cancelled = pin!(server.cancelled());
    assert!(poll(cancelled.as_mut()).is_none());
    let mut missed = pin!(client.recv.cancelled());
    assert!(poll(missed.as_mut()).is_none());
    server.recv.stop(Code::H3_NO_ERROR).expect("open");
    net.settle();
    assert_eq!(poll(missed.as_mut()), None, "the answer may come yet");
    client.send.reset(CANCELLED).expect("open");
    net.settle();
    assert_eq!(poll(cancelled.as_mut()), None, "the answer still counts");
}

#[test]
fn a_malformed_message_is_told() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, server) = net.post(&ours, &theirs);
    net.run(client.send_data(Bytes::from_static(b"\x21")))
        .expect("room");
    client.finish().expect("open");
    let mut capsules = server.into_capsules();
    let mut cancelled = pin!(capsules.cancelled());
    assert!(poll(cancelled.as_mut()).is_none());
    // The content ends inside a capsule.
    net.run(capsules.recv(9)).expect_err("cut off");
    let why = Violation::CapsuleTruncated;
    assert_eq!(net.run(cancelled), Some(Cancelled::Malformed(why)));
}

#[test]
fn a_request_that_is_answered_is_not_cancelled() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    let mut cancelled = Box::pin(server.cancelled());
    assert!(poll(cancelled.as_mut()).is_none());
    client.finish().expect("open");
    assert_eq!(net.run(server.recv_data()), Ok(None));
    let answer = Response::new(());
    server.send.send_empty(answer).expect("not sent yet");
    assert!(poll(cancelled.as_mut()).is_none(), "not acknowledged");
    drop(server);
    assert_eq!(net.run(cancelled.as_mut()), None);
    drop(cancelled);
    assert_eq!(table(&theirs, |conn| conn.streams.len()), 0);
}

#[test]
fn the_end_of_the_connection_is_told() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, server) = net.post(&ours, &theirs);
    let mut cancelled = pin!(server.cancelled());
    assert!(poll(cancelled.as_mut()).is_none());
    ours.close(Code::H3_NO_ERROR, "");
    let told = net.run(cancelled);
    assert!(
        matches!(
            &told,
            Some(Cancelled::Connection(CloseReason::Remote { .. }))
        ),
        "{told:?}"
    );
    // A client is told about its answer.
    let told = poll(pin!(client.recv.cancelled())).flatten();
    assert!(matches!(told, Some(Cancelled::Connection(_))), "{told:?}");
}

/// RFC 9114 section 5.2: what a GOAWAY leaves out was never looked at.
#[test]
fn a_client_is_told_that_its_request_was_left_out() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (_client, _server) = net.post(&ours, &theirs);
    theirs.drain(Duration::from_secs(60));
    net.turn();
    let request = Request::post("https://localhost/").body(()).expect("valid");
    let client = net.run(ours.request(request)).expect("is sent");
    let cancelled = client.send.cancelled();
    assert_eq!(net.run(cancelled), Some(Cancelled::Unprocessed));
}

#[test]
fn a_session_that_is_not_wanted_any_more() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let ask = || ConnectRequest::new("https://localhost/".parse().expect("a URI"));
    // Given up before the answer.
    let request = {
        let mut opening = pin!(ours.open_session(ask()));
        assert!(poll(opening.as_mut()).is_none());
        net.run(ours.settings()).expect("arrive");
        assert!(poll(opening.as_mut()).is_none());
        net.run(theirs.accept_session()).expect("arrives")
    };
    let told = net.run(request.cancelled());
    assert!(
        matches!(told, Some(SessionClose::Reset(CANCELLED))),
        "{told:?}"
    );
    drop(request);

    // Rejected: nobody is left to give it up.
    let mut opening = pin!(ours.open_session(ask()));
    assert!(poll(opening.as_mut()).is_none());
    let request = net.run(theirs.accept_session()).expect("arrives");
    let mut cancelled = Box::pin(request.cancelled());
    assert!(poll(cancelled.as_mut()).is_none());
    request.reject(http::StatusCode::FORBIDDEN).expect("open");
    assert_eq!(net.run(cancelled.as_mut()), None);
    drop(cancelled);
    net.run(opening).expect_err("rejected");
    net.settle();
    assert_eq!(table(&theirs, |conn| conn.streams.len()), 0);
}
