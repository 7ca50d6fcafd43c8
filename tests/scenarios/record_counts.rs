//! What a connection counts, bytes and work, counts the same in a masked replay: what is
//! due then is due at the same time.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::transport::Transport;
use aqueduct_core::{expect_event, testing};
use aqueduct_record::Recording;
use aqueduct_tests::{config, get};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};

const SECOND: Duration = Duration::from_secs(1);

/// Goes through what was recorded, which says no secret.
fn replay(mut peer: RawPeer) {
    let text = peer.recording();
    let recording = Recording::read(&text).expect("a recording");
    for connection in recording.connections() {
        let replayed = connection.replay(testing::epoch(), &mut |_, _| {});
        assert!(replayed.is_ok(), "{}\n{text}", replayed.unwrap_err());
    }
}

/// A server with so much work in a turn.
fn server(work: u32) -> RawPeer {
    let config = config(|config| config.limits.work = work);
    let net = Loopback::new(Knobs::default());
    let mut peer = RawPeer::greeted_over(Side::Server, config, net, raw::WEBTRANSPORT);
    peer.advance(SECOND);
    peer
}

/// An instruction of the peer's decoder is work for one, however many bytes it has, and in
/// however many parts it comes.
#[test]
fn acks_are_as_much_work_as_they_were() {
    for parts in [1, 3] {
        let mut peer = server(60);
        let id = peer.uni(&[0x03]);
        peer.advance(SECOND);
        peer.going_on = false;
        // Stream Cancellation of stream 1000. Byte for byte there is no work left.
        for part in b"\x7f\xa9\x07".repeat(24).chunks(72 / parts + 1) {
            peer.write(id, part);
        }
        peer.request(&raw::get());
        expect_event!(peer, Side::Server, Event::Request { .. } => ());
        replay(peer);
    }
}

/// An integer that is too large is found to be so where it was.
#[test]
fn what_is_refused_is_refused_as_late() {
    // Stream Cancellation, and Set Dynamic Table Capacity.
    for (ty, start, code) in [
        (0x03, 0x7f, Code::QPACK_DECODER_STREAM_ERROR),
        (0x02, 0x3f, Code::QPACK_ENCODER_STREAM_ERROR),
    ] {
        let padded = [&[start][..], &[0x80; 11]].concat();
        for (first, rest) in [padded.split_at(10), (b"\xff\x80", b"\x01")] {
            let mut peer = server(1_000);
            let id = peer.uni(&[ty]);
            peer.write(id, first);
            // Taken before the rest comes.
            peer.request(&raw::get());
            expect_event!(peer, Side::Server, Event::Request { .. } => ());
            peer.write(id, rest);
            peer.events();
            assert_eq!(peer.closed(), Some(code));
            replay(peer);
        }
    }
}

/// A head with a value of so many letters.
fn long(letter: &str) -> HeaderMap {
    let value = letter.repeat(600).parse().expect("a value");
    HeaderMap::from_iter([(HeaderName::from_static("x-long"), value)])
}

/// A response that is on its way has time by its length: zeros are shorter than their
/// mask, once they are compressed.
#[test]
fn heads_are_as_long_as_they_were() {
    let mut peer = server(1_000);
    peer.reading = false;
    peer.request(&raw::get());
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    let mut head = ResponseHead::new(StatusCode::OK);
    head.headers = long("0");
    let answered = peer.access().respond(stream, &head, End::Fin);
    answered.expect("a request");
    peer.advance(100 * SECOND);
    assert_eq!(peer.access().stats().responses_timed_out, 1);
    replay(peer);
}

/// A request that goes on being taken is answered later: capitals are longer than their
/// mask, so that of what is taken first nothing is left of it.
#[test]
fn heads_are_taken_as_they_were() {
    let knobs = Knobs {
        stream_window: 20,
        ..Knobs::default()
    };
    let net = Loopback::new(knobs);
    let mut peer = RawPeer::greeted_over(Side::Client, Config::default(), net, &[]);
    peer.reading = false;
    let mut head = get();
    head.headers = long("X");
    let stream = peer.access().request(&head, End::Fin).expect("a request");
    peer.advance(290 * SECOND);
    // Which is credit for as much again.
    let mut out = [const { Bytes::new() }; 4];
    let read = peer.end().read(stream.id(), 20, &mut out);
    assert_eq!(read.map(|read| read.bytes), Ok(20));
    peer.drive();
    peer.advance(299 * SECOND);
    assert_eq!(peer.access().stats().answers_timed_out, 0);
    peer.write(stream.id(), &raw::status(200));
    expect_event!(peer, Side::Client, Event::Response { .. } => ());
    replay(peer);
}
