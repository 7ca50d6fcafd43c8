//! What `content-length` says has to be what comes.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::{ReadError, SendError, WriteError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::fault::Violation;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Side, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{RawPeer, data, headers, join};
use aqueduct_core::transport::ReadState;
use aqueduct_tests::{assert_refused, bidi, get, request};
use bytes::Bytes;
use http::{Method, StatusCode};

fn post(length: &str) -> Vec<u8> {
    headers(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
        ("content-length", length),
    ])
}

fn read_all(peer: &mut RawPeer, stream: StreamKey) -> Result<usize, ReadError> {
    let mut out = [const { Bytes::new() }; 4];
    let mut total = 0;
    loop {
        let mut access = peer.access();
        let mut recv = access.recv(stream).map_err(|_| ReadError::Gone)?;
        let read = recv.read(usize::MAX, &mut out)?;
        total += read.bytes;
        if read.state != ReadState::Open {
            return Ok(total);
        }
    }
}

/// Row A7: too little, too much, and none at all.
#[test]
fn requests_that_do_not_match() {
    for body in [&b""[..], b"1234", b"123456"] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let bytes = if body.is_empty() {
            post("5")
        } else {
            join(&[&post("5"), &data(body)])
        };
        let id = peer.request(&bytes);
        peer.finish(id);
        if let Some(stream) = aqueduct_core::take_event!(
            peer, Side::Server, Event::Request { stream, .. } => stream
        ) {
            let _ = read_all(&mut peer, stream);
            peer.drive();
            let wrong = StreamEvent::Malformed(Violation::ContentLength);
            expect_event!(
                peer, Side::Server,
                Event::Stream(key, event) if key == stream && event == wrong => ()
            );
        }
        assert_refused(
            &peer,
            id,
            Code::H3_MESSAGE_ERROR,
            &format!("{} bytes", body.len()),
        );
    }
}

/// Row A7: values that are no length.
#[test]
fn values_that_are_no_length() {
    for value in [
        "-1",
        "+5",
        "5 ",
        "abc",
        "",
        "5, 6",
        "18446744073709551616",
        "0x5",
    ] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let id = peer.request(&post(value));
        assert_refused(&peer, id, Code::H3_MESSAGE_ERROR, value);
    }
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let id = peer.request(&headers(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
        ("content-length", "5"),
        ("content-length", "6"),
    ]));
    assert_refused(&peer, id, Code::H3_MESSAGE_ERROR, "two lengths");
}

/// A request, and the head of its response that states a length.
fn answered(method: Method, status: &str) -> (RawPeer, StreamKey) {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
    let mut head = get();
    head.method = method;
    let stream = peer.access().request(&head, End::Fin).expect("a request");
    peer.drive();
    peer.write(
        bidi(0),
        &headers(&[(":status", status), ("content-length", "1000")]),
    );
    (peer, stream)
}

/// Responses that have no content, whatever length they state.
const EMPTY: [(Method, &str); 3] = [
    (Method::HEAD, "200"),
    (Method::GET, "304"),
    (Method::GET, "204"),
];

/// Row A7: responses to HEAD, 304 and 204 tell the length of what they leave out.
#[test]
fn responses_without_content() {
    for (method, status) in EMPTY {
        let (mut peer, stream) = answered(method, status);
        peer.finish(bidi(0));
        expect_event!(peer, Side::Client, Event::Response { .. } => ());
        assert_eq!(read_all(&mut peer, stream), Ok(0));
        assert_eq!(peer.seen(bidi(0)).stop, None);
    }
    // With GET and 200 the same is malformed.
    let (mut peer, stream) = answered(Method::GET, "200");
    peer.finish(bidi(0));
    let _ = read_all(&mut peer, stream);
    peer.drive();
    assert_eq!(peer.closed(), None);
    let wrong = StreamEvent::Malformed(Violation::ContentLength);
    expect_event!(
        peer, Side::Client, Event::Stream(key, event) if key == stream && event == wrong => ()
    );
}

/// Row A7, RFC 9114 section 4.1.2: content where there can be none is malformed, even
/// as much as the length says.
#[test]
fn content_where_there_can_be_none() {
    for (method, status) in EMPTY {
        for body in [1, 1_000] {
            let what = format!("{body} bytes for {method} and {status}");
            let (mut peer, stream) = answered(method.clone(), status);
            expect_event!(peer, Side::Client, Event::Response { .. } => ());
            peer.write(bidi(0), &data(&vec![b'x'; body]));
            assert_eq!(read_all(&mut peer, stream), Err(ReadError::Gone), "{what}");
            peer.drive();
            let wrong = StreamEvent::Malformed(Violation::ContentLength);
            expect_event!(
                peer, Side::Client, Event::Stream(key, event) if key == stream && event == wrong => ()
            );
            assert_refused(&peer, bidi(0), Code::H3_MESSAGE_ERROR, &what);
        }
    }
}

/// Row A7: nor does our side send any.
#[test]
fn no_content_of_ours_where_there_can_be_none() {
    for (method, status) in EMPTY {
        let mut pair = LoopbackPair::connected(Knobs::default());
        let mut head = get();
        head.method = method;
        let (_, server) = request(&mut pair, &head);
        let mut head = ResponseHead::new(status.parse().expect("a status"));
        let length = "1000".parse().expect("a value");
        head.headers.insert("content-length", length);
        let answered = pair.server().respond(server, &head, End::More);
        answered.expect("a length alone may be told");
        assert_eq!(
            pair.write_all(Side::Server, server, "x"),
            Err(WriteError::ContentLength),
            "{status}"
        );
        let finished = pair.server().send(server).expect("a stream").finish();
        assert_eq!(finished, Ok(()), "{status}");
    }
}

fn post_head(length: &str) -> RequestHead {
    let mut head = get();
    head.method = Method::POST;
    head.headers
        .insert("content-length", length.parse().expect("a value"));
    head
}

/// Row A7: our own side is held to it as well.
#[test]
fn our_own_content() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let stream = pair
        .client()
        .request(&post_head("5"), End::More)
        .expect("a request");
    assert_eq!(pair.write_all(Side::Client, stream, "123"), Ok(()));
    let finished = pair.client().send(stream).expect("a stream").finish();
    assert_eq!(finished, Err(SendError::ContentLength));
    assert_eq!(
        pair.write_all(Side::Client, stream, "456"),
        Err(WriteError::ContentLength)
    );
    assert_eq!(pair.write_all(Side::Client, stream, "45"), Ok(()));
    assert_eq!(
        pair.client().send(stream).expect("a stream").finish(),
        Ok(())
    );
    let server = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
    assert_eq!(
        pair.read_to_end(Side::Server, server),
        Ok(b"12345".to_vec())
    );

    let (_, server) = request(&mut pair, &get());
    let mut head = ResponseHead::new(StatusCode::OK);
    head.headers
        .insert("content-length", "5".parse().expect("a value"));
    assert_eq!(
        pair.server().respond(server, &head, End::Fin),
        Err(SendError::ContentLength)
    );
}
