//! Malformed messages cost their stream, and nothing else.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::fault::Violation;
use aqueduct_core::head::End;
use aqueduct_core::id::Side;
use aqueduct_core::testing::raw::{self, RawPeer, data, headers, join};
use aqueduct_core::{expect_event, take_event};
use aqueduct_tests::{assert_refused, bidi, get};

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
const AUTHORITY: (&str, &str) = (":authority", "example.com");
const PATH: (&str, &str) = (":path", "/");

/// A good request with one more line.
fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![METHOD, SCHEME, AUTHORITY, PATH, (name, value)]
}

/// Row A6: RFC 9114 sections 4.1.2, 4.2, 4.3.1, 10.3.
#[test]
fn requests() {
    let cases: &[Vec<(&str, &str)>] = &[
        // Pseudo-header fields.
        vec![SCHEME, AUTHORITY, PATH],
        vec![METHOD, AUTHORITY, PATH],
        vec![METHOD, SCHEME, AUTHORITY],
        vec![METHOD, SCHEME, PATH],
        vec![METHOD, METHOD, SCHEME, AUTHORITY, PATH],
        vec![METHOD, SCHEME, SCHEME, AUTHORITY, PATH],
        vec![METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH],
        vec![METHOD, SCHEME, AUTHORITY, PATH, PATH],
        vec![METHOD, SCHEME, AUTHORITY, ("accept", "*/*"), PATH],
        vec![METHOD, SCHEME, AUTHORITY, (":path", "")],
        vec![METHOD, SCHEME, AUTHORITY, (":path", "no-slash")],
        vec![METHOD, SCHEME, (":authority", ""), PATH],
        vec![METHOD, SCHEME, (":authority", "user@example.com"), PATH],
        vec![METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")],
        vec![METHOD, SCHEME, AUTHORITY, PATH, (":unknown", "x")],
        vec![
            METHOD,
            SCHEME,
            AUTHORITY,
            PATH,
            (":protocol", "webtransport"),
        ],
        vec![(":method", ""), SCHEME, AUTHORITY, PATH],
        vec![(":method", "G T"), SCHEME, AUTHORITY, PATH],
        // Host.
        with("host", "other.example"),
        vec![METHOD, SCHEME, PATH, ("host", "")],
        // Names and values.
        with("Accept", "x"),
        with("", "x"),
        with("a b", "x"),
        with("a:b", "x"),
        with("a\0", "x"),
        with("x", "a\0b"),
        with("x", "a\rb"),
        with("x", "a\nb"),
        with("x", "a\x01b"),
        with("x", " a"),
        with("x", "a\t"),
        // Fields of one connection.
        with("connection", "close"),
        with("keep-alive", "1"),
        with("proxy-connection", "close"),
        with("transfer-encoding", "chunked"),
        with("upgrade", "h2c"),
        with("te", "gzip"),
    ];
    for fields in cases {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let id = peer.request(&headers(fields));
        assert_refused(&peer, id, Code::H3_MESSAGE_ERROR, &format!("{fields:?}"));
        let request = take_event!(peer, Side::Server, Event::Request { .. } => ());
        assert!(request.is_none(), "{fields:?}");
        peer.request(&raw::get());
        expect_event!(peer, Side::Server, Event::Request { .. } => ());
    }
}

/// Row A6: what looks odd and is allowed.
#[test]
fn requests_that_are_fine() {
    let cases: &[Vec<(&str, &str)>] = &[
        vec![PATH, AUTHORITY, SCHEME, METHOD],
        vec![METHOD, SCHEME, PATH, ("host", "example.com")],
        with("host", "example.com"),
        with("te", "trailers"),
        with("x", ""),
        with("x", "a\tb \u{e9}"),
        vec![(":method", "OPTIONS"), SCHEME, AUTHORITY, (":path", "*")],
        vec![(":method", "PURGE"), SCHEME, AUTHORITY, PATH],
    ];
    for fields in cases {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        peer.request(&headers(fields));
        expect_event!(peer, Side::Server, Event::Request { .. } => ());
    }
}

/// Repeated fields keep their order and none is lost; a split cookie is joined
/// for those who look at it as one field.
#[test]
fn repeated_fields_stay() {
    let config = aqueduct_tests::config(|c| c.field_lines = true);
    let mut peer = RawPeer::greeted(Side::Server, config, &[]);
    peer.request(&headers(&[
        METHOD,
        SCHEME,
        AUTHORITY,
        PATH,
        ("x", "1"),
        ("y", "2"),
        ("x", "3"),
    ]));
    let head = expect_event!(peer, Side::Server, Event::Request { head, .. } => head);
    let values: Vec<_> = head.headers.get_all("x").iter().collect();
    assert_eq!(values, ["1", "3"]);
    let names: Vec<_> = head.fields().iter().map(|field| field.name).collect();
    let wire: [&[u8]; 7] = [
        b":method",
        b":scheme",
        b":authority",
        b":path",
        b"x",
        b"y",
        b"x",
    ];
    assert_eq!(names, wire);
}

/// Row A6: responses, and trailers.
#[test]
fn responses() {
    let ok = raw::status(200);
    let cases = [
        headers(&[]),
        headers(&[("x", "y")]),
        headers(&[(":status", "200"), (":status", "200")]),
        headers(&[(":status", "2000")]),
        headers(&[(":status", "99")]),
        headers(&[(":status", "abc")]),
        headers(&[(":status", "101")]),
        headers(&[("x", "y"), (":status", "200")]),
        headers(&[(":status", "200"), (":path", "/")]),
        headers(&[(":status", "200"), ("Upper", "x")]),
        headers(&[(":status", "200"), ("connection", "close")]),
        headers(&[(":status", "200"), ("te", "trailers")]),
        join(&[&ok, &headers(&[(":status", "200")])]),
        join(&[
            &ok,
            &data(b"x"),
            &headers(&[("transfer-encoding", "chunked")]),
        ]),
    ];
    for bytes in cases {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
        let stream = peer.access().request(&get(), End::More).expect("a request");
        peer.drive();
        peer.write(bidi(0), &bytes);
        let mut read = [const { bytes::Bytes::new() }; 4];
        while let Ok(mut recv) = peer.access().recv(stream) {
            match recv.read(usize::MAX, &mut read) {
                Ok(read) if read.bytes > 0 => {}
                _ => break,
            }
        }
        peer.drive();
        assert_refused(
            &peer,
            bidi(0),
            Code::H3_MESSAGE_ERROR,
            &format!("{bytes:x?}"),
        );
        let malformed = StreamEvent::Malformed(Violation::MessageMalformed);
        expect_event!(
            peer, Side::Client,
            Event::Stream(key, event) if key == stream && event == malformed => ()
        );
    }
}

/// RFC 9114 section 4.1: streams that end before there is a message.
#[test]
fn messages_that_never_come() {
    for bytes in [&b""[..], b"\x21\x01x"] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let id = peer.request(bytes);
        peer.finish(id);
        assert_refused(&peer, id, Code::H3_REQUEST_INCOMPLETE, "no request");
    }

    for bytes in [vec![], raw::status(103)] {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
        let stream = peer.access().request(&get(), End::More).expect("a request");
        peer.drive();
        peer.write(bidi(0), &bytes);
        peer.finish(bidi(0));
        let incomplete = StreamEvent::Malformed(Violation::ResponseIncomplete);
        expect_event!(
            peer, Side::Client,
            Event::Stream(key, event) if key == stream && event == incomplete => ()
        );
        assert_refused(&peer, bidi(0), Code::H3_MESSAGE_ERROR, "no final response");
    }
}
