//! What the methods of handles fail with, in the words of whoever caused it.

use std::pin::pin;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::CloseReason;
use aqueduct_core::fault::Violation;
use aqueduct_core::id::Side;
use aqueduct_core::transport::EarlyData;
use aqueduct_core::webtransport::dialect::Dialect;
use aqueduct_core::webtransport::{self, SessionClose, SessionTransport};
use bytes::Bytes;
use http::{HeaderValue, Request, Response};

use super::{Net, poll};
use crate::error::{DatagramError, OpenStreamError, ReadError, WriteError};

const DATA: Bytes = Bytes::from_static(b"data");

#[test]
fn a_caller_has_a_limit_of_its_own() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (mut client, mut server) = net.post(&ours, &theirs);
    net.run(client.send_data(DATA)).expect("is taken");
    client.finish().expect("not finished yet");
    let read = net.run(server.read_to_end(3));
    assert_eq!(read, Err(ReadError::TooLong));
}

#[test]
fn content_comes_after_a_head_of_bearable_size() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    net.run(theirs.settings()).expect("arrive");
    let (_client, mut server) = net.post(&ours, &theirs);
    let sent = net.run(server.send_data(DATA));
    assert_eq!(sent, Err(WriteError::WrongState));
    let mut huge = Response::new(());
    let value = HeaderValue::from_maybe_shared(Bytes::from(vec![b'x'; 64 * 1024]));
    huge.headers_mut().insert("x", value.expect("a value"));
    assert_eq!(server.send_response(huge), Err(WriteError::HeadTooLarge));
    assert_eq!(server.send_response(Response::new(())), Ok(()));
}

/// RFC 9297 section 2: a POST has no use for datagrams.
#[test]
fn a_malformed_request_ends_both_halves() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (client, mut server) = net.post(&ours, &theirs);
    net.run(ours.settings()).expect("arrive");
    let half = &client.send.0.half;
    let sent = ours.0.lock().core(ours.0.key, |core| {
        core.enable_datagrams(half.key).expect("a stream");
        core.send_datagram(half.key, b"?")
    });
    assert_eq!(sent, Some(Ok(())));
    let why = Violation::DatagramNotExpected;
    let read = net.run(server.recv_data());
    assert_eq!(read, Err(ReadError::Malformed(why)));
    let sent = server.send_response(Response::new(()));
    assert_eq!(sent, Err(WriteError::Malformed(why)));
}

/// RFC 9114 section 5.2: what a GOAWAY leaves out was never looked at.
#[test]
fn a_request_that_crosses_a_goaway() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    // Something to be drained.
    let (_client, _server) = net.post(&ours, &theirs);
    theirs.drain(Duration::from_secs(60));
    // The GOAWAY is on its way.
    net.turn();
    let request = Request::post("https://localhost/").body(()).expect("valid");
    let mut request = pin!(ours.request(request));
    let mut client = poll(request.as_mut()).expect("goes out").expect("is sent");
    let read = net.run(client.recv_response()).expect_err("left out");
    assert_eq!(read, ReadError::Unprocessed);
    let sent = net.run(client.send_data(DATA));
    assert_eq!(sent, Err(WriteError::Unprocessed));
}

#[test]
fn datagrams_wait_for_room_and_end_with_the_connection() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (session, _server_session) = net.session(&ours, &theirs);
    let full = (0..10_000).find_map(|_| session.send_datagram(&[7; 1000]).err());
    assert_eq!(full, Some(DatagramError::Blocked));
    net.run(session.send_datagram_wait(&[7; 1000]))
        .expect("fits later");
    ours.close(Code::H3_NO_ERROR, "");
    net.settle();
    let late = session.send_datagram(b"late");
    assert!(
        matches!(
            late,
            Err(DatagramError::Connection(CloseReason::Local { .. }))
        ),
        "{late:?}"
    );
}

/// Row B28: how a session ended and what it spoke is kept, the connection's end as well.
#[test]
fn what_is_known_of_a_session_outlives_it() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    assert_eq!(ours.early_data(), Some(EarlyData::None));
    let (session, server_session) = net.session(&ours, &theirs);
    assert_eq!(session.close_reason(), None);
    assert_eq!(session.transport(), SessionTransport::Http3);
    let spoken = session.dialect();
    assert_eq!(spoken, Some(Dialect::Draft15));
    assert_eq!(server_session.dialect(), spoken);
    server_session.close(7, "done").expect("is open");
    net.settle();
    let closed = SessionClose::Closed {
        by: Side::Server,
        code: 7,
        reason: "done".into(),
    };
    assert_eq!(session.close_reason(), Some(closed.clone()));
    theirs.close(Code::H3_NO_ERROR, "bye");
    net.settle();
    assert_eq!(
        session.close_reason(),
        Some(closed),
        "and not the later end"
    );
    assert_eq!(session.dialect(), spoken);
    let remote = CloseReason::Remote {
        code: Code::H3_NO_ERROR,
        reason: "bye".into(),
    };
    assert_eq!(ours.close_reason(), Some(remote));
    assert_eq!(ours.early_data(), Some(EarlyData::None));
}

/// A client may be configured to open nothing in a session that drains.
#[test]
fn a_strict_client_opens_nothing_in_a_session_that_drains() {
    let mut net = Net::new();
    let mut strict = Config::default();
    strict.webtransport.strict_draining = true;
    let (ours, theirs) = net.connect_as(strict);
    let (session, server_session) = net.session(&ours, &theirs);
    server_session.drain().expect("is open");
    assert!(net.run(session.draining()));
    let refused = net.run(session.open_uni()).map(drop);
    let why = webtransport::OpenStreamError::SessionDraining;
    assert_eq!(refused, Err(OpenStreamError::Refused(why)));
}

/// The end of the whole connection is told as such, whatever was tried in its sessions.
#[test]
fn a_session_that_ended_with_its_connection_says_so() {
    let mut net = Net::new();
    let (ours, theirs) = net.connect();
    let (session, _server_session) = net.session(&ours, &theirs);
    let (mut send, mut recv) = net.run(session.open_bi()).expect("a stream");
    ours.close(Code::H3_NO_ERROR, "");
    net.settle();
    let local = CloseReason::Local {
        code: Code::H3_NO_ERROR,
        reason: Bytes::new(),
    };
    let opened = net.run(session.open_uni()).map(drop);
    assert_eq!(opened, Err(OpenStreamError::Connection(local.clone())));
    let written = net.run(send.write(b"x"));
    assert_eq!(written, Err(WriteError::Connection(local.clone())));
    let read = net.run(recv.read(&mut [0])).map(drop);
    assert_eq!(read, Err(ReadError::Connection(local)));
}

/// RFC 9297 section 2.1.1: who has not said that it takes datagrams sends none either.
#[test]
fn datagrams_that_are_switched_off() {
    let mut net = Net::new();
    let mut without = Config::default();
    without.datagrams = false;
    let (ours, theirs) = net.connect_as(without);
    let (client, _server) = net.post(&ours, &theirs);
    net.run(ours.settings()).expect("arrive");
    let datagrams = client.datagrams();
    assert_eq!(datagrams.send(b"x"), Err(DatagramError::Disabled));
}
