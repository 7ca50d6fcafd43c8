//! How large a field section may be, in both directions.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::{RequestError, SendError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::fault::Violation;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::Side;
use aqueduct_core::testing::raw::{self, RawPeer, headers, join, varint};
use aqueduct_tests::{announced, assert_closed, assert_refused, bidi, config, fields, get, wt};
use http::{HeaderValue, StatusCode};

/// A field section that is small on the wire and large by the measure of RFC
/// 9114 section 4.2.2: `n` lines count 33 each.
fn many<'a>(first: &[(&'a str, &'a str)], n: usize) -> Vec<u8> {
    let mut lines = first.to_vec();
    lines.extend(std::iter::repeat_n(("a", ""), n));
    headers(&lines)
}

/// HEADERS that declare so many bytes, of which none has come.
fn declared(len: u64) -> Vec<u8> {
    join(&[&[0x01], &varint(len)])
}

/// Row A10, cap `field_section_encoded`: the declared length alone decides, nothing of it
/// has to arrive, and it is a matter of that request.
#[test]
fn encoded_request() {
    for (len, answer) in [
        (64 * 1024, None),
        (64 * 1024 + 1, Some(":status: 431")),
        ((1 << 62) - 1, Some(":status: 431")),
    ] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let id = peer.request(&declared(len));
        let seen = peer.seen(id);
        let told = answer.map(|_| fields(&seen.bytes, 0));
        let told = told.as_ref().and_then(|head| head.lines().next());
        assert_eq!(told, answer, "{len} bytes");
        assert_eq!(seen.stop, answer.map(|_| Code::H3_NO_ERROR), "{len} bytes");
        assert_eq!(peer.closed(), None, "{len} bytes");
        peer.request(&raw::get());
        expect_event!(peer, Side::Server, Event::Request { .. } => ());
    }
}

/// Row A10: what is announced is taken, encoded as it may be. 17 KiB are no matter.
#[test]
fn what_is_announced_is_taken() {
    let request = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ];
    let base: usize = request.iter().map(|(n, v)| n.len() + v.len() + 32).sum();
    for (most, status) in [(64 * 1024, None), (64 * 1024 + 1, Some(":status: 431"))] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        assert!(announced(&peer).contains(&(0x06, 64 * 1024)));
        let filler = "x".repeat(most - base - 33);
        let id = peer.request(&headers(&[&request[..], &[("a", &filler)]].concat()));
        let asked = peer
            .events()
            .iter()
            .any(|event| matches!(event, Event::Request { .. }));
        assert_eq!(asked, status.is_none(), "{most} bytes");
        let answer = status.map(|_| fields(&peer.seen(id).bytes, 0));
        let answer = answer.as_ref().and_then(|answer| answer.lines().next());
        assert_eq!(answer, status, "{most} bytes");
    }
}

/// Row A10: the lesser of the two limits is announced.
#[test]
fn the_lesser_limit_is_announced() {
    for (encoded, decoded) in [(1_000, 9_000), (9_000, 1_000)] {
        let limits = config(|c| {
            c.limits.field_section_encoded = encoded;
            c.limits.field_section = decoded;
        });
        let peer = RawPeer::new(Side::Server, limits);
        assert!(announced(&peer).contains(&(0x06, 1_000)));
    }
}

/// Row A10: responses and trailers, which nobody can answer, cost their stream.
#[test]
fn encoded_response_and_trailers() {
    let too_large = StreamEvent::Malformed(Violation::FieldSectionTooLarge);
    for before in [vec![], raw::status(200), raw::status(103)] {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
        let stream = peer.access().request(&get(), End::More).expect("a request");
        peer.drive();
        peer.write(bidi(0), &join(&[&before, &declared(64 * 1024 + 1)]));
        let told = peer.events().contains(&Event::Stream(stream, too_large));
        assert!(told, "after {before:?}");
        assert_refused(&peer, bidi(0), Code::H3_EXCESSIVE_LOAD, "too large");
        assert_eq!(peer.closed(), None);
    }
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let id = peer.request(&join(&[&raw::get(), &declared(64 * 1024 + 1)]));
    assert_refused(&peer, id, Code::H3_EXCESSIVE_LOAD, "trailers");
    assert_eq!(peer.closed(), None);
}

/// Row A10: the head of a CONNECT is a head like others, and the session beside it goes on.
#[test]
fn encoded_connect() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    let (_, session) = wt::admit(&mut peer, &raw::connect());
    let filler = "x".repeat(65 * 1024);
    let id = peer.request(&wt::connect_with("webtransport", &[("a", &filler)]));
    assert_eq!(
        fields(&peer.seen(id).bytes, 0).lines().next(),
        Some(":status: 431")
    );
    assert_eq!(peer.closed(), None);
    assert_eq!(peer.access().stats().sections_too_large, 1);
    assert!(peer.access().send_datagram(session, b"still here").is_ok());
}

/// Size does not excuse HEADERS where none may be.
#[test]
fn large_and_out_of_place() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    peer.request(&join(&[&raw::connect(), &declared(1 << 30)]));
    assert_closed(&mut peer, Code::H3_FRAME_UNEXPECTED, "HEADERS in a tunnel");
}

/// Row A10, cap `field_section`: a request is answered 431.
#[test]
fn decoded_request() {
    let request = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ];
    let limit = || {
        config(|c| {
            c.limits.field_section = 10_000;
            c.limits.fields = 1_000;
        })
    };
    let base: usize = request.iter().map(|(n, v)| n.len() + v.len() + 32).sum();
    let fits = (10_000 - base) / 33;
    let mut peer = RawPeer::greeted(Side::Server, limit(), &[]);
    peer.request(&many(&request, fits));
    expect_event!(peer, Side::Server, Event::Request { .. } => ());

    let mut peer = RawPeer::greeted(Side::Server, limit(), &[]);
    let id = peer.request(&many(&request, fits + 1));
    assert_eq!(
        fields(&peer.seen(id).bytes, 0).lines().next(),
        Some(":status: 431")
    );
    assert!(
        peer.events()
            .iter()
            .all(|event| !matches!(event, Event::Request { .. }))
    );
    assert_eq!(peer.closed(), None);
    peer.request(&raw::get());
    expect_event!(peer, Side::Server, Event::Request { .. } => ());
}

/// Row A10: a response that is too large costs its stream.
#[test]
fn decoded_response() {
    let limit = config(|c| c.limits.field_section = 1_000);
    let mut peer = RawPeer::greeted(Side::Client, limit, &[]);
    let stream = peer.access().request(&get(), End::More).expect("a request");
    peer.drive();
    peer.write(bidi(0), &many(&[(":status", "200")], 30));
    let too_large = StreamEvent::Malformed(Violation::FieldSectionTooLarge);
    expect_event!(
        peer, Side::Client, Event::Stream(key, event) if key == stream && event == too_large => ()
    );
    assert_refused(&peer, bidi(0), Code::H3_EXCESSIVE_LOAD, "31 lines");
}

/// Row A10: what we send keeps to what the peer announced.
#[test]
fn ours() {
    let mut large = get();
    large.headers.insert(
        "x",
        HeaderValue::from_maybe_shared(vec![b'x'; 300]).expect("a value"),
    );
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[(0x06, 300)]);
    assert_eq!(
        peer.access().request(&large, End::Fin),
        Err(RequestError::HeadTooLarge)
    );
    assert!(peer.access().request(&get(), End::Fin).is_ok());

    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[(0x06, 300)]);
    peer.request(&raw::get());
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    let mut head = ResponseHead::new(StatusCode::OK);
    head.headers = large.headers;
    assert_eq!(
        peer.access().respond(stream, &head, End::Fin),
        Err(SendError::HeadTooLarge)
    );
    let small = ResponseHead::new(StatusCode::OK);
    assert_eq!(peer.access().respond(stream, &small, End::Fin), Ok(()));
}

/// Cap `fields`: 1,800 of them fit 2 kB on the wire and 64 KiB decoded. Each crumb of a
/// cookie counts, and the pseudo-header fields.
#[test]
fn number_of_fields() {
    let request = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ];
    for (crumbs, status) in [
        (124, None),
        (125, Some(":status: 431")),
        (1_800, Some(":status: 431")),
    ] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let lines = [&request[..], &vec![("cookie", "a"); crumbs]].concat();
        let id = peer.request(&headers(&lines));
        let asked = |event: &Event| matches!(event, Event::Request { .. });
        assert_eq!(
            peer.events().iter().any(asked),
            status.is_none(),
            "{crumbs} crumbs"
        );
        let answer = status.map(|_| fields(&peer.seen(id).bytes, 0));
        let answer = answer.as_ref().and_then(|answer| answer.lines().next());
        assert_eq!(answer, status, "{crumbs} crumbs");
        assert_eq!(peer.closed(), None);
        let refused = peer.access().stats().sections_too_large;
        assert_eq!(refused, u64::from(status.is_some()));
    }
}

#[test]
fn number_of_fields_in_a_response() {
    for (more, refused) in [(127, false), (128, true)] {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
        let stream = peer.access().request(&get(), End::More).expect("a request");
        peer.drive();
        peer.write(bidi(0), &many(&[(":status", "200")], more));
        let too_many = StreamEvent::Malformed(Violation::FieldSectionTooLarge);
        let told = peer.events().contains(&Event::Stream(stream, too_many));
        assert_eq!(told, refused, "{more} more");
    }
}
