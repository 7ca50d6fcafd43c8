//! The limits of a session: where they start, what they count, how they grow.

use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::raw::RawPeer;
use aqueduct_core::webtransport::{OpenStreamError, SessionEvent};
use aqueduct_tests::stream_events;
use aqueduct_tests::wt::{
    DATA_BLOCKED, MAX_DATA, MAX_STREAMS_BIDI, MAX_STREAMS_UNI, STREAMS_BLOCKED_BIDI,
    STREAMS_BLOCKED_UNI, limited, limited_over, limits, numbers, open_raw, opened_raw, read_raw,
    send_capsule,
};
use bytes::Bytes;

fn open(peer: &mut RawPeer, session: SessionKey, dir: Dir) -> Result<StreamKey, OpenStreamError> {
    let opened = peer.access().webtransport(session).open_stream(dir);
    peer.drive();
    opened
}

fn write(peer: &mut RawPeer, stream: StreamKey, len: usize) -> usize {
    let mut access = peer.access();
    let mut send = access.send(stream).expect("a stream");
    let taken = send.write(&mut [Bytes::from(vec![7; len])]).expect("takes");
    peer.drive();
    taken
}

/// Bytes of a stream's body that arrived at the scripted peer.
fn body(peer: &RawPeer, id: StreamId) -> usize {
    peer.seen(id).bytes.len() - 3
}

/// Row B22: both sides' SETTINGS are the first limits of each session, and said.
#[test]
fn settings_are_the_first_limits() {
    let (mut peer, _, session) = limited(limits(10, 2, 3), limits(20, 4, 5));
    let stats = peer
        .access()
        .webtransport(session)
        .stats()
        .expect("a session");
    let now = stats.flow_control.expect("flow control");
    assert_eq!((now.send_data, now.open_bi, now.open_uni), (20, 4, 5));
    assert_eq!((now.recv_data, now.accept_bi, now.accept_uni), (10, 2, 3));
}

/// Rows B22, B27: exactly as many streams as the peer allows, of each kind; the
/// next one is refused with an error of its own and asked for once.
#[test]
fn streams_up_to_the_limit() {
    for (dir, blocked, max) in [
        (Dir::Bi, STREAMS_BLOCKED_BIDI, MAX_STREAMS_BIDI),
        (Dir::Uni, STREAMS_BLOCKED_UNI, MAX_STREAMS_UNI),
    ] {
        let (mut peer, id, session) = limited(limits(9, 9, 9), limits(9, 3, 3));
        for _ in 0..3 {
            open(&mut peer, session, dir).expect("within the limit");
        }
        for _ in 0..3 {
            assert_eq!(
                open(&mut peer, session, dir),
                Err(OpenStreamError::StreamLimit)
            );
        }
        assert_eq!(numbers(&peer, id), [(blocked, 3)], "once per limit");
        peer.events();
        send_capsule(&mut peer, id, max, 4);
        expect_event!(
            peer, Side::Server,
            Event::WebTransport(_, SessionEvent::StreamsAvailable(d)) if d == dir => ()
        );
        open(&mut peer, session, dir).expect("one more");
        assert_eq!(
            open(&mut peer, session, dir),
            Err(OpenStreamError::StreamLimit)
        );
        assert_eq!(numbers(&peer, id), [(blocked, 3), (blocked, 4)]);
    }
}

/// Row B26: streams that are over count; the other kind has a limit of its own.
#[test]
fn streams_count_for_ever() {
    let (mut peer, _, session) = limited(limits(9, 9, 9), limits(9, 1, 2));
    for _ in 0..2 {
        let stream = open(&mut peer, session, Dir::Uni).expect("within the limit");
        peer.access()
            .send(stream)
            .expect("a stream")
            .finish()
            .expect("ends");
        peer.drive();
        assert!(peer.access().send(stream).is_err(), "it is over");
    }
    assert_eq!(
        open(&mut peer, session, Dir::Uni),
        Err(OpenStreamError::StreamLimit)
    );
    open(&mut peer, session, Dir::Bi).expect("another kind");
    assert_eq!(
        open(&mut peer, session, Dir::Bi),
        Err(OpenStreamError::StreamLimit)
    );
}

/// Row B24: a sender stops at the limit, says so once, goes on with credit, and
/// the end follows the bytes.
#[test]
fn a_blocked_sender() {
    let (mut peer, id, session) = limited(limits(9, 9, 9), limits(10, 9, 9));
    let stream = open(&mut peer, session, Dir::Uni).expect("a stream");
    let other = open(&mut peer, session, Dir::Bi).expect("a stream");
    assert_eq!(write(&mut peer, stream, 25), 10);
    assert_eq!(write(&mut peer, stream, 15), 0);
    assert_eq!(write(&mut peer, other, 1), 0, "the limit is the session's");
    assert_eq!(numbers(&peer, id), [(DATA_BLOCKED, 10)], "once per limit");
    assert_eq!(body(&peer, stream.id()), 10);
    peer.events();

    send_capsule(&mut peer, id, MAX_DATA, 15);
    let events = peer.events();
    for key in [stream, other] {
        assert_eq!(stream_events(&events, key), [StreamEvent::Writable]);
    }
    assert_eq!(write(&mut peer, stream, 15), 5);
    assert_eq!(write(&mut peer, stream, 10), 0);
    assert_eq!(numbers(&peer, id), [(DATA_BLOCKED, 10), (DATA_BLOCKED, 15)]);

    send_capsule(&mut peer, id, MAX_DATA, 100);
    assert_eq!(write(&mut peer, stream, 10), 10);
    peer.access()
        .send(stream)
        .expect("a stream")
        .finish()
        .expect("ends");
    peer.drive();
    assert_eq!(body(&peer, stream.id()), 25);
    assert!(peer.seen(stream.id()).fin);
}

/// Row B24: an end needs no credit, and neither does a reset, or opening and
/// closing.
#[test]
fn what_needs_no_credit() {
    let (mut peer, _, session) = limited(limits(9, 9, 9), limits(0, 9, 9));
    let empty = open(&mut peer, session, Dir::Uni).expect("a stream");
    assert_eq!(write(&mut peer, empty, 1), 0);
    peer.access()
        .send(empty)
        .expect("a stream")
        .finish()
        .expect("ends");
    let reset = open(&mut peer, session, Dir::Uni).expect("a stream");
    peer.access()
        .send(reset)
        .expect("a stream")
        .reset(3)
        .expect("resets");
    peer.access()
        .send_datagram(session, b"d")
        .expect("not counted");
    peer.drive();
    assert!(peer.seen(empty.id()).fin);
    assert!(peer.seen(reset.id()).reset.is_some());
    assert_eq!(peer.datagrams().len(), 1);
}

/// Row B24: all credit arrives at once, in any order of capsules.
#[test]
fn nothing_is_allowed_at_first() {
    let (mut peer, id, session) = limited(limits(9, 9, 9), limits(0, 0, 1));
    assert_eq!(
        open(&mut peer, session, Dir::Bi),
        Err(OpenStreamError::StreamLimit)
    );
    send_capsule(&mut peer, id, MAX_DATA, 4);
    send_capsule(&mut peer, id, MAX_STREAMS_BIDI, 1);
    let stream = open(&mut peer, session, Dir::Bi).expect("now");
    assert_eq!(write(&mut peer, stream, 9), 4);
}

/// Rows B23, B26: a stream of the peer makes room for another when it is over,
/// told when half of the window is used up.
#[test]
fn streams_make_room() {
    let (mut peer, id, _) = limited(limits(9, 9, 4), limits(9, 9, 9));
    let mut streams = Vec::new();
    for _ in 0..4 {
        let raw = open_raw(&mut peer, Dir::Uni, id, b"");
        streams.push((raw, opened_raw(&mut peer, raw)));
    }
    let mut told = Vec::new();
    for (raw, key) in streams {
        peer.finish(raw);
        assert_eq!(read_raw(&mut peer, key), (vec![], true));
        told.push(numbers(&peer, id).len());
    }
    assert_eq!(told, [0, 1, 1, 2]);
    assert_eq!(
        numbers(&peer, id),
        [(MAX_STREAMS_UNI, 6), (MAX_STREAMS_UNI, 8)]
    );
}

/// Row B23: bytes make room when the application reads them, and not before.
#[test]
fn bytes_make_room() {
    let (mut peer, id, _) = limited(limits(10, 9, 9), limits(9, 9, 9));
    let raw = open_raw(&mut peer, Dir::Bi, id, &[1; 10]);
    let key = opened_raw(&mut peer, raw);
    assert_eq!(numbers(&peer, id), [], "nobody has read");
    let mut out = [const { Bytes::new() }; 2];
    for (max, told) in [(4, 0), (1, 1), (4, 1), (1, 2)] {
        let mut access = peer.access();
        let mut recv = access.recv(key).expect("a stream");
        assert_eq!(recv.read(max, &mut out).map(|read| read.bytes), Ok(max));
        peer.drive();
        assert_eq!(numbers(&peer, id).len(), told);
    }
    assert_eq!(numbers(&peer, id), [(MAX_DATA, 15), (MAX_DATA, 20)]);
}

/// Row B24: a session can be closed while it is blocked on credit of every kind.
#[test]
fn closing_while_blocked() {
    let (mut peer, id, session) = limited(limits(9, 9, 9), limits(1, 1, 0));
    let stream = open(&mut peer, session, Dir::Bi).expect("a stream");
    assert_eq!(write(&mut peer, stream, 9), 1);
    assert_eq!(
        open(&mut peer, session, Dir::Bi),
        Err(OpenStreamError::StreamLimit)
    );
    peer.access()
        .webtransport(session)
        .close(8, "stuck")
        .expect("closes");
    peer.drive();
    let last = aqueduct_tests::wt::capsules(&peer, id).pop();
    assert_eq!(last, Some((0x2843, b"\0\0\0\x08stuck".to_vec())));
    assert!(peer.seen(id).fin);
    let gone = peer.seen(stream.id()).reset;
    assert_eq!(gone, Some(aqueduct_core::code::Code::WT_SESSION_GONE));
}

/// A peer that does not read its capsules makes us hold no more than the latest.
#[test]
fn limits_wait_as_one() {
    let knobs = Knobs {
        stream_window: 2_000,
        ..Knobs::default()
    };
    let (mut peer, id, session) = limited_over(knobs, limits(2, 9, 9), limits(9, 9, 9));
    peer.reading = false;
    let raw = open_raw(&mut peer, Dir::Uni, id, b"");
    let key = opened_raw(&mut peer, raw);
    for _ in 0..5_000 {
        peer.write(raw, &[0]);
        assert_eq!(read_raw(&mut peer, key).0.len(), 1);
    }
    peer.reading = true;
    peer.drive();
    let told = numbers(&peer, id);
    assert_eq!(told.last(), Some(&(MAX_DATA, 5_002)));
    assert!(told.len() < 250, "{}", told.len());
    assert!(peer.access().webtransport(session).stats().is_some());
}
