//! Capsules on a session's CONNECT stream.

use aqueduct_core::code::Code;
use aqueduct_core::config::Limits;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::raw::{data, frame, join, varint};
use aqueduct_core::webtransport::{SessionClose, SessionEvent};
use aqueduct_tests::assert_refused;
use aqueduct_tests::wt::{
    DATA_BLOCKED, MAX_DATA, MAX_STREAMS_BIDI, MAX_STREAMS_UNI, STREAMS_BLOCKED_UNI, limited, limits,
};

use super::wt_streams::server;

const CLOSE: u64 = 0x2843;
const DRAIN: u64 = 0x78ae;

/// Row A17: capsules and DATA frames are cut independently of each other.
#[test]
fn any_chunking() {
    let close = join(&[&17u32.to_be_bytes(), b"bye"]);
    let bytes = join(&[
        &frame(0x17, &[9; 40]),
        &frame(DRAIN, &[]),
        &frame(CLOSE, &close),
    ]);
    for size in [1, 2, 3, 5, 8, 1000] {
        let (mut peer, id) = server();
        for piece in bytes.chunks(size) {
            peer.dribble(id, &data(piece));
        }
        expect_event!(peer, Side::Server, Event::WebTransport(_, SessionEvent::Draining) => ());
        let closed = expect_event!(
            peer, Side::Server, Event::WebTransport(_, SessionEvent::Closed(close)) => close
        );
        let expected = SessionClose::Closed {
            by: Side::Client,
            code: 17,
            reason: "bye".into(),
        };
        assert_eq!(*closed, expected, "pieces of {size}");
    }
}

/// Row A17: unknown types are skipped by counting, whatever they declare.
#[test]
fn unknown_types_of_any_size() {
    let (mut peer, id) = server();
    let mut left = 3_000_000usize;
    peer.write(
        id,
        &data(&join(&[&varint(0x1234_5678), &varint(left as u64)])),
    );
    while left > 0 {
        let piece = left.min(60_000);
        peer.write(id, &data(&vec![7; piece]));
        left -= piece;
    }
    peer.write(id, &data(&frame(DRAIN, &[])));
    expect_event!(peer, Side::Server, Event::WebTransport(_, SessionEvent::Draining) => ());
    assert_eq!(peer.access().stats().unknown_capsules, 1);
    // A declared length alone costs nothing.
    peer.write(
        id,
        &data(&join(&[&varint(0x1234_5678), &varint((1 << 62) - 1)])),
    );
    let seen = peer.seen(id);
    assert_eq!((peer.closed(), seen.reset, seen.stop), (None, None, None));
}

/// Rows A17, B16: what is malformed resets the CONNECT stream.
#[test]
fn malformed_ones() {
    let cases: &[(&str, Vec<u8>, Code)] = &[
        (
            "CLOSE without a code",
            frame(CLOSE, &[0, 0, 0]),
            Code::H3_MESSAGE_ERROR,
        ),
        (
            "CLOSE that is too long",
            join(&[&varint(CLOSE), &varint(1029)]),
            Code::H3_MESSAGE_ERROR,
        ),
        (
            "CLOSE not UTF-8",
            frame(CLOSE, &[0, 0, 0, 0, 0xff]),
            Code::H3_MESSAGE_ERROR,
        ),
        (
            "DRAIN with a payload",
            frame(DRAIN, &[0]),
            Code::H3_MESSAGE_ERROR,
        ),
        (
            "MAX_STREAM_DATA",
            frame(0x190b_4d3e, &[0, 0]),
            Code::WT_FLOW_CONTROL_ERROR,
        ),
        (
            "STREAM_DATA_BLOCKED",
            frame(0x190b_4d42, &[0, 0]),
            Code::WT_FLOW_CONTROL_ERROR,
        ),
    ];
    for (what, capsule, code) in cases {
        let (mut peer, id) = server();
        peer.write(id, &data(capsule));
        let closed = expect_event!(
            peer, Side::Server, Event::WebTransport(_, SessionEvent::Closed(close)) => close
        );
        let told = matches!(*closed, SessionClose::PeerMisbehaved { code: c, .. } if c == *code);
        assert!(told, "{what}: {closed:?}");
        assert_refused(&peer, id, *code, what);
    }
}

/// Row A17: an end inside a capsule, RFC 9297 section 3.3.
#[test]
fn cut_off() {
    for capsule in [varint(CLOSE), join(&[&varint(0x1234), &[9, 1]]), vec![0x40]] {
        let (mut peer, id) = server();
        peer.write(id, &data(&capsule));
        peer.finish(id);
        assert_refused(&peer, id, Code::H3_MESSAGE_ERROR, &format!("{capsule:x?}"));
    }
}

/// Flow-control capsules are ignored where flow control is off.
#[test]
fn credit_nobody_asked_for() {
    let (mut peer, id) = server();
    for ty in [
        0x190b_4d3d,
        0x190b_4d3f,
        0x190b_4d40,
        0x190b_4d41,
        0x190b_4d43,
        0x190b_4d44,
    ] {
        peer.write(id, &data(&frame(ty, &[5])));
        peer.write(id, &data(&frame(ty, &[4])));
    }
    let seen = peer.seen(id);
    assert_eq!((peer.closed(), seen.reset, seen.stop), (None, None, None));
}

/// Cap `datagram_capsule`: datagrams may come as capsules; too large ones are
/// skipped without being held.
#[test]
fn datagrams_as_capsules() {
    let (mut peer, id) = server();
    let session = peer.session.expect("a session");
    peer.write(id, &data(&frame(0x00, b"hi")));
    assert_eq!(
        peer.access().recv_datagram(session).as_deref(),
        Some(&b"hi"[..])
    );
    for (len, arrives) in [(64 * 1024, true), (64 * 1024 + 1, false)] {
        peer.write(id, &data(&join(&[&varint(0x00), &varint(len as u64)])));
        for piece in vec![7; len].chunks(50_000) {
            peer.write(id, &data(piece));
        }
        let got = peer.access().recv_datagram(session);
        assert_eq!(got.map(|d| d.len()), arrives.then_some(len));
    }
    peer.write(id, &data(&frame(0x00, b"ho")));
    assert_eq!(
        peer.access().recv_datagram(session).as_deref(),
        Some(&b"ho"[..])
    );
    let stats = peer.access().stats();
    assert_eq!(
        (stats.datagrams_received, stats.datagrams_overflowed),
        (3, 1)
    );
}

/// Cap `datagrams`: those that come as capsules wait in the same ring.
#[test]
fn datagrams_as_capsules_overflow() {
    let (mut peer, id) = server();
    let session = peer.session.expect("a session");
    let most = Limits::default().datagrams;
    for n in 0..most + 2 {
        peer.write(id, &data(&frame(0x00, &[n as u8; 20])));
    }
    let oldest = peer.access().recv_datagram(session).map(|d| d[0]);
    assert_eq!(oldest, Some(2));
    let stats = peer.access().stats();
    assert_eq!(stats.datagrams_received, most as u64 + 2);
    assert_eq!(stats.datagrams_overflowed, 2);
}

/// Row A17: every capsule with an effect on a session, cut in two at every byte,
/// in one DATA frame or two.
#[test]
fn cut_at_every_byte() {
    let number = |ty, value| frame(ty, &varint(value));
    let all = join(&[
        &number(MAX_DATA, 70_000),
        &number(MAX_STREAMS_BIDI, 300),
        &frame(0x17, &[9; 40]),
        &number(MAX_STREAMS_UNI, 5),
        &number(DATA_BLOCKED, 10),
        &frame(0x00, b"datagram"),
        &number(STREAMS_BLOCKED_UNI, 3),
        &frame(DRAIN, &[]),
        &frame(CLOSE, &join(&[&17u32.to_be_bytes(), "né".as_bytes()])),
    ]);
    for cut in 0..=all.len() {
        let (head, tail) = all.split_at(cut);
        for pieces in [vec![data(head), data(tail)], vec![data(&all)]] {
            let (mut peer, id, session) = limited(limits(10, 2, 3), limits(20, 4, 5));
            let bytes = pieces.concat();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            peer.write(id, first);
            peer.write(id, second);
            let told: Vec<_> = peer
                .events()
                .into_iter()
                .filter_map(|event| match event {
                    Event::WebTransport(_, event) => Some(event),
                    _ => None,
                })
                .collect();
            let [
                SessionEvent::Datagrams,
                SessionEvent::Draining,
                SessionEvent::Closed(why),
            ] = &told[..]
            else {
                panic!("cut at {cut}: {told:?}")
            };
            let expected = SessionClose::Closed {
                by: Side::Client,
                code: 17,
                reason: "né".into(),
            };
            assert_eq!(**why, expected, "cut at {cut}");
            assert_eq!(peer.access().webtransport(session).stats(), None);
            assert_eq!(
                (peer.seen(id).fin, peer.seen(id).reset),
                (true, None),
                "cut at {cut}"
            );
        }
    }
    let before_close = all.len() - frame(CLOSE, &[0; 7]).len();
    for cut in 0..before_close {
        let (mut peer, id, session) = limited(limits(10, 2, 3), limits(20, 4, 5));
        peer.write(id, &data(&all[..cut]));
        peer.write(id, &data(&all[cut..before_close]));
        let stats = peer
            .access()
            .webtransport(session)
            .stats()
            .expect("a session");
        let now = stats.flow_control.expect("flow control");
        assert_eq!(
            (now.send_data, now.open_bi, now.open_uni),
            (70_000, 300, 5),
            "cut at {cut}"
        );
        assert!(stats.draining, "cut at {cut}");
        let datagram = peer.access().recv_datagram(session);
        assert_eq!(datagram.as_deref(), Some(&b"datagram"[..]), "cut at {cut}");
    }
}
