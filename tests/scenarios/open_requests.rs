//! Limit `open_requests`: a request counts until the application has let go of it,
//! however its stream ends.

use aqueduct_core::code::Code;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Side, StreamId, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, data, join};
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::config;
use http::StatusCode;

const LIMIT: usize = 4;

fn server() -> RawPeer {
    let config = config(|c| c.limits.open_requests = LIMIT);
    let knobs = Knobs {
        bi_streams: 10_000,
        ..Knobs::default()
    };
    RawPeer::greeted_over(
        Side::Server,
        config,
        Loopback::new(knobs),
        raw::WEBTRANSPORT,
    )
}

/// The requests and sessions the application is told of now; it holds each.
fn taken(peer: &mut RawPeer) -> Vec<StreamKey> {
    let told: Vec<_> = peer.events().into_iter().filter_map(asked).collect();
    for stream in &told {
        peer.access().hold(*stream);
    }
    told
}

fn asked(event: Event) -> Option<StreamKey> {
    match event {
        Event::Request { stream, .. } => Some(stream),
        Event::WebTransport(key, SessionEvent::Requested(_)) => Some(key.stream()),
        _ => None,
    }
}

/// The application has no use for what is left of a request.
fn give_up_reading(peer: &mut RawPeer, stream: StreamKey) {
    if let Ok(mut recv) = peer.access().recv(stream) {
        recv.stop(0x10c).expect("it can be given up");
    }
    peer.drive();
}

fn is_rejected(peer: &mut RawPeer, id: StreamId) -> bool {
    peer.drive();
    peer.seen(id).reset == Some(Code::H3_REQUEST_REJECTED)
}

/// One way for a peer to give a request up.
type GiveUp = fn(&mut RawPeer) -> StreamId;

const WAYS: &[(&str, GiveUp)] = &[
    ("stop", |peer| {
        let id = peer.request(&raw::get());
        peer.finish(id);
        peer.drive();
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
        id
    }),
    ("stop and reset", |peer| {
        let id = peer.request(&raw::get());
        peer.drive();
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
        id
    }),
    ("malformed", |peer| {
        let head = raw::headers(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", "/"),
            ("content-length", "1"),
        ]);
        peer.request(&join(&[&head, &data(b"too much")]))
    }),
    ("session", |peer| {
        let id = peer.request(&raw::connect());
        peer.drive();
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
        id
    }),
];

#[test]
fn what_the_application_holds_counts_when_its_stream_is_over() {
    for (way, give_up) in WAYS {
        let mut peer = server();
        let mut held = Vec::new();
        for _ in 0..LIMIT {
            give_up(&mut peer);
            peer.drive();
            held.extend(taken(&mut peer));
        }
        assert_eq!(held.len(), LIMIT, "{way}");
        assert_eq!(peer.access().open_requests(), LIMIT, "{way}");
        let more = peer.request(&raw::get());
        assert!(is_rejected(&mut peer, more), "{way}");
        assert_eq!(taken(&mut peer), [], "{way}");

        give_up_reading(&mut peer, held[0]);
        let more = peer.request(&raw::get());
        assert!(is_rejected(&mut peer, more), "{way}");
        peer.access().release(held[0]);
        let next = peer.request(&raw::get());
        assert!(!is_rejected(&mut peer, next), "{way}");
        assert_eq!(taken(&mut peer).len(), 1, "{way}");
        assert_eq!(peer.access().stats().requests_rejected, 2, "{way}");
    }
}

/// Events that nobody takes: the requests in them wait, and count.
#[test]
fn what_was_not_taken_counts() {
    let mut peer = server();
    peer.taking = false;
    for _ in 0..LIMIT {
        let id = peer.request(&raw::get());
        peer.reset(id, Code::H3_REQUEST_CANCELLED);
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
    }
    let more = peer.request(&raw::get());
    assert!(is_rejected(&mut peer, more));
    peer.taking = true;
    let told: Vec<_> = peer.events().into_iter().filter_map(asked).collect();
    assert_eq!(told.len(), LIMIT);
    told.into_iter()
        .for_each(|stream| give_up_reading(&mut peer, stream));
    assert_eq!(peer.access().open_requests(), 0);
}

/// Who answers in the turn of the event never notices the limit, also when it never reads
/// what came with the request.
#[test]
fn requests_that_are_answered_do_not_count() {
    let mut peer = server();
    for n in 0..10 * LIMIT {
        let id = peer.request(&join(&[&raw::get(), &data(b"unread")]));
        if n % 2 == 0 {
            peer.finish(id);
        }
        let told: Vec<_> = peer.events().into_iter().filter_map(asked).collect();
        let head = ResponseHead::new(StatusCode::NO_CONTENT);
        let answered = peer.access().respond(told[0], &head, End::Fin);
        answered.expect("it waits for an answer");
        peer.drive();
    }
    assert_eq!(peer.access().open_requests(), 0);
    let stats = peer.access().stats();
    assert_eq!(
        (stats.requests, stats.requests_rejected),
        (10 * LIMIT as u64, 0)
    );
}

/// Who lets go of a request after all of its answer has arrived has begun to read nothing
/// either, and the peer may leave it open.
#[test]
fn what_is_let_go_of_unread_does_not_count() {
    let mut peer = server();
    for _ in 0..10 * LIMIT {
        peer.request(&join(&[&raw::get(), &data(b"unread")]));
        let told = taken(&mut peer);
        let head = ResponseHead::new(StatusCode::NO_CONTENT);
        let answered = peer.access().respond(told[0], &head, End::Fin);
        answered.expect("it waits for an answer");
        peer.drive();
        peer.access().release(told[0]);
    }
    assert_eq!(peer.access().open_requests(), 0);
    assert_eq!(peer.access().stats().requests_rejected, 0);
}

/// Nobody answers what was given up before the application knew of it, and nobody reads
/// it: it is not asked for, though the peer never ends it.
#[test]
fn what_was_stopped_before_it_was_taken_does_not_count() {
    let mut peer = server();
    for _ in 0..10 * LIMIT {
        peer.taking = false;
        let id = peer.request(&join(&[&raw::get(), &data(b"unread")]));
        peer.drive();
        peer.stop(id, Code::H3_REQUEST_CANCELLED);
        peer.drive();
        peer.taking = true;
        assert_eq!(peer.events().into_iter().filter_map(asked).count(), 1);
    }
    assert_eq!(peer.access().open_requests(), 0);
    assert_eq!(peer.access().stats().requests_rejected, 0);
}

/// RFC 9204 section 2.2.2.2: the peer's encoder does not wait for what is not read.
#[test]
fn what_is_refused_is_cancelled_for_the_encoder() {
    let mut peer = server();
    for _ in 0..LIMIT {
        peer.request(&raw::get());
    }
    assert_eq!(taken(&mut peer).len(), LIMIT);
    let more = peer.request(&raw::get());
    assert!(is_rejected(&mut peer, more));
    let (_, decoder) = peer.uni_of_type(3).expect("a decoder stream");
    assert_eq!(decoder.bytes, [0x03, 0x50], "cancellation of stream 16");
}

/// A request with content, of which the peer sends no end.
fn begun(peer: &mut RawPeer) -> (StreamId, StreamKey) {
    let id = peer.request(&join(&[&raw::get(), &data(b"content")]));
    let told: Vec<_> = peer.events().into_iter().filter_map(asked).collect();
    (id, told[0])
}

fn answer(peer: &mut RawPeer, stream: StreamKey) {
    let head = ResponseHead::new(StatusCode::NO_CONTENT);
    let answered = peer.access().respond(stream, &head, End::Fin);
    answered.expect("it waits for an answer");
    peer.drive();
}

fn read(peer: &mut RawPeer, stream: StreamKey) {
    let mut access = peer.access();
    let mut recv = access.recv(stream).expect("it is open");
    let read = recv.read(1, &mut [bytes::Bytes::new()]);
    assert_eq!(read.expect("content").bytes, 1);
    peer.drive();
}

/// Whoever has begun to read works on it, before the answer or after.
#[test]
fn what_somebody_reads_counts_though_it_is_answered() {
    let mut peer = server();
    let (_, early) = begun(&mut peer);
    read(&mut peer, early);
    answer(&mut peer, early);
    assert_eq!(peer.access().open_requests(), 1);
    let [one, two] = [0, 1].map(|_| {
        let (_, stream) = begun(&mut peer);
        answer(&mut peer, stream);
        stream
    });
    assert_eq!(peer.access().open_requests(), 1, "nobody reads these two");
    read(&mut peer, one);
    assert_eq!(peer.access().open_requests(), 2);
    peer.access().hold(two);
    assert_eq!(peer.access().open_requests(), 3);
    peer.access().release(two);
    assert_eq!(peer.access().open_requests(), 2);
}

/// Sixteen are kept for those who read late; the peer is asked to end older ones.
#[test]
fn what_nobody_reads_is_stopped_but_for_the_latest() {
    let mut peer = server();
    let ids: Vec<_> = std::iter::repeat_with(|| {
        let (id, stream) = begun(&mut peer);
        answer(&mut peer, stream);
        id
    })
    .take(20)
    .collect();
    for (n, id) in ids.into_iter().enumerate() {
        let stop = (n < 4).then_some(Code::H3_NO_ERROR);
        assert_eq!(peer.seen(id).stop, stop, "{n}");
    }
}

/// Only a request of the connection's own can be held.
#[test]
fn what_is_no_request_is_not_held() {
    let mut other = server();
    let [_, foreign] = [0, 1].map(|_| begun(&mut other).1);
    let mut peer = server();
    peer.request(&raw::connect());
    let session = aqueduct_core::expect_event!(
        peer, Side::Server,
        Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let answer = ConnectAnswer::default();
    let mut access = peer.access();
    let accepted = access.webtransport(session).accept(&answer);
    accepted.expect("asked for");
    peer.uni(&[0x40, 0x54, 0x00]);
    let stream = aqueduct_core::expect_event!(
        peer, Side::Server,
        Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    peer.access().hold(stream);
    peer.access().hold(foreign);
    assert_eq!(peer.access().open_requests(), 1);
}
