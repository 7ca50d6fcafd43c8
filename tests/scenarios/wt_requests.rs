//! Asking for a session, and the answers.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::RequestError;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::ResponseHead;
use aqueduct_core::id::{SessionKey, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, headers, join};
use aqueduct_core::webtransport::{
    ConnectAnswer, ConnectRequest, OpenSessionError, Origins, SessionEvent,
};
use aqueduct_tests::{assert_closed, assert_refused, bidi, config, frames, seeds};
use bytes::Bytes;
use http::StatusCode;

fn there() -> ConnectRequest {
    ConnectRequest::new("https://example.com/wt".parse().expect("an address"))
}

/// A client of ours that has asked a scripted server.
fn asked() -> (RawPeer, SessionKey) {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
    let session = peer.access().open_session(&there()).expect("asks");
    peer.drive();
    (peer, session)
}

/// Rows B5, B32: every answer but 2xx is reported with its status; redirects are
/// not followed.
#[test]
fn answers_that_are_no() {
    for status in [302, 400, 403, 404, 405, 429, 500, 501] {
        let (mut peer, session) = asked();
        peer.write(
            bidi(0),
            &headers(&[(":status", &status.to_string()), ("location", "/other")]),
        );
        peer.finish(bidi(0));
        let (told, answer) = expect_event!(
            peer, Side::Client,
            Event::WebTransport(key, SessionEvent::Rejected { status, answer }) if key == session
                => (status, answer)
        );
        assert_eq!(told.as_u16(), status);
        assert_eq!(
            answer.headers.get("location").map(|v| v.as_bytes()),
            Some(&b"/other"[..])
        );
        assert!(peer.access().webtransport(session).stats().is_none());
        let closed = peer.events();
        assert!(
            closed.iter().all(|e| !matches!(e, Event::WebTransport(..))),
            "{closed:?}"
        );
        assert!(
            peer.seen(bidi(1)).bytes.is_empty(),
            "nothing is asked again"
        );
        assert_eq!(peer.closed(), None);
    }
}

/// Row B5: a refusal carries fields and content that say why.
#[test]
fn a_refusal_with_a_reason() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    let id = peer.request(&raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let head = ResponseHead::new(StatusCode::FORBIDDEN);
    let why = Bytes::from_static(b"not from here");
    peer.access()
        .webtransport(session)
        .reject_with(&head, why)
        .expect("rejects");
    peer.drive();
    let seen = peer.seen(id);
    assert!(seen.fin);
    let content: Vec<_> = frames(&seen.bytes)
        .into_iter()
        .filter(|(ty, _)| *ty == 0)
        .collect();
    assert_eq!(content, [(0, b"not from here".to_vec())]);
}

/// Row B5: our server's refusals on the wire, with the origin to decide by.
#[test]
fn refusals_of_ours() {
    for status in [
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::BAD_GATEWAY,
    ] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
        let id = peer.request(&headers(&[
            (":method", "CONNECT"),
            (":protocol", "webtransport"),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", "/wt"),
            ("origin", "https://example.com"),
        ]));
        let (session, asked) = expect_event!(
            peer, Side::Server,
            Event::WebTransport(key, SessionEvent::Requested(asked)) => (key, asked)
        );
        assert_eq!(asked.origin(), Some("https://example.com"));
        assert_eq!(asked.uri.to_string(), "https://example.com/wt");
        peer.access()
            .webtransport(session)
            .reject(status)
            .expect("rejects");
        peer.drive();
        let seen = peer.seen(id);
        let line = format!(":status: {}", status.as_u16());
        assert!(aqueduct_tests::fields(&seen.bytes, 0).starts_with(&line));
        assert!(seen.fin);
    }
}

/// Interim answers come first and decide nothing.
#[test]
fn interim_answers() {
    let (mut peer, session) = asked();
    peer.write(bidi(0), &raw::status(103));
    let told = peer.events();
    let decided = told.iter().any(|e| matches!(e, Event::WebTransport(..)));
    assert!(!decided, "{told:?}");
    peer.write(bidi(0), &raw::status(200));
    expect_event!(
        peer, Side::Client,
        Event::WebTransport(key, SessionEvent::Established(_)) if key == session => ()
    );
}

/// RFC 9297 section 3.2: a message with capsules has no content of its own.
#[test]
fn answers_that_are_malformed() {
    for fields in [
        vec![(":status", "204")],
        vec![(":status", "205")],
        vec![(":status", "200"), ("content-length", "0")],
        vec![(":status", "200"), ("transfer-encoding", "chunked")],
    ] {
        let (mut peer, _) = asked();
        peer.write(bidi(0), &headers(&fields));
        let told = peer.events();
        let up = told
            .iter()
            .any(|e| matches!(e, Event::WebTransport(_, SessionEvent::Established(_))));
        assert!(!up, "{fields:?}");
        assert_refused(
            &peer,
            bidi(0),
            Code::H3_MESSAGE_ERROR,
            &format!("{fields:?}"),
        );
    }
    let (mut peer, _) = asked();
    peer.write(
        bidi(0),
        &join(&[&raw::status(200), &headers(&[("x", "y")])]),
    );
    assert_closed(
        &mut peer,
        Code::H3_FRAME_UNEXPECTED,
        "HEADERS after the answer",
    );
}

/// Fields travel both ways.
#[test]
fn fields_arrive() {
    let server =
        config(|c| c.webtransport.origins = Origins::listed(["https://elsewhere.example"]));
    let mut pair = LoopbackPair::new(Config::default(), server, Knobs::default());
    pair.connect();
    let mut request = there();
    request.headers.insert(
        "origin",
        "https://elsewhere.example".parse().expect("a value"),
    );
    request
        .headers
        .insert("x-app", "1".parse().expect("a value"));
    pair.client().open_session(&request).expect("asks");
    let (session, asked) = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(asked)) => (key, asked)
    );
    assert_eq!(asked.origin(), Some("https://elsewhere.example"));
    assert!(asked.headers.contains_key("x-app"));
    let mut answer = ConnectAnswer::default();
    answer
        .headers
        .insert("x-app", "2".parse().expect("a value"));
    pair.server()
        .webtransport(session)
        .accept(&answer)
        .expect("accepts");
    let answer = expect_event!(
        pair, Side::Client, Event::WebTransport(_, SessionEvent::Established(answer)) => answer
    );
    assert_eq!(
        answer.headers.get("x-app").map(|v| v.as_bytes()),
        Some(&b"2"[..])
    );
}

/// Row B5: a refusal may say why.
#[test]
fn refusals_with_words() {
    for seed in seeds(30) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let client = pair.client().open_session(&there()).expect("asks");
        let server = expect_event!(
            pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
        );
        let mut head = ResponseHead::new(StatusCode::FORBIDDEN);
        head.headers
            .insert("x-why", "origin".parse().expect("a value"));
        let words = Bytes::from_static(&[b'w'; 3_000]);
        pair.server()
            .webtransport(server)
            .reject_with(&head, words)
            .expect("rejects");
        let answer = expect_event!(
            pair, Side::Client,
            Event::WebTransport(key, SessionEvent::Rejected { answer, .. }) if key == client => answer
        );
        assert!(answer.headers.contains_key("x-why"), "SEED={seed}");
        pair.drive();
        for side in [Side::Client, Side::Server] {
            let (conn, _) = pair.connection(side);
            assert_eq!(conn.live_streams(), 3, "the critical ones, SEED={seed}");
        }
    }
}

/// RFC 9297 section 3.2 for requests, and draft-ietf-webtrans-http3-16 section 3.2: the
/// scheme is https. Two origins cannot be judged.
#[test]
fn requests_that_are_malformed() {
    let https = ("https", "/wt");
    for (what, (scheme, path), more) in [
        ("a length", https, vec![("content-length", "0")]),
        ("a type", https, vec![("content-type", "text/plain")]),
        ("http", ("http", "/wt"), vec![]),
        ("another scheme", ("wss", "/wt"), vec![]),
        ("no path", ("https", ""), vec![]),
        ("an asterisk", ("https", "*"), vec![]),
        (
            "two origins",
            https,
            vec![("origin", "https://a.example"), ("origin", "null")],
        ),
    ] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
        let head = [
            (":method", "CONNECT"),
            (":protocol", "webtransport"),
            (":scheme", scheme),
            (":authority", "example.com"),
            (":path", path),
        ];
        let id = peer.request(&headers(&[&head[..], &more].concat()));
        assert_refused(&peer, id, Code::H3_MESSAGE_ERROR, what);
        let told = peer.events();
        assert!(
            told.iter().all(|e| !matches!(e, Event::WebTransport(..))),
            "{told:?}"
        );
    }
}

/// The same rules for what this side asks for: the field is named, and nothing is sent.
#[test]
fn requests_of_ours_that_would_be_malformed() {
    for (uri, field) in [
        ("http://example.com/wt", ":scheme"),
        ("wss://example.com/wt", ":scheme"),
        ("https://user@example.com/wt", ":authority"),
    ] {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), raw::WEBTRANSPORT);
        let request = ConnectRequest::new(uri.parse().expect("a URI"));
        let error = peer.access().open_session(&request).expect_err(uri);
        let OpenSessionError::Request(RequestError::InvalidHead(invalid)) = error else {
            panic!("{uri}: {error:?}");
        };
        assert_eq!(invalid.field, field, "{uri}");
        assert!(error.to_string().contains(field), "{error}");
        peer.drive();
        assert!(peer.seen(bidi(0)).bytes.is_empty());
    }
}
