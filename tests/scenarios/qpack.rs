//! Field compression with a dynamic table, as far as the connection drives it.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{RawPeer, frame, join};
use aqueduct_core::transport::Transport;
use aqueduct_core::{expect_event, take_event};
use aqueduct_tests::{assert_closed, get, request, seeds};
use http::StatusCode;
use std::time::Duration;

/// RFC 9204 appendix B.2: capacity 220, `:authority www.example.com` and
/// `:path /sample/path`.
pub(crate) const INSERTS: &[u8] = b"\x3f\xbd\x01\xc0\x0fwww.example.com\xc1\x0c/sample/path";

/// A GET request whose authority and path are those two entries; with a table of
/// 4,096 bytes a Required Insert Count of 2 is encoded as 3.
pub(crate) fn blocked_request() -> Vec<u8> {
    frame(0x01, &[0x03, 0x81, 0xd1, 0xd7, 0x10, 0x11])
}

/// Row A11: many requests with changing fields, both directions, on unpleasant
/// networks.
#[test]
fn thirty_requests_with_rolling_fields() {
    for seed in seeds(40) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        for n in 0..30 {
            let mut head = get();
            for k in 0..5 {
                let value = format!("value-{}", (n + k) / 3);
                let name: http::HeaderName = format!("x-field-{k}").parse().expect("a name");
                head.headers.insert(name, value.parse().expect("a value"));
            }
            let (client, server) = {
                let client = pair.client().request(&head, End::Fin).expect("a request");
                let (server, got) = expect_event!(
                    pair, Side::Server, Event::Request { stream, head, .. } => (stream, head)
                );
                assert_eq!(got.headers, head.headers, "SEED={seed}");
                (client, server)
            };
            let mut answer = ResponseHead::new(StatusCode::OK);
            answer.headers = head.headers.clone();
            pair.server()
                .respond(server, &answer, End::Fin)
                .expect("a response");
            let got = expect_event!(
                pair, Side::Client, Event::Response { stream, head } if stream == client => head
            );
            assert_eq!(got.headers, head.headers, "SEED={seed}");
        }
    }
}

/// Row A11: repeated fields go into the table once the peer allows one.
#[test]
fn our_encoder_uses_the_table() {
    let lens = [&[][..], &[(0x01, 4096), (0x07, 16)]].map(|settings| {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), settings);
        let mut head = get();
        head.headers.insert(
            "x-long",
            "a value that is worth an entry".parse().expect("a value"),
        );
        for _ in 0..4 {
            peer.access().request(&head, End::Fin).expect("a request");
            peer.drive();
        }
        peer.uni_of_type(2).map_or(0, |(_, seen)| seen.bytes.len())
    });
    assert!(
        lens[0] <= 1,
        "no instruction without a table: {} bytes",
        lens[0]
    );
    assert!(lens[1] > 10, "{} bytes of instructions", lens[1]);
}

/// Row A11: a request waits for its insertions and is acknowledged then.
#[test]
fn a_blocked_request_waits() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    peer.request(&blocked_request());
    assert!(take_event!(peer, Side::Server, Event::Request { .. } => ()).is_none());
    assert_eq!(peer.closed(), None);
    peer.uni(&join(&[&[0x02], INSERTS]));
    let head = expect_event!(peer, Side::Server, Event::Request { head, .. } => head);
    assert_eq!(head.uri.to_string(), "https://www.example.com/sample/path");
    peer.advance(Duration::from_millis(10));
    let (_, decoder) = peer.uni_of_type(3).expect("a decoder stream");
    assert!(
        decoder.bytes.contains(&0x80),
        "section ack of stream 0: {:x?}",
        decoder.bytes
    );
}

/// What of the decoder stream has come.
fn decoder_bytes(peer: &RawPeer) -> Vec<u8> {
    let decoder = peer.uni_of_type(3);
    decoder.map_or_else(Vec::new, |(_, decoder)| decoder.bytes)
}

/// RFC 9204 section 4.4: acknowledgments need not be packets of their own. They go with
/// the answer, and with nothing after 10 ms, which QUIC's own take as well.
#[test]
fn acknowledgments_go_with_what_is_written_next() {
    for answered in [true, false] {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        peer.uni(&join(&[&[0x02], INSERTS]));
        peer.request(&blocked_request());
        let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
        assert_eq!(decoder_bytes(&peer), [0x03], "its type alone");
        if answered {
            let ok = ResponseHead::new(StatusCode::OK);
            let answer = peer.access().respond(stream, &ok, End::More);
            answer.expect("open");
            peer.drive();
        } else {
            peer.advance(Duration::from_millis(9));
            assert_eq!(decoder_bytes(&peer), [0x03], "after 9 ms");
            peer.advance(Duration::from_millis(1));
        }
        assert_eq!(
            decoder_bytes(&peer),
            [0x03, 0x80],
            "the type, an ack of stream 0"
        );
    }
}

/// Some dozens go at once.
#[test]
fn many_acknowledgments_wait_for_nothing() {
    let mut config = Config::default();
    config.limits.open_requests = 100;
    let mut peer = RawPeer::greeted(Side::Server, config, &[]);
    peer.uni(&join(&[&[0x02], INSERTS]));
    for n in 1.. {
        peer.request(&blocked_request());
        let acks = decoder_bytes(&peer).len() - 1;
        // Those of the streams from 124 on, which are the 32nd and later, have two bytes.
        assert_eq!(acks > 0, n >= 48, "{n} requests: {acks} bytes");
        if acks > 0 {
            break;
        }
    }
}

/// Row A11: a blocked request that is reset is cancelled on the decoder stream.
#[test]
fn a_blocked_request_can_be_given_up() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let id = peer.request(&blocked_request());
    peer.reset(id, Code::H3_REQUEST_CANCELLED);
    let (_, decoder) = peer.uni_of_type(3).expect("a decoder stream");
    assert_eq!(decoder.bytes, [0x03, 0x40], "cancellation of stream 0");
    peer.uni(&join(&[&[0x02], INSERTS]));
    assert!(take_event!(peer, Side::Server, Event::Request { .. } => ()).is_none());
    assert_eq!(peer.closed(), None);
}

/// Cap `qpack_blocked_streams`: 16 may wait, 17 may not.
#[test]
fn the_number_of_blocked_requests_has_a_cap() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    for _ in 0..16 {
        peer.request(&blocked_request());
    }
    assert_eq!(peer.closed(), None);
    peer.request(&blocked_request());
    assert_closed(&mut peer, Code::QPACK_DECOMPRESSION_FAILED, "the 17th");
}

/// Cap `qpack_table`, and the rest of RFC 9204 section 6.
#[test]
fn instructions_that_are_wrong() {
    let cases: &[(&str, u8, &[u8], Code)] = &[
        (
            "capacity 4,097",
            2,
            &[0x3f, 0xe2, 0x1f],
            Code::QPACK_ENCODER_STREAM_ERROR,
        ),
        (
            "an entry without capacity",
            2,
            b"\xc0\x01x",
            Code::QPACK_ENCODER_STREAM_ERROR,
        ),
        (
            "a static name 99",
            2,
            b"\x3f\xbd\x01\xff\x24\x01x",
            Code::QPACK_ENCODER_STREAM_ERROR,
        ),
        (
            "a duplicate of nothing",
            2,
            b"\x3f\xbd\x01\x00",
            Code::QPACK_ENCODER_STREAM_ERROR,
        ),
        (
            "an increment of 0",
            3,
            &[0x00],
            Code::QPACK_DECODER_STREAM_ERROR,
        ),
        (
            "an increment of 1",
            3,
            &[0x01],
            Code::QPACK_DECODER_STREAM_ERROR,
        ),
        (
            "an ack of nothing",
            3,
            &[0x80],
            Code::QPACK_DECODER_STREAM_ERROR,
        ),
    ];
    for (what, ty, bytes, code) in cases {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        let id = peer.uni(&[*ty]);
        peer.dribble(id, bytes);
        assert_closed(&mut peer, *code, what);
    }
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    peer.uni(&[0x02, 0x3f, 0xe1, 0x1f]);
    assert_eq!(peer.closed(), None, "capacity 4,096 is what was allowed");
}

/// RFC 9204 sections 2.2 and 3.1.
#[test]
fn sections_that_do_not_decode() {
    let cases: &[&[u8]] = &[
        &[],
        &[0x00],
        &[0x00, 0x00, 0xff, 0x24],
        &[0x00, 0x00, 0x80],
        &[0x00, 0x00, 0x51, 0x05, b'x'],
        &[0x00, 0x00, 0x51, 0x81, 0x18],
        &[0x00, 0x80, 0xd1],
    ];
    for section in cases {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        peer.request(&frame(0x01, section));
        assert_closed(
            &mut peer,
            Code::QPACK_DECOMPRESSION_FAILED,
            &format!("{section:x?}"),
        );
    }
}

/// The stream table forgets requests that are over.
#[test]
fn nothing_is_left_of_two_hundred_requests() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let [before, _] = live(&mut pair);
    for _ in 0..200 {
        let (client, server) = request(&mut pair, &get());
        let ok = ResponseHead::new(StatusCode::OK);
        pair.server()
            .respond(server, &ok, End::Fin)
            .expect("a response");
        assert_eq!(pair.read_to_end(Side::Client, client), Ok(vec![]));
        assert_eq!(pair.read_to_end(Side::Server, server), Ok(vec![]));
        pair.events(Side::Client);
        pair.events(Side::Server);
        assert!(pair.client().send(client).is_err() || pair.client().recv(client).is_err());
    }
    assert_eq!(live(&mut pair), [before, before]);
}

fn live(pair: &mut LoopbackPair) -> [usize; 2] {
    pair.drive();
    [Side::Client, Side::Server].map(|side| pair.net.end(side).live_streams())
}

/// Cap `qpack_encoder_table`: ours stays below what the peer would allow.
#[test]
fn our_own_table_has_a_cap() {
    for (cap, first) in [(0, None), (100, Some(vec![0x3f, 0x45]))] {
        let config = aqueduct_tests::config(|c| c.limits.qpack_encoder_table = cap);
        let mut peer = RawPeer::greeted(Side::Client, config, &[(0x01, 4096), (0x07, 16)]);
        let mut head = get();
        head.headers.insert("x-a", "b".parse().expect("a value"));
        for _ in 0..4 {
            peer.access().request(&head, End::Fin).expect("a request");
            peer.drive();
        }
        let sent = peer.uni_of_type(2).map_or(vec![], |(_, seen)| seen.bytes);
        match first {
            None => assert!(sent.len() <= 1, "{sent:x?}"),
            Some(capacity) => assert_eq!(sent.get(1..3), Some(&capacity[..]), "{sent:x?}"),
        }
    }
}

/// Row A11, RFC 9204 §4.2: QPACK's streams are opened when they have something to say, if
/// the configuration wants that; the table works all the same.
#[test]
fn qpack_streams_when_they_are_needed() {
    let config = |table| {
        let mut config = Config::default();
        config.qpack_streams_at_once = false;
        config.grease = false;
        config.limits.qpack_table = table;
        config.limits.qpack_encoder_table = table;
        config
    };
    for (table, streams) in [(0, [1, 1]), (4_096, [2, 2])] {
        let mut pair = LoopbackPair::new(config(table), config(table), Knobs::default());
        pair.connect();
        for n in 0..10 {
            let mut head = get();
            let value = format!("value-{}", n / 5);
            head.headers
                .insert("x-field", value.parse().expect("a value"));
            pair.client().request(&head, End::Fin).expect("a request");
            let got = expect_event!(
                pair, Side::Server, Event::Request { head, .. } => head
            );
            assert_eq!(got.headers, head.headers);
        }
        pair.advance(Duration::from_millis(10));
        // The server answers nothing, so there is nothing that a client would acknowledge.
        let opened = [Side::Client, Side::Server].map(|side| {
            let next = pair.net.end(side).open(Dir::Uni).expect("room");
            next.number()
        });
        assert_eq!(opened, streams, "with {table}");
    }
}
