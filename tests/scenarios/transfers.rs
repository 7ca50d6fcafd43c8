//! Bodies of every size, on every kind of network.

use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::{Knobs, Rng};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_tests::{get, seeds, stream_events};
use http::{Method, StatusCode};

/// `len` bytes that differ from their neighbours.
fn body(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ n >> 8) as u8).collect()
}

/// Row A5: request and response content arrive whole and both ends are told.
#[test]
fn http_content_arrives() {
    for seed in seeds(60) {
        let len = Rng::new(seed).below(5_000) as usize;
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let mut head = get();
        head.method = Method::POST;
        let client = pair.client().request(&head, End::More).expect("a request");
        let server = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
        let up = pair.transfer(Side::Client, client, server, &body(len));
        assert!(up == body(len), "SEED={seed}");
        let ok = ResponseHead::new(StatusCode::OK);
        pair.server()
            .respond(server, &ok, End::More)
            .expect("an answer");
        let down = pair.transfer(Side::Server, server, client, &body(len));
        assert!(down == body(len), "SEED={seed}");
        for (side, key) in [(Side::Client, client), (Side::Server, server)] {
            let events = pair.events(side);
            let delivered = stream_events(&events, key);
            let delivered = delivered.iter().filter(|e| **e == StreamEvent::Delivered);
            assert_eq!(delivered.count(), 1, "{side:?} SEED={seed}");
        }
    }
}

/// Row B7: session streams of both kinds, opened by either side.
#[test]
fn session_streams_arrive() {
    for seed in seeds(60) {
        let len = Rng::new(seed).below(5_000) as usize;
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let (client, server) = pair.session("https://example.com/wt");
        for (from, session) in [(Side::Client, client), (Side::Server, server)] {
            for dir in [Dir::Bi, Dir::Uni] {
                let here = pair
                    .access(from)
                    .webtransport(session)
                    .open_stream(dir)
                    .expect("a stream");
                let there = super::wt_streams::opened(&mut pair, from.peer());
                let got = pair.transfer(from, here, there, &body(len));
                assert!(got == body(len), "{dir:?} SEED={seed}");
                if dir == Dir::Bi {
                    let back = pair.transfer(from.peer(), there, here, &body(len / 2));
                    assert!(back == body(len / 2), "SEED={seed}");
                }
            }
        }
    }
}

/// A message's content is framed in pieces no larger than the cap
/// `frame_payload`, whatever one write offers.
#[test]
fn large_writes_are_cut() {
    use aqueduct_core::testing::raw::{self, RawPeer};
    let config = aqueduct_tests::config(|c| c.limits.frame_payload = 1_000);
    let mut peer = RawPeer::greeted(Side::Server, config, &[]);
    let id = peer.request(&raw::get());
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    let ok = ResponseHead::new(StatusCode::OK);
    peer.access()
        .respond(stream, &ok, End::More)
        .expect("an answer");
    let mut chunks = [bytes::Bytes::from(body(10_000))];
    while !chunks[0].is_empty() {
        let taken = peer
            .access()
            .send(stream)
            .expect("a stream")
            .write(&mut chunks);
        assert!(taken.expect("room") > 0);
        peer.drive();
    }
    peer.access()
        .send(stream)
        .expect("a stream")
        .finish()
        .expect("an end");
    peer.drive();
    let seen = peer.seen(id);
    assert!(seen.fin);
    assert_eq!(aqueduct_tests::content(&seen.bytes), body(10_000));
    let frames = aqueduct_tests::frames(&seen.bytes);
    let longest = frames.iter().map(|(_, payload)| payload.len()).max();
    assert_eq!(longest, Some(1_000));
}

/// The tails of frames that a peer does not take come to little, of however many
/// requests: each takes its share, and whatever one write offers.
#[test]
fn tails_of_many_requests_are_short() {
    use aqueduct_core::testing::raw::{self, RawPeer};
    for (requests, largest) in [(8, 64 * 1024), (100, 512 * 1024 / 100)] {
        let mut peer = RawPeer::greeted(Side::Server, aqueduct_tests::config(|_| {}), &[]);
        let ids: Vec<_> = (0..requests).map(|_| peer.request(&raw::get())).collect();
        let mut streams = Vec::new();
        for event in peer.events() {
            if let Event::Request { stream, .. } = event {
                streams.push(stream);
            }
        }
        assert_eq!(streams.len(), requests);
        for stream in streams {
            let ok = ResponseHead::new(StatusCode::OK);
            let mut access = peer.access();
            access.respond(stream, &ok, End::More).expect("an answer");
            let mut chunks = [bytes::Bytes::from(body(100_000))];
            let taken = access.send(stream).expect("a stream").write(&mut chunks);
            assert!(taken.expect("room") > 0);
            peer.drive();
        }
        for id in ids {
            let seen = peer.seen(id).bytes;
            let frames = aqueduct_tests::frames(&seen);
            let longest = frames.iter().map(|(_, payload)| payload.len()).max();
            assert_eq!(longest, Some(largest), "{requests} requests");
        }
    }
}
