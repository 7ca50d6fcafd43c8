//! Row E5: who may open streams is told, and who would.

use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{self, Shutdown, Start, StartError, StreamEvent};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::transport::{ReadState, TransportEvent};
use bytes::Bytes;

use super::talk::Talk;

/// As many as the peer's limit allows can be begun, and the next when it allows more.
#[test]
fn streams_are_available_again_when_the_peers_limit_grows() {
    for tell in [true, false] {
        let mut talk = Talk::with(|options, quic| {
            options.transport.max_streams_bidi = 3;
            quic.client.tell_available = tell;
        });
        let start = Start::new().fail_blocked();
        let begin = |talk: &mut Talk| talk.act(Side::Client, |it| it.start(Dir::Bi, start));
        let first = begin(&mut talk).expect("begins");
        for _ in 0..2 {
            begin(&mut talk).expect("begins");
        }
        assert_eq!(begin(&mut talk), Err(StartError::Blocked));
        talk.shutdown(Side::Client, first, Shutdown::Abort(0));
        let available = Event::Available(Dir::Bi);
        assert_eq!(talk.all(Side::Client).contains(&available), tell);
        begin(&mut talk).expect("begins");
        assert_eq!(
            begin(&mut talk),
            Err(StartError::Blocked),
            "one more, not two"
        );
    }
}

/// STREAMS_BLOCKED of the peer.
#[test]
fn a_peer_that_would_open_streams_is_told() {
    let config = quic::Config::default();
    let mut pair = LoopbackQuic::new(config.clone(), config, Knobs::default());
    pair.drive();
    pair.events(Side::Server);
    for dir in [Dir::Uni, Dir::Bi] {
        pair.tell(Side::Server, TransportEvent::StreamsBlocked(dir));
        let needs = Event::Quic(quic::Event::PeerNeedsStreams(dir));
        assert_eq!(pair.events(Side::Server), [needs]);
    }
}

/// A stream that waits and one that is begun at once keep their order, also when the peer's
/// word has come and has not been looked at.
#[test]
fn nobody_overtakes_those_that_wait() {
    let config = quic::Config::default();
    let knobs = Knobs {
        uni_streams: 1,
        ..Knobs::default()
    };
    let mut pair = LoopbackQuic::new(config.clone(), config, knobs);
    pair.drive();
    let first = pair.client().start(Dir::Uni, Start::new()).expect("begins");
    let waits = pair.client().start(Dir::Uni, Start::new()).expect("waits");
    let taken = pair.client().write(first, &mut [Bytes::from_static(b"x")]);
    assert_eq!(taken, Ok(1));
    let ended = pair.client().shutdown(first, Shutdown::Graceful);
    ended.expect("ends");
    pair.drive();
    pair.events(Side::Client);
    let theirs = pair.server().streams().next().expect("arrived");
    let mut out = [const { Bytes::new() }; 2];
    let read = pair.server().read(theirs, 9, &mut out).expect("reads");
    assert_eq!(read.state, ReadState::Finished);
    let mut told = Vec::new();
    while pair.net.step(&mut told) {}
    let available = TransportEvent::Available(Dir::Uni);
    assert!(
        told.iter().any(|(_, event)| *event == available),
        "{told:?}"
    );
    let at_once = Start::new().fail_blocked();
    let refused = pair.client().start(Dir::Uni, at_once);
    assert_eq!(refused, Err(StartError::Blocked));
    for (side, event) in told {
        pair.tell(side, event);
    }
    let events = super::quic(pair.events(Side::Client));
    let events = super::talk::of(&events, waits);
    assert_eq!(events, [StreamEvent::Started]);
}
