//! An application that does not take what it is told: a peer that goes on has it told no more.

use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{self, About};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::testing::pair::Pair;
use aqueduct_core::transport::TransportEvent;

fn connected() -> LoopbackQuic {
    let config = quic::Config::default();
    let mut pair = LoopbackQuic::new(config.clone(), config, Knobs::default());
    pair.drive();
    pair.events(Side::Client);
    pair
}

/// What a peer can say as often as it likes with frames of two bytes.
#[test]
fn what_is_the_same_however_often_it_is_said_waits_once() {
    let mut pair = connected();
    let about = |port| {
        let remote = std::net::SocketAddr::from(([192, 0, 2, 1], port));
        TransportEvent::About(Box::new(About::new(remote)))
    };
    pair.tell(Side::Client, about(9));
    pair.events(Side::Client);
    for round in 0..1000 {
        for dir in [Dir::Bi, Dir::Uni] {
            pair.tell(Side::Client, TransportEvent::StreamsBlocked(dir));
            pair.tell(Side::Client, TransportEvent::Available(dir));
        }
        pair.tell(Side::Client, TransportEvent::Ticket);
        pair.tell(Side::Client, TransportEvent::DatagramsUnblocked);
        pair.tell(Side::Client, about(10 + round));
    }
    let events = pair.events(Side::Client);
    let of = |event: quic::Event| Event::Quic(event);
    let expected = [
        of(quic::Event::PeerNeedsStreams(Dir::Bi)),
        Event::Available(Dir::Bi),
        of(quic::Event::PeerNeedsStreams(Dir::Uni)),
        Event::Available(Dir::Uni),
        Event::Ticket,
        of(quic::Event::DatagramsUnblocked),
        of(quic::Event::PeerAddress(([192, 0, 2, 1], 10).into())),
        // Where it is at present.
        of(quic::Event::PeerAddress(([192, 0, 2, 1], 1009).into())),
    ];
    assert_eq!(events, expected);
    // What was taken is told again.
    pair.tell(Side::Client, TransportEvent::StreamsBlocked(Dir::Bi));
    pair.tell(Side::Client, about(9));
    assert_eq!(pair.events(Side::Client).len(), 2);
}

/// A client that is elsewhere with every packet.
#[test]
fn a_peer_that_moves_for_ever_is_told_of_twice() {
    let mut options = super::chat();
    let raw = options.quic.as_mut().expect("raw");
    raw.server = quic::Config::new().pull_events(true);
    let mut pair = Pair::new(options);
    pair.connect();
    pair.drive();
    let (server, _) = pair.server.events.remove(0);
    while pair.server_quic(server).poll_event().is_some() {}
    for _ in 0..50 {
        pair.rebind_client();
        pair.client.endpoint.handle_rebind(pair.now);
        pair.advance(std::time::Duration::from_millis(100));
    }
    let mut taken = Vec::new();
    while let Some(event) = pair.server_quic(server).poll_event() {
        taken.push(event);
    }
    let moved = |event: &&Event| matches!(event, Event::Quic(quic::Event::PeerAddress(_)));
    let moves: Vec<_> = taken.iter().filter(moved).collect();
    let there = Event::Quic(quic::Event::PeerAddress(pair.client.addr));
    assert_eq!(moves.len(), 2, "{moves:?}");
    assert_eq!(moves.last(), Some(&&there));
}
