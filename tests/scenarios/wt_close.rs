//! How a session ends.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Limits;
use aqueduct_core::error::{CloseReason, ReadError, WriteError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, SessionKey, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{data, frame, join};
use aqueduct_core::webtransport::{SessionClose, SessionError, SessionEvent};
use aqueduct_tests::{assert_refused, content, seeds};

use super::wt_streams::{Scripted, opened, server};

fn close(code: u32, reason: &[u8]) -> Vec<u8> {
    data(&frame(0x2843, &join(&[&code.to_be_bytes(), reason])))
}

/// The only end of a session among the events, which is its last event.
#[track_caller]
fn end(events: &[Event], session: SessionKey) -> SessionClose {
    let mine: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::WebTransport(key, event) if *key == session => Some(event),
            _ => None,
        })
        .collect();
    let ends = mine
        .iter()
        .filter(|event| matches!(event, SessionEvent::Closed(_)));
    assert_eq!(ends.count(), 1, "{events:?}");
    match mine.last() {
        Some(SessionEvent::Closed(close)) => (**close).clone(),
        other => panic!("{other:?}"),
    }
}

fn ours(peer: &mut Scripted) -> SessionClose {
    let session = peer.session.expect("a session");
    end(&peer.events(), session)
}

/// Rows B16, B17: code and reason reach the peer, every stream ends, once.
#[test]
fn code_and_reason_arrive() {
    for seed in seeds(100) {
        for side in [Side::Client, Side::Server] {
            let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
            let (client, server) = pair.session("https://example.com/wt");
            let here = pair
                .client()
                .webtransport(client)
                .open_stream(Dir::Bi)
                .expect("a stream");
            pair.write_all(Side::Client, here, "x").expect("room");
            let there = opened(&mut pair, Side::Server);
            let (key, other) = if side == Side::Client {
                (client, server)
            } else {
                (server, client)
            };
            let reason = "é".repeat(512);
            pair.access(side)
                .webtransport(key)
                .close(u32::MAX, &reason)
                .expect("closes");
            let expected = SessionClose::Closed {
                by: side,
                code: u32::MAX,
                reason,
            };
            let told = [pair.events(side), pair.events(side.peer())];
            assert_eq!(end(&told[0], key), expected, "SEED={seed}");
            assert_eq!(end(&told[1], other), expected, "SEED={seed}");
            for (at, stream) in [(Side::Client, here), (Side::Server, there)] {
                assert!(pair.access(at).send(stream).is_err(), "SEED={seed}");
                let n = usize::from(at != side);
                let gone = aqueduct_tests::stream_events(&told[n], stream);
                assert_eq!(gone.last(), Some(&StreamEvent::SessionGone), "SEED={seed}");
            }
            let again = pair.access(side).webtransport(key).close(0, "");
            assert_eq!(again, Err(SessionError::Gone), "SEED={seed}");
            assert_eq!(
                pair.net.end(Side::Server).live_streams(),
                base(),
                "SEED={seed}"
            );
        }
    }
}

/// Streams a pair has when idle: three unidirectional ones each way, GREASE not
/// counted because its streams end.
fn base() -> usize {
    let mut pair = LoopbackPair::connected(Knobs::default());
    pair.net.end(Side::Server).live_streams()
}

/// Row B17: the capsule, then the end; nothing stops the peer in the same flight.
#[test]
fn the_flight_of_a_close() {
    let (mut peer, connect) = server();
    let session = peer.session.expect("a session");
    let uni = peer
        .access()
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect("a stream");
    let bi = peer.request(&[0x40, 0x41, 0x00, b'x']);
    peer.drive();
    peer.access()
        .webtransport(session)
        .close(17, "bye")
        .expect("closes");
    peer.drive();
    let seen = peer.seen(connect);
    let capsules = content(&seen.bytes);
    assert!(
        capsules.ends_with(&frame(0x2843, b"\0\0\0\x11bye")),
        "{capsules:x?}"
    );
    assert_eq!((seen.fin, seen.reset, seen.stop), (true, None, None));
    assert_eq!(peer.seen(uni.id()).reset, Some(Code::WT_SESSION_GONE));
    assert_eq!(peer.seen(bi).reset, Some(Code::WT_SESSION_GONE));
    assert_eq!(peer.seen(bi).stop, Some(Code::WT_SESSION_GONE));
    let expected = SessionClose::Closed {
        by: Side::Server,
        code: 17,
        reason: "bye".into(),
    };
    assert_eq!(ours(&mut peer), expected);
    peer.finish(connect);
    assert_eq!(peer.closed(), None);
}

/// Row B16: reasons that are too long, here and there.
#[test]
fn reasons_have_a_limit() {
    let (mut peer, _) = server();
    let session = peer.session.expect("a session");
    let too_long = peer
        .access()
        .webtransport(session)
        .close(0, &"x".repeat(1025));
    assert_eq!(too_long, Err(SessionError::ReasonTooLong));
    assert_eq!(
        peer.access()
            .webtransport(session)
            .close(0, &"x".repeat(1024)),
        Ok(())
    );

    let (mut peer, _) = server();
    let id = aqueduct_tests::bidi(0);
    peer.write(id, &close(1, &[b'x'; 1024]));
    let expected = SessionClose::Closed {
        by: Side::Client,
        code: 1,
        reason: "x".repeat(1024),
    };
    assert_eq!(ours(&mut peer), expected);

    let (mut peer, id) = server();
    peer.write(id, &close(1, &[b'x'; 1025]));
    assert!(matches!(
        ours(&mut peer),
        SessionClose::PeerMisbehaved { .. }
    ));
    assert_refused(&peer, id, Code::H3_MESSAGE_ERROR, "1,025 bytes");
}

/// Row B16: data after the capsule, alone or with it.
#[test]
fn nothing_follows_a_close() {
    for separate in [false, true] {
        let (mut peer, id) = server();
        if separate {
            peer.end().knobs().max_chunk = 1;
        }
        peer.write(id, &join(&[&close(1, b""), &data(b"x")]));
        // The session ended by the capsule; only the stream is in error.
        let closed = SessionClose::Closed {
            by: Side::Client,
            code: 1,
            reason: String::new(),
        };
        assert_eq!(ours(&mut peer), closed, "{separate}");
        assert_eq!(peer.closed(), None);
        let wrong = Some(Code::H3_MESSAGE_ERROR);
        let seen = peer.seen(id);
        // Our half has ended already, unless all of it came at once.
        let ended = if separate {
            (true, None)
        } else {
            (false, wrong)
        };
        assert_eq!((seen.fin, seen.reset), ended, "{separate}");
        assert_eq!(seen.stop, wrong, "{separate}");
    }
}

/// Row B17: on a close from the peer our half ends too.
#[test]
fn a_close_is_answered() {
    let (mut peer, id) = server();
    peer.write(id, &close(5, b"late"));
    peer.finish(id);
    let expected = SessionClose::Closed {
        by: Side::Client,
        code: 5,
        reason: "late".into(),
    };
    assert_eq!(ours(&mut peer), expected);
    let seen = peer.seen(id);
    assert_eq!((seen.fin, seen.reset, seen.stop), (true, None, None));
    assert_eq!(peer.closed(), None);
}

/// Row B18: an end without a capsule is a clean close; a reset is not.
#[test]
fn ends_without_a_capsule() {
    let (mut peer, id) = server();
    peer.finish(id);
    let clean = SessionClose::Closed {
        by: Side::Client,
        code: 0,
        reason: String::new(),
    };
    assert_eq!(ours(&mut peer), clean);
    assert!(peer.seen(id).fin);

    let code = Code::H3_REQUEST_CANCELLED;
    let (mut peer, id) = server();
    peer.reset(id, code);
    assert_eq!(ours(&mut peer), SessionClose::Reset(code));
}

/// Row B19: the other session, and the connection, go on.
#[test]
fn one_session_of_two() {
    for seed in seeds(60) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let (first, first_there) = pair.session("https://example.com/1");
        let (second, _) = pair.session("https://example.com/2");
        pair.client()
            .webtransport(first)
            .close(1, "")
            .expect("closes");
        pair.drive();
        assert!(
            pair.server().webtransport(first_there).stats().is_none(),
            "SEED={seed}"
        );
        let here = pair
            .client()
            .webtransport(second)
            .open_stream(Dir::Uni)
            .expect("a stream");
        let there = opened(&mut pair, Side::Server);
        assert_eq!(
            pair.transfer(Side::Client, here, there, b"goes on"),
            b"goes on"
        );
        expect_event!(pair, Side::Server, Event::WebTransport(_, SessionEvent::Closed(_)) => ());
    }
}

/// Streams of an ended session say so to those who still hold a key.
#[test]
fn keys_outlive_the_session() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (client, server) = pair.session("https://example.com/wt");
    let here = pair
        .client()
        .webtransport(client)
        .open_stream(Dir::Bi)
        .expect("a stream");
    let there = opened(&mut pair, Side::Server);
    pair.server()
        .webtransport(server)
        .close(0, "")
        .expect("closes");
    pair.drive();
    let write = pair.write_all(Side::Client, here, "x");
    assert!(matches!(write, Err(WriteError::Gone)), "{write:?}");
    let read = pair.read_to_end(Side::Server, there);
    assert!(matches!(read, Err(ReadError::Gone)), "{read:?}");
    pair.client().close(Code::H3_NO_ERROR, "");
    let reason = expect_event!(pair, Side::Client, Event::Closed(reason) => reason);
    assert!(matches!(*reason, CloseReason::Local { .. }));
}

/// Cap `close_timeout`: a peer that does not end its half of a closed session's CONNECT
/// stream does not keep it for ever.
#[test]
fn a_close_waits_for_nobody_for_long() {
    let limit = Limits::default().close_timeout;
    let (mut peer, _) = server();
    let session = peer.session.expect("a session");
    let closed = peer.access().webtransport(session).close(7, "enough");
    closed.expect("closes");
    peer.drive();
    peer.advance(limit - Duration::from_millis(1));
    assert_eq!(peer.seen(session.id()).stop, None);
    assert_eq!(peer.access().stats().closes_cut_short, 0);
    let before = peer.connection().live_streams();
    peer.advance(Duration::from_millis(1));
    assert_eq!(
        peer.seen(session.id()).stop,
        Some(Code::H3_REQUEST_CANCELLED)
    );
    assert_eq!(peer.access().stats().closes_cut_short, 1);
    assert_eq!(peer.connection().live_streams(), before - 1);
}
