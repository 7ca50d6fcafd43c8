//! What comes for a session that is over.

use aqueduct_core::code::Code;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::Side;
use aqueduct_core::webtransport::{SessionClose, SessionEvent};
use aqueduct_tests::assert_refused;

use super::wt_streams::server;

/// Row B11: late streams of both kinds, however the session ended.
#[test]
fn late_streams() {
    for how in ["ours", "fin", "reset"] {
        let (mut peer, connect) = server();
        let session = peer.session.expect("a session");
        match how {
            "ours" => peer
                .access()
                .webtransport(session)
                .close(0, "")
                .expect("closes"),
            "fin" => peer.finish(connect),
            _ => peer.reset(connect, Code::H3_REQUEST_CANCELLED),
        }
        peer.drive();
        peer.events();
        let uni = peer.uni(&[0x40, 0x54, 0x00, b'x']);
        let bi = peer.request(&[0x40, 0x41, 0x00, b'x']);
        assert_refused(&peer, uni, Code::WT_SESSION_GONE, how);
        assert_refused(&peer, bi, Code::WT_SESSION_GONE, how);
        assert_eq!(peer.seen(bi).reset, Some(Code::WT_SESSION_GONE), "{how}");
        assert_eq!(peer.seen(bi).stop, Some(Code::WT_SESSION_GONE), "{how}");
        peer.datagram(b"\0late");
        let told = peer.events();
        assert!(told.is_empty(), "{how}: {told:?}");
        assert_eq!(peer.closed(), None);
    }
}

/// Row B11: streams that were there when the session ended.
#[test]
fn open_streams() {
    let (mut peer, connect) = server();
    let uni = peer.uni(&[0x40, 0x54, 0x00, b'x']);
    let bi = peer.request(&[0x40, 0x41, 0x00, b'x']);
    peer.reset(connect, Code::H3_REQUEST_CANCELLED);
    assert_refused(&peer, uni, Code::WT_SESSION_GONE, "unidirectional");
    assert_refused(&peer, bi, Code::WT_SESSION_GONE, "bidirectional");
    let end = expect_event!(
        peer, Side::Server, Event::WebTransport(_, SessionEvent::Closed(end)) => end
    );
    assert_eq!(*end, SessionClose::Reset(Code::H3_REQUEST_CANCELLED));
}
