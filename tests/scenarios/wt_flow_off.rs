//! Session flow control is on when both sides asked for it, and off otherwise.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{OpenSessionError, SessionEvent};
use aqueduct_tests::wt::{
    DATA_BLOCKED, MAX_DATA, MAX_STREAMS_BIDI, MAX_STREAMS_UNI, STREAMS_BLOCKED_BIDI,
    STREAMS_BLOCKED_UNI, admit, connect_with, limits, numbers, send_capsule, settings_15, speaking,
    there,
};
use aqueduct_tests::{assert_refused, bidi};

/// Our configuration, a peer's settings and its token.
type Off = (Config, Vec<(u64, u64)>, &'static str);

/// Every way in which it stays off, drafts 13 to 16.
fn off() -> Vec<Off> {
    let some = Some(limits(10, 10, 10));
    let set = |flow| speaking(Dialects::SET_B, flow);
    let d13 = |sessions| vec![(0x08, 1), (0x33, 1), (0x14e9_cd29, sessions)];
    vec![
        (set(None), settings_15(limits(9, 9, 9)), "webtransport-h3"),
        (set(some), settings_15(limits(0, 0, 0)), "webtransport-h3"),
        (
            set(Some(limits(0, 0, 0))),
            settings_15(limits(9, 9, 9)),
            "webtransport-h3",
        ),
        (set(some), d13(1), "webtransport"),
        (set(None), d13(16), "webtransport"),
    ]
}

/// Row B21: without consent of both there is one session at a time; another is
/// rejected, as unprocessed, until the first has ended.
#[test]
fn one_session_at_a_time() {
    for (config, theirs, token) in off() {
        let mut peer = RawPeer::greeted(Side::Server, config, &theirs);
        assert_eq!(
            peer.access().negotiated().map(|n| n.flow_control),
            Ok(false)
        );
        let connect = connect_with(token, &[]);
        let (_, first) = admit(&mut peer, &connect);
        let second = peer.request(&connect);
        assert_refused(&peer, second, Code::H3_REQUEST_REJECTED, "a second session");
        assert_eq!(peer.seen(second).reset, Some(Code::H3_REQUEST_REJECTED));
        let told = peer.events();
        assert!(
            told.iter().all(|e| !matches!(e, Event::WebTransport(..))),
            "{told:?}"
        );
        assert!(peer.access().webtransport(first).stats().is_some());
        peer.access()
            .webtransport(first)
            .close(0, "")
            .expect("closes");
        admit(&mut peer, &connect);
    }
}

/// Row B21: of two that wait for SETTINGS, the first gets its session.
#[test]
fn the_first_of_two_early_ones() {
    for (config, theirs, token) in off() {
        let mut peer = RawPeer::new(Side::Server, config);
        let connect = connect_with(token, &[]);
        let ids = [peer.request(&connect), peer.request(&connect)];
        peer.control(&raw::settings(&theirs));
        let key = expect_event!(
            peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
        );
        assert_eq!(key.id(), ids[0]);
        assert_refused(&peer, ids[1], Code::H3_REQUEST_REJECTED, "a second session");
    }
}

/// Row B21: a client of ours does not ask for a second one.
#[test]
fn a_client_keeps_to_it() {
    for (config, theirs, _) in off() {
        let mut peer = RawPeer::greeted(Side::Client, config, &theirs);
        peer.access().open_session(&there()).expect("asks");
        assert_eq!(
            peer.access().open_session(&there()),
            Err(OpenSessionError::TooManySessions)
        );
    }
    let on = speaking(Dialects::SET_B, Some(limits(10, 10, 10)));
    let mut peer = RawPeer::greeted(Side::Client, on, &settings_15(limits(0, 1, 0)));
    for _ in 0..2 {
        peer.access().open_session(&there()).expect("asks");
    }
}

/// Drafts 02 and 07 to 12 have no flow control and share all the same.
#[test]
fn older_drafts_share() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    for n in 0..3 {
        assert_eq!(admit(&mut peer, &raw::connect()).0, bidi(n));
    }
}

/// Row B21: what capsules say about limits means nothing then, however wrong.
#[test]
fn capsules_mean_nothing() {
    for (config, theirs, token) in off() {
        let mut peer = RawPeer::greeted(Side::Server, config, &theirs);
        let (id, session) = admit(&mut peer, &connect_with(token, &[]));
        for (ty, values) in [
            (MAX_DATA, [7, 3]),
            (MAX_STREAMS_BIDI, [0, 1 << 61]),
            (MAX_STREAMS_UNI, [5, 4]),
            (DATA_BLOCKED, [9, 9]),
            (STREAMS_BLOCKED_BIDI, [1 << 61, 0]),
            (STREAMS_BLOCKED_UNI, [0, 0]),
        ] {
            for value in values {
                send_capsule(&mut peer, id, ty, value);
            }
        }
        let before = numbers(&peer, id).len();
        for dir in [Dir::Bi, Dir::Uni] {
            let stream = peer
                .access()
                .webtransport(session)
                .open_stream(dir)
                .expect("no limit");
            let mut access = peer.access();
            let mut send = access.send(stream).expect("a stream");
            assert_eq!(send.write(&mut [vec![0; 5_000].into()]), Ok(5_000));
        }
        peer.drive();
        assert_eq!(
            numbers(&peer, id).len(),
            before,
            "no capsule of ours either"
        );
        let stats = peer
            .access()
            .webtransport(session)
            .stats()
            .expect("a session");
        assert_eq!(stats.flow_control, None);
    }
}
