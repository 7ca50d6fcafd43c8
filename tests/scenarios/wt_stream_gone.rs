//! A peer that has ended a session takes its streams along, and may say why behind them.

use std::time::Duration;

use aqueduct_core::code::{self, Code};
use aqueduct_core::config::Limits;
use aqueduct_core::error::{PeerCode, ReadError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing::raw::{data, frame};
use aqueduct_core::webtransport::{SessionClose, SessionEvent};
use aqueduct_tests::stream_events;
use aqueduct_tests::wt::CLOSE_SESSION;
use bytes::Bytes;

use super::wt_streams::{Scripted, server};

const GONE: Code = Code::WT_SESSION_GONE;

/// A stream of ours that the peer stops.
fn stopped(peer: &mut Scripted, code: Code) -> StreamKey {
    let session = peer.session.expect("a session");
    let mut access = peer.access();
    let opened = access.webtransport(session).open_stream(Dir::Uni);
    let stream = opened.expect("a stream");
    peer.drive();
    peer.stop(stream.id(), code);
    stream
}

/// A stream of the peer's that it resets, and that is read.
fn reset(peer: &mut Scripted, code: Code) -> ReadError {
    let id = peer.uni(&[0x40, 0x54, 0x00]);
    let stream = expect_event!(
        peer, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    peer.reset(id, code);
    let mut out = [const { Bytes::new() }; 2];
    let mut access = peer.access();
    let mut recv = access.recv(stream).expect("a stream");
    let end = recv.read(usize::MAX, &mut out).expect_err("a reset");
    peer.drive();
    end
}

/// How the session ended, if it did.
fn ends(peer: &mut Scripted) -> Vec<SessionClose> {
    let told = peer.events().into_iter().filter_map(|event| match event {
        Event::WebTransport(_, SessionEvent::Closed(close)) => Some(*close),
        _ => None,
    });
    told.collect()
}

/// Row B18: the packet with the capsule is behind those that end the streams.
#[test]
fn a_close_behind_its_streams_counts() {
    let bye = SessionClose::Closed {
        by: Side::Client,
        code: 7,
        reason: "bye".into(),
    };
    for stops in [true, false] {
        let (mut peer, connect) = server();
        if stops {
            let stream = stopped(&mut peer, GONE);
            let told = stream_events(&peer.events(), stream);
            assert_eq!(
                told,
                [StreamEvent::Stopped(PeerCode::webtransport(GONE.value()))]
            );
        } else {
            let end = reset(&mut peer, GONE);
            assert_eq!(end, ReadError::Reset(PeerCode::webtransport(GONE.value())));
        }
        peer.advance(Duration::from_secs(1));
        assert_eq!(ends(&mut peer), [], "it is waited for");
        peer.write(connect, &data(&frame(CLOSE_SESSION, b"\0\0\0\x07bye")));
        assert_eq!(ends(&mut peer), std::slice::from_ref(&bye));
    }
}

/// Cap `close_timeout`: a session that is gone to the peer does not go on here.
#[test]
fn streams_alone_end_the_session_in_time() {
    let limit = Limits::default().close_timeout;
    for stops in [true, false] {
        let (mut peer, connect) = server();
        if stops {
            stopped(&mut peer, GONE);
        } else {
            reset(&mut peer, GONE);
        }
        peer.advance(limit / 2);
        // Others of its streams put the end off no more.
        stopped(&mut peer, GONE);
        peer.advance(limit / 2 - Duration::from_millis(1));
        assert_eq!(ends(&mut peer), []);
        peer.advance(Duration::from_millis(1));
        assert_eq!(ends(&mut peer), [SessionClose::Reset(GONE)]);
        assert_eq!(peer.seen(connect).reset, Some(GONE));
        assert_eq!(peer.closed(), None);
    }
}

/// A code of the application's is about the stream alone.
#[test]
fn another_code_leaves_the_session_alone() {
    let (mut peer, _) = server();
    let code = Code::new(code::app_to_http(3));
    stopped(&mut peer, code);
    reset(&mut peer, code);
    peer.advance(2 * Limits::default().close_timeout);
    assert_eq!(ends(&mut peer), []);
}
