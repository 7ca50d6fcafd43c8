//! How a connection ends: in whose words, with which code, exactly once.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::{CloseReason, RequestError, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::head::End;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::RawPeer;
use aqueduct_tests::get;
use bytes::Bytes;

/// The reason of the only `Closed` event, which is the last.
#[track_caller]
fn reason(events: &[Event]) -> CloseReason {
    let count = events
        .iter()
        .filter(|event| matches!(event, Event::Closed(_)))
        .count();
    assert_eq!(count, 1, "{events:?}");
    match events.last() {
        Some(Event::Closed(reason)) => (**reason).clone(),
        other => panic!("{other:?}"),
    }
}

/// Row A21: any 62-bit code reaches the other side as the same integer.
#[test]
fn codes_and_words_arrive() {
    for value in [0, 0x100, 0x52e4_a40f_a8db, (1 << 62) - 1] {
        let code = Code::new(value);
        let mut pair = LoopbackPair::connected(Knobs::default());
        pair.client().close(code, "enough");
        let client = reason(&pair.events(Side::Client));
        assert_eq!(
            client,
            CloseReason::Local {
                code,
                reason: Bytes::from_static(b"enough")
            }
        );
        let server = reason(&pair.events(Side::Server));
        assert_eq!(
            server,
            CloseReason::Remote {
                code,
                reason: Bytes::from_static(b"enough")
            }
        );
    }
}

/// Row A21: the peer's and QUIC's ends are told apart.
#[test]
fn quic_ends_are_their_own_kind() {
    let failures = [
        TransportFailure::TimedOut,
        TransportFailure::Reset,
        TransportFailure::ClosedByPeer {
            code: 0x178,
            reason: Bytes::from_static(b"alpn"),
        },
    ];
    for failure in failures {
        let mut pair = LoopbackPair::connected(Knobs::default());
        pair.fail(&failure);
        for side in [Side::Client, Side::Server] {
            let told = reason(&pair.events(side));
            assert_eq!(told, CloseReason::Transport(failure.clone()));
        }
    }
}

/// After the end every command is refused and nothing more is told.
#[test]
fn nothing_works_afterwards() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let stream = pair.client().request(&get(), End::More).expect("a request");
    pair.server().close(Code::H3_NO_ERROR, "");
    reason(&pair.events(Side::Client));
    assert_eq!(
        pair.client().request(&get(), End::Fin),
        Err(RequestError::Closed)
    );
    assert!(pair.client().send(stream).is_err());
    pair.client().close(Code::H3_INTERNAL_ERROR, "again");
    let until = pair.now();
    pair.client().drain(until);
    pair.handle_timeouts();
    assert!(pair.events(Side::Client).is_empty());
    assert!(pair.events(Side::Server).len() == 1, "its own end");
    assert!(pair.connection(Side::Client).0.is_closed());
}

/// The rule that was broken stands in the reason on the wire.
#[test]
fn a_broken_rule_is_named() {
    let mut peer = RawPeer::new(Side::Server, Config::default());
    peer.control(&[0x07, 0x01, 0x00]);
    assert_eq!(peer.closed(), Some(Code::H3_MISSING_SETTINGS));
    let words = peer.closed_because().unwrap_or_default();
    assert!(words.contains("SETTINGS"), "{words:?}");
}
