//! HTTP datagrams of requests (RFC 9297).

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::datagram::{ContextId, NoContext};
use aqueduct_core::error::DatagramError;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, Protocol, ResponseHead};
use aqueduct_core::id::{Side, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, varint};
use aqueduct_tests::{assert_closed, assert_refused, bidi, get};
use http::{Method, StatusCode};

/// A pair with a tunnel that has both sides' datagrams on.
fn tunnel(knobs: Knobs) -> (LoopbackPair, StreamKey, StreamKey) {
    let mut pair = LoopbackPair::connected(knobs);
    let mut head = get();
    head.method = Method::CONNECT;
    head.protocol = Some(Protocol::new("connect-udp"));
    let client = pair.client().request(&head, End::More).expect("a tunnel");
    pair.client().enable_datagrams(client).expect("a stream");
    let server = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
    pair.server().enable_datagrams(server).expect("a stream");
    let ok = ResponseHead::new(StatusCode::OK);
    pair.server()
        .respond(server, &ok, End::More)
        .expect("an answer");
    expect_event!(pair, Side::Client, Event::Response { .. } => ());
    (pair, client, server)
}

/// Row A13: both ways, in order, told once until drained.
#[test]
fn they_arrive_at_their_request() {
    let (mut pair, client, server) = tunnel(Knobs::default());
    for (from, key, to, there) in [
        (Side::Client, client, Side::Server, server),
        (Side::Server, server, Side::Client, client),
    ] {
        for n in 0..3u8 {
            pair.access(from).send_datagram(key, &[n]).expect("room");
        }
        let events = pair.events(to);
        let told = aqueduct_tests::stream_events(&events, there);
        assert_eq!(told, [StreamEvent::Datagrams]);
        for n in 0..3u8 {
            assert_eq!(
                pair.access(to).recv_datagram(there).as_deref(),
                Some(&[n][..])
            );
        }
        assert_eq!(pair.access(to).recv_datagram(there), None);
    }
    assert_eq!(pair.client().stats().datagrams_sent, 3);
    assert_eq!(pair.client().stats().datagrams_received, 3);
}

/// Row A13: on the wire stands a quarter of the stream id.
#[test]
fn the_prefix_is_a_quarter_of_the_id() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[(0x33, 1)]);
    for _ in 0..3 {
        peer.request(&raw::get());
    }
    let stream = expect_event!(
        peer, Side::Server, Event::Request { stream, .. } if stream.id() == bidi(2) => stream
    );
    peer.access().enable_datagrams(stream).expect("a stream");
    peer.access().send_datagram(stream, b"hi").expect("room");
    peer.drive();
    assert_eq!(peer.datagrams(), [&b"\x02hi"[..]]);
    peer.datagram(b"\x02");
    assert_eq!(
        peer.access().recv_datagram(stream).as_deref(),
        Some(&b""[..]),
        "may be empty"
    );
}

/// RFC 9298 section 4: a context id stands between the prefix and the payload.
#[test]
fn a_context_id_goes_before_the_payload() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[(0x33, 1)]);
    peer.request(&raw::get());
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    peer.access().enable_datagrams(stream).expect("a stream");
    for id in [0, 70] {
        let context = ContextId::from_u32(id);
        let sent = peer.access().send_datagram_in(stream, context, b"hi");
        sent.expect("room");
    }
    peer.drive();
    assert_eq!(peer.datagrams(), [&b"\0\0hi"[..], b"\0\x40\x46hi"]);
    for bytes in [&b"\0\x40\x46hi"[..], b"\0\x40"] {
        peer.datagram(bytes);
    }
    let mut split = || ContextId::split(peer.access().recv_datagram(stream).expect("arrived"));
    assert_eq!(split(), Ok((ContextId::from_u32(70), "hi".into())));
    assert_eq!(split(), Err(NoContext), "the receiver decides");
    assert_eq!(peer.closed(), None);
}

/// A context id counts as payload.
#[test]
fn a_context_id_takes_room() {
    let (mut pair, client, _) = tunnel(Knobs::default());
    let max = pair.client().max_datagram_size(client).expect("datagrams");
    let context = ContextId::from_u32(70);
    let mut send = |len| {
        pair.client()
            .send_datagram_in(client, context, &vec![0; len])
    };
    assert_eq!(send(max - 1), Err(DatagramError::TooLargeForPath));
    assert_eq!(send(max - 2), Ok(()));
}

/// RFC 9298 section 5: a client need not wait for the answer, nor for the server's
/// application to take notice.
#[test]
fn what_is_sent_ahead_waits_for_the_application() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let mut head = get();
    head.method = Method::CONNECT;
    head.protocol = Some(Protocol::new("connect-udp"));
    let client = pair.client().request(&head, End::More).expect("a tunnel");
    let server = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
    pair.client().enable_datagrams(client).expect("a stream");
    for n in 0..106u8 {
        pair.client().send_datagram(client, &[n]).expect("room");
        pair.drive();
    }
    pair.server().enable_datagrams(server).expect("a stream");
    let events = pair.events(Side::Server);
    let told = aqueduct_tests::stream_events(&events, server);
    assert_eq!(told, [StreamEvent::Datagrams]);
    for n in 0..100u8 {
        let datagram = pair.server().recv_datagram(server);
        assert_eq!(datagram.as_deref(), Some(&[n][..]));
    }
    assert_eq!(pair.server().recv_datagram(server), None, "100 are held");
    assert_eq!(pair.server().stats().datagrams_overflowed, 6);
    assert_eq!(pair.server().stats().datagrams_unclaimed, 0);
}

/// What nobody asks for is forgotten in time.
#[test]
fn what_is_sent_ahead_in_vain_is_forgotten() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[(0x33, 1)]);
    let head = [
        (":method", "CONNECT"),
        (":protocol", "connect-udp"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ];
    peer.request(&raw::headers(&head));
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    peer.datagram(b"\0early");
    peer.advance(Config::default().limits.early_timeout);
    assert_eq!(peer.access().stats().datagrams_unclaimed, 1);
    peer.access().enable_datagrams(stream).expect("a stream");
    assert_eq!(peer.access().recv_datagram(stream), None);
}

/// The oldest of a full ring goes, and is counted for its request.
#[test]
fn a_full_ring_loses_its_oldest() {
    let (mut pair, client, server) = tunnel(Knobs::default());
    for n in 0..1004u32 {
        let payload = n.to_be_bytes();
        pair.client().send_datagram(client, &payload).expect("room");
        pair.drive();
    }
    assert_eq!(pair.server().datagrams_overflowed(server), 4);
    let oldest = pair.server().recv_datagram(server);
    assert_eq!(oldest.as_deref(), Some(&4u32.to_be_bytes()[..]));
}

/// Row A13: four ways not to be sent.
#[test]
fn refusals_are_distinct() {
    let knobs = Knobs {
        path_datagram_size: 100,
        datagram_queue: 2,
        ..Knobs::default()
    };
    let knobs = Knobs {
        datagram_size: Some(200),
        ..knobs
    };
    let (mut pair, client, _) = tunnel(knobs);
    assert_eq!(pair.client().max_datagram_size(client), Some(99));
    let mut send = |len: usize| pair.client().send_datagram(client, &vec![0; len]);
    assert_eq!(send(200), Err(DatagramError::TooLarge));
    assert_eq!(send(100), Err(DatagramError::TooLargeForPath));
    assert_eq!(send(99), Ok(()));
    assert_eq!(send(99), Ok(()));
    assert_eq!(send(99), Err(DatagramError::Blocked));
    pair.drive();
    assert_eq!(pair.client().send_datagram(client, b"again"), Ok(()));

    // Off at the peer's HTTP/3, although its QUIC takes them.
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    peer.request(&raw::get());
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    peer.access().enable_datagrams(stream).expect("a stream");
    assert_eq!(
        peer.access().send_datagram(stream, b"x"),
        Err(DatagramError::Disabled)
    );
    assert_eq!(peer.access().max_datagram_size(stream), None);
}

/// Row A13, RFC 9297 section 2.1.
#[test]
fn prefixes_that_are_wrong() {
    for bytes in [vec![], vec![0x40], varint(1 << 60), varint((1 << 62) - 1)] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[(0x33, 1)]);
        peer.datagram(&bytes);
        assert_closed(&mut peer, Code::H3_DATAGRAM_ERROR, &format!("{bytes:x?}"));
    }
}

/// Row A13: for a request that has no use for them, and for none at all.
#[test]
fn unwanted_ones() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[(0x33, 1)]);
    let id = peer.request(&raw::get());
    expect_event!(peer, Side::Server, Event::Request { .. } => ());
    peer.datagram(&[0x00, b'x']);
    assert_refused(&peer, id, Code::H3_DATAGRAM_ERROR, "GET has no datagrams");
    // Late ones for a request that is over are dropped.
    peer.datagram(&[0x00, b'x']);
    assert_eq!(peer.closed(), None);
    assert_eq!(peer.access().stats().datagrams_unclaimed, 2);
}

/// Row A13: nothing is received or sent without the transport.
#[test]
fn without_the_transport() {
    let none = Knobs {
        datagram_size: None,
        ..Knobs::default()
    };
    let net = Loopback::with_ends(Knobs::default(), none);
    let mut peer = RawPeer::greeted_over(Side::Client, Config::default(), net, &[]);
    let stream = peer.access().request(&get(), End::More).expect("a request");
    peer.access().enable_datagrams(stream).expect("a stream");
    assert_eq!(
        peer.access().send_datagram(stream, b"x"),
        Err(DatagramError::Disabled)
    );
}
