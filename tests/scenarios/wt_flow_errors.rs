//! Limits that are broken end the session, and nothing else.

use aqueduct_core::code::Code;
use aqueduct_core::error::ReadError;
use aqueduct_core::fault::Violation;
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::testing::raw::{RawPeer, data, frame, varint};
use aqueduct_core::webtransport::SessionClose;
use aqueduct_tests::wt::{
    MAX_DATA, MAX_STREAMS_BIDI, MAX_STREAMS_UNI, STREAMS_BLOCKED_BIDI, STREAMS_BLOCKED_UNI, admit,
    connect_with, limited, limits, open_raw, opened_raw, send_capsule, the_end,
};
use bytes::Bytes;

/// What a peer does wrong in the session of a CONNECT stream.
type Wrong = fn(&mut RawPeer, StreamId);

fn read_too_much(peer: &mut RawPeer, id: StreamId) {
    let raw = open_raw(peer, Dir::Uni, id, &[0; 11]);
    let key = opened_raw(peer, raw);
    let mut out = [const { Bytes::new() }; 2];
    let mut access = peer.access();
    let mut recv = access.recv(key).expect("a stream");
    let read = recv.read(usize::MAX, &mut out);
    assert_eq!(read, Err(ReadError::Malformed(Violation::FlowControl)));
}

fn read_too_much_in_all(peer: &mut RawPeer, id: StreamId) {
    let parts = [Dir::Uni, Dir::Bi].map(|dir| {
        let raw = open_raw(peer, dir, id, &[0; 6]);
        opened_raw(peer, raw)
    });
    let mut out = [const { Bytes::new() }; 2];
    let mut read = |key| {
        let mut access = peer.access();
        let read = access.recv(key).map(|mut recv| recv.read(5, &mut out));
        read.map(|read| read.map(|read| read.bytes))
    };
    assert_eq!(read(parts[0]), Ok(Ok(5)));
    // Five more were granted with these.
    assert_eq!(read(parts[1]), Ok(Ok(5)));
    peer.write(parts[1].id(), &[0; 13]);
    let mut access = peer.access();
    let mut recv = access.recv(parts[1]).expect("a stream");
    let mut out = [const { Bytes::new() }; 4];
    let read = recv
        .read(usize::MAX, &mut out)
        .and_then(|_| recv.read(usize::MAX, &mut out));
    assert_eq!(read, Err(ReadError::Malformed(Violation::FlowControl)));
}

/// Our first limits are 10 bytes, 2 and 3 streams; the peer's 20 bytes, 4 and 5.
const CASES: &[(&str, Wrong)] = &[
    ("WT_MAX_DATA below the first limit", |peer, id| {
        send_capsule(peer, id, MAX_DATA, 19);
    }),
    ("WT_MAX_DATA that shrinks", |peer, id| {
        send_capsule(peer, id, MAX_DATA, 50);
        send_capsule(peer, id, MAX_DATA, 49);
    }),
    ("WT_MAX_STREAMS below the first limit", |peer, id| {
        send_capsule(peer, id, MAX_STREAMS_BIDI, 3);
    }),
    ("WT_MAX_STREAMS that shrinks", |peer, id| {
        send_capsule(peer, id, MAX_STREAMS_UNI, 8);
        send_capsule(peer, id, MAX_STREAMS_UNI, 7);
    }),
    ("WT_MAX_STREAMS beyond 2^60", |peer, id| {
        send_capsule(peer, id, MAX_STREAMS_BIDI, (1 << 60) + 1);
    }),
    ("WT_MAX_STREAMS beyond 2^60, uni", |peer, id| {
        send_capsule(peer, id, MAX_STREAMS_UNI, (1 << 62) - 1);
    }),
    ("WT_STREAMS_BLOCKED beyond 2^60", |peer, id| {
        send_capsule(peer, id, STREAMS_BLOCKED_BIDI, (1 << 60) + 1);
    }),
    ("WT_STREAMS_BLOCKED beyond 2^60, uni", |peer, id| {
        send_capsule(peer, id, STREAMS_BLOCKED_UNI, (1 << 60) + 1);
    }),
    ("a bidirectional stream too many", |peer, id| {
        for _ in 0..3 {
            open_raw(peer, Dir::Bi, id, b"");
        }
    }),
    ("a unidirectional stream too many", |peer, id| {
        for _ in 0..4 {
            open_raw(peer, Dir::Uni, id, b"");
        }
    }),
    ("a byte too many", read_too_much),
    ("a byte too many on several streams", read_too_much_in_all),
    ("WT_MAX_STREAM_DATA", |peer, id| {
        let value = [varint(0), varint(9)].concat();
        peer.write(id, &data(&frame(0x190b_4d3e, &value)));
    }),
    ("WT_STREAM_DATA_BLOCKED", |peer, id| {
        let value = [varint(0), varint(9)].concat();
        peer.write(id, &data(&frame(0x190b_4d42, &value)));
    }),
];

/// Row B25: the CONNECT stream is reset and stopped with the code, the session
/// ends once with the reason, its streams with it; another session goes on.
#[test]
fn a_broken_limit_ends_the_session_alone() {
    for (what, wrong) in CASES {
        let (mut peer, id, session) = limited(limits(10, 2, 3), limits(20, 4, 5));
        let ours = peer
            .access()
            .webtransport(session)
            .open_stream(Dir::Uni)
            .expect(what);
        let connect = connect_with("webtransport-h3", &[]);
        let (other_id, other) = admit(&mut peer, &connect);
        wrong(&mut peer, id);
        peer.drive();

        let seen = peer.seen(id);
        let code = Some(Code::WT_FLOW_CONTROL_ERROR);
        assert_eq!((seen.reset, seen.stop), (code, code), "{what}");
        assert_eq!(code.map(Code::value), Some(0x045d_4487));
        assert_eq!(
            peer.seen(ours.id()).reset,
            Some(Code::WT_SESSION_GONE),
            "{what}"
        );
        let why = the_end(&peer.events(), session);
        let SessionClose::PeerMisbehaved { code: told, why } = why else {
            panic!("{what}: {why:?}")
        };
        assert_eq!(Some(told), code, "{what}");
        let rules = [Violation::FlowControl, Violation::CapsuleProhibited];
        assert!(rules.contains(&why), "{what}: {why}");

        assert_eq!(peer.closed(), None, "{what}");
        let raw = open_raw(&mut peer, Dir::Uni, other_id, b"x");
        opened_raw(&mut peer, raw);
        assert!(
            peer.access().webtransport(other).stats().is_some(),
            "{what}"
        );
        let late = open_raw(&mut peer, Dir::Uni, id, b"x");
        assert_eq!(peer.seen(late).stop, Some(Code::WT_SESSION_GONE), "{what}");
    }
}

/// Row B25, draft 15: the same limit again is no error, and changes nothing.
#[test]
fn a_repeated_limit() {
    let (mut peer, id, session) = limited(limits(10, 2, 3), limits(20, 4, 5));
    peer.events();
    for (ty, value) in [
        (MAX_DATA, 20),
        (MAX_STREAMS_BIDI, 4),
        (MAX_STREAMS_UNI, 5),
        (MAX_STREAMS_UNI, 1 << 60),
        (STREAMS_BLOCKED_BIDI, 1 << 60),
    ] {
        send_capsule(&mut peer, id, ty, value);
    }
    assert!(peer.access().webtransport(session).stats().is_some());
    let events = peer.events();
    assert!(events.is_empty(), "{events:?}");
}

/// Row B25: streams that waited for the answer are counted with it.
#[test]
fn early_streams_beyond_the_limit() {
    use aqueduct_core::event::Event;
    use aqueduct_core::expect_event;
    use aqueduct_core::webtransport::ConnectAnswer;
    use aqueduct_core::webtransport::SessionEvent;
    use aqueduct_core::webtransport::dialect::Dialects;
    use aqueduct_tests::wt::{settings_15, speaking};

    let config = speaking(Dialects::SET_B, Some(limits(10, 2, 3)));
    let mut peer = RawPeer::greeted(Side::Server, config, &settings_15(limits(9, 9, 9)));
    let id = peer.request(&connect_with("webtransport-h3", &[]));
    let early: Vec<_> = (0..5)
        .map(|_| open_raw(&mut peer, Dir::Uni, id, b"x"))
        .collect();
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let answer = ConnectAnswer::default();
    peer.access()
        .webtransport(session)
        .accept(&answer)
        .expect("accepts");
    peer.drive();
    assert_eq!(peer.seen(id).reset, Some(Code::WT_FLOW_CONTROL_ERROR));
    for stream in early {
        assert_eq!(peer.seen(stream).stop, Some(Code::WT_SESSION_GONE));
    }
    assert_eq!(peer.closed(), None);
    let why = the_end(&peer.events(), session);
    assert!(
        matches!(why, SessionClose::PeerMisbehaved { .. }),
        "{why:?}"
    );
}
