//! Rows E3, E15: who ended a connection and why, told once and last at both ends.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{CloseError, Config, MAX_CODE, StartError, WriteError};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::transport::TransportEvent;
use bytes::Bytes;

use super::talk::{Talk, options, reason};

//= https://www.rfc-editor.org/rfc/rfc9000#section-20.2
// The management of application error codes is left to application protocols.
#[test]
fn a_code_of_62_bits_reaches_the_other_end_unchanged() {
    for side in [Side::Client, Side::Server] {
        for code in [0, 1, 0x100, MAX_CODE] {
            let mut talk = Talk::new();
            talk.close(side, code, b"enough");
            let reason_of = |local: bool| {
                let (code, reason) = (Code::new(code), Bytes::from_static(b"enough"));
                Some(match local {
                    true => CloseReason::Local { code, reason },
                    false => CloseReason::Remote { code, reason },
                })
            };
            assert_eq!(reason(&talk.all(side)), reason_of(true));
            assert_eq!(reason(&talk.all(side.peer())), reason_of(false));
            talk.pair.advance(Duration::from_secs(60));
            assert_eq!(talk.all(side), []);
            assert_eq!(talk.all(side.peer()), []);
        }
    }
}

#[test]
fn a_larger_code_is_refused_and_changes_nothing() {
    let mut talk = Talk::new();
    for code in [MAX_CODE + 1, u64::MAX] {
        let refused = talk.act(Side::Client, |access| access.close(code, ""));
        assert_eq!(refused, Err(CloseError::CodeOutOfRange));
    }
    assert_eq!(talk.events(Side::Server), []);
    talk.stream(Side::Client, Dir::Bi);
}

/// Everything that an application may still ask gives an answer.
#[test]
fn a_closed_connection_refuses_everything() {
    let mut talk = Talk::new();
    let [ours, _] = talk.stream(Side::Client, Dir::Bi);
    talk.close(Side::Client, 7, b"");
    let again = talk.act(Side::Client, |access| access.close(8, ""));
    assert_eq!(again, Err(CloseError::Closed));
    let start = talk.act(Side::Client, |access| {
        access.start(Dir::Bi, Default::default())
    });
    assert_eq!(start, Err(StartError::Closed));
    let mut chunks = [Bytes::from_static(b"late")];
    let write = talk.act(Side::Client, |access| access.write(ours, &mut chunks));
    assert_eq!(write, Err(WriteError::Gone));
    let code = talk.act(Side::Client, |access| access.close_reason().cloned());
    assert!(matches!(code, Some(CloseReason::Local { .. })), "{code:?}");
    assert!(matches!(
        reason(&talk.all(Side::Client)),
        Some(CloseReason::Local { .. })
    ));
}

/// A quiet connection ends at both ends by QUIC's own timeout.
#[test]
fn a_silent_connection_ends_by_the_transport() {
    let mut talk = Talk::new();
    talk.pair.advance(Duration::from_secs(31));
    let idle = Some(CloseReason::Transport(TransportFailure::TimedOut));
    assert_eq!(reason(&talk.all(Side::Client)), idle);
    assert_eq!(reason(&talk.all(Side::Server)), idle);
}

/// Row E15: a full server refuses with CONNECTION_REFUSED.
#[test]
fn a_server_that_takes_nobody_refuses() {
    let mut pair = aqueduct_core::testing::pair::Pair::new(options(|_, _| {}));
    pair.server.endpoint.set_accepting(false);
    let client = pair.connect();
    pair.drive();
    let events = pair.client.take(client);
    //= https://www.rfc-editor.org/rfc/rfc9000#section-20.1
    // CONNECTION_REFUSED (0x02): The server refused to accept a new connection.
    let refused = |failure: &TransportFailure| {
        matches!(failure, TransportFailure::ClosedByPeer { code: 2, .. })
    };
    let told = reason(&events).expect("ended");
    assert!(
        matches!(&told, CloseReason::Transport(failure) if refused(failure)),
        "{told:?}"
    );
    assert_eq!(events.len(), 1, "{events:?}");
}

/// Events come in the order in which things happened, and nothing after the end.
#[test]
fn what_was_told_before_comes_before_the_end() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.write(Side::Client, ours, b"last words");
    talk.pair.advance(Duration::from_millis(15));
    talk.close(Side::Client, 3, b"");
    let events = talk.all(Side::Server);
    let readable = super::talk::of(&super::quic(events.clone()), theirs);
    assert_eq!(readable, [aqueduct_core::quic::StreamEvent::Readable]);
    assert!(matches!(events.last(), Some(Event::Closed(_))));
}

/// What QUIC may have to say of an end that is known changes nothing.
#[test]
fn a_connection_ends_once_whoever_says_so() {
    let mut pair = LoopbackQuic::new(Config::new(), Config::new(), Knobs::default());
    pair.drive();
    pair.events(Side::Client);
    pair.client().close(5, "mine").expect("closes");
    let lost = || CloseReason::Transport(TransportFailure::TimedOut);
    for _ in 0..2 {
        pair.tell(Side::Client, TransportEvent::Closed(lost()));
        pair.tell(Side::Client, TransportEvent::Datagrams);
        pair.tell(Side::Client, TransportEvent::StreamsBlocked(Dir::Bi));
    }
    let mine = CloseReason::Local {
        code: Code::new(5),
        reason: "mine".into(),
    };
    let events = pair.events(Side::Client);
    assert_eq!(events, [Event::Closed(Box::new(mine))]);
}
