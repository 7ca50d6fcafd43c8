//! Winding a connection down.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::{CloseReason, RequestError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, frame, varint};
use aqueduct_tests::{assert_closed, assert_refused, bidi, frames, get, request, seeds};
use http::StatusCode;

/// The scripted peer's control stream.
fn control(peer: Side) -> StreamId {
    StreamId::new(peer, Dir::Uni, 0)
}

/// Row A12: what is in flight finishes, nothing new starts, then all is over
/// without an error.
#[test]
fn a_server_that_drains_finishes_what_it_has() {
    for seed in seeds(60) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let (client, server) = request(&mut pair, &get());
        let until = pair.now() + Duration::from_secs(60);
        pair.server().drain(until);
        expect_event!(pair, Side::Client, Event::Draining { by: Side::Server } => ());
        expect_event!(pair, Side::Server, Event::Draining { by: Side::Server } => ());
        let new = pair.client().request(&get(), End::Fin);
        assert_eq!(new, Err(RequestError::Draining), "SEED={seed}");

        let ok = ResponseHead::new(StatusCode::OK);
        pair.server()
            .respond(server, &ok, End::More)
            .expect("still answers");
        pair.read_to_end(Side::Server, server).expect("still reads");
        let answer = pair.transfer(Side::Server, server, client, b"last words");
        assert_eq!(answer, b"last words", "SEED={seed}");
        pair.drive();
        // Who has read the answer closes.
        let closed = expect_event!(pair, Side::Client, Event::Closed(reason) => reason);
        assert_eq!(*closed, CloseReason::PeerDrained, "SEED={seed}");
        let closed = expect_event!(pair, Side::Server, Event::Closed(reason) => reason);
        let no_error = CloseReason::Remote {
            code: Code::H3_NO_ERROR,
            reason: bytes::Bytes::new(),
        };
        assert_eq!(*closed, no_error, "SEED={seed}");
    }
}

/// Row A12: those who do not finish are not waited for longer than agreed.
#[test]
fn a_drain_ends_at_its_time() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    request(&mut pair, &get());
    let until = pair.now() + Duration::from_secs(60);
    pair.server().drain(until);
    pair.advance(Duration::from_secs(59));
    assert!(
        pair.events(Side::Server)
            .iter()
            .all(|e| !matches!(e, Event::Closed(_)))
    );
    pair.advance(Duration::from_secs(1));
    let closed = expect_event!(pair, Side::Server, Event::Closed(reason) => reason);
    assert_eq!(*closed, CloseReason::Drained);
}

/// Row A12: requests that come too late were never looked at.
#[test]
fn late_requests_are_rejected() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    peer.request(&raw::get());
    expect_event!(peer, Side::Server, Event::Request { .. } => ());
    let until = peer.now() + Duration::from_secs(60);
    peer.access().drain(until);
    peer.drive();
    let (_, sent) = peer.uni_of_type(0).expect("a control stream");
    let goaway = frames(&sent.bytes[1..])
        .into_iter()
        .rfind(|(ty, _)| *ty == 0x07);
    assert_eq!(
        goaway,
        Some((0x07, vec![4])),
        "the first request that is not processed"
    );
    let late = peer.request(&raw::get());
    assert_refused(&peer, late, Code::H3_REQUEST_REJECTED, "after GOAWAY");
    let (_, decoder) = peer.uni_of_type(3).expect("a decoder stream");
    assert_eq!(decoder.bytes, [0x03, 0x44], "its section is not waited for");
    assert!(
        peer.events()
            .iter()
            .all(|e| !matches!(e, Event::Request { .. }))
    );
}

/// Row A12: the client learns which requests may be sent again elsewhere.
#[test]
fn requests_beyond_the_id_are_unprocessed() {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
    let keys = [0, 1, 2].map(|_| peer.access().request(&get(), End::Fin).expect("a request"));
    peer.drive();
    peer.write(control(Side::Server), &frame(0x07, &[4]));
    let events = peer.events();
    let unprocessed: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Stream(key, StreamEvent::Unprocessed) => Some(*key),
            _ => None,
        })
        .collect();
    assert_eq!(unprocessed, keys[1..]);
    let draining = events
        .iter()
        .filter(|e| matches!(e, Event::Draining { by: Side::Server }));
    assert_eq!(draining.count(), 1);
    assert!(peer.access().recv(keys[1]).is_err(), "the stream is gone");
    peer.write(bidi(0), &raw::status(200));
    expect_event!(peer, Side::Client, Event::Response { stream, .. } if stream == keys[0] => ());

    // A smaller id later takes more, an equal one nothing.
    peer.write(control(Side::Server), &frame(0x07, &[4]));
    assert_eq!(peer.closed(), None);
    peer.write(control(Side::Server), &frame(0x07, &[0]));
    expect_event!(peer, Side::Client, Event::Stream(key, StreamEvent::Unprocessed) if key == keys[0] => ());
}

/// Row A12, RFC 9114 section 5.2.
#[test]
fn ids_that_are_wrong() {
    let grew: &[&[u64]] = &[&[4, 8], &[0, 4], &[8, 4, 8]];
    for ids in grew {
        for side in [Side::Client, Side::Server] {
            let mut peer = RawPeer::greeted(side, Config::default(), &[]);
            // At once: a client that has nothing to wait for closes at the first.
            let goaways: Vec<_> = ids.iter().map(|id| frame(0x07, &varint(*id))).collect();
            peer.write(control(side.peer()), &goaways.concat());
            assert_closed(&mut peer, Code::H3_ID_ERROR, &format!("{ids:?}"));
        }
    }
    for id in [1, 2, 3, 5] {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
        peer.write(control(Side::Server), &frame(0x07, &[id]));
        assert_closed(&mut peer, Code::H3_ID_ERROR, "not a request");
        // From a client it is a push id, and any will do.
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        peer.write(control(Side::Client), &frame(0x07, &[id]));
        assert_eq!(peer.closed(), None);
    }
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
    peer.access().request(&get(), End::Fin).expect("a request");
    for id in [(1 << 62) - 4, 400, 400, 4] {
        peer.write(control(Side::Server), &frame(0x07, &varint(id)));
    }
    assert_eq!(peer.closed(), None, "the graceful pattern");
}

/// Row A12: a client that drains finishes what it asked for.
#[test]
fn a_client_drains() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (client, server) = request(&mut pair, &get());
    let until = pair.now() + Duration::from_secs(60);
    pair.client().drain(until);
    assert_eq!(
        pair.client().request(&get(), End::Fin),
        Err(RequestError::Draining)
    );
    expect_event!(pair, Side::Server, Event::Draining { by: Side::Client } => ());
    pair.read_to_end(Side::Server, server).expect("still reads");
    let ok = ResponseHead::new(StatusCode::OK);
    pair.server()
        .respond(server, &ok, End::Fin)
        .expect("still answers");
    expect_event!(pair, Side::Client, Event::Response { .. } => ());
    pair.read_to_end(Side::Client, client).expect("still reads");
    let closed = expect_event!(pair, Side::Client, Event::Closed(reason) => reason);
    assert_eq!(*closed, CloseReason::Drained);
}
