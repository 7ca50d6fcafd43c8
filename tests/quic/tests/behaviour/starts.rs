//! Rows E5, E6: streams begin when the peer's limit lets them, or not at all.

use aqueduct_core::behaviour::Config;
use aqueduct_core::behaviour::NewStream;
use aqueduct_core::event::Event;
use aqueduct_core::quic::{self, Shutdown, Start, StartError};

use super::world::options;
use super::*;

/// The server allows one stream each way.
fn narrow(log: &Log) -> World {
    let mut options = options();
    options.transport.max_streams_bidi = 1;
    let server = Conn::new("server", log).listening("peer", Mode::Active);
    let client = Conn::new("client", log);
    let mut world = World::with(options, Config::new(), client, server);
    world.drive();
    world.start(Stream::new("own", log), "one", false);
    log.take("client");
    world
}

#[test]
fn one_that_must_not_wait_fails_and_its_owner_comes_back() {
    let log = Log::default();
    let mut world = narrow(&log);
    let owner = Stream::new("second", &log).boxed();
    let stream = NewStream::new(Dir::Bi, owner).how(Start::new().fail_blocked());
    world.act(stream);
    assert_eq!(log.take("client"), [Ev::NotStarted(StartError::Blocked)]);
    assert_eq!(log.take("second"), []);
}

#[test]
fn one_that_waits_begins_when_another_ends() {
    let log = Log::default();
    let mut world = narrow(&log);
    world.start(Stream::new("second", &log), "two", true);
    assert_eq!(log.take("second"), []);
    world.ask(StreamAction::Shutdown(Shutdown::Abort(0)));
    let told = log.take("second");
    let complete = Ev::SendComplete { cancelled: false };
    assert_eq!(told[..2], [Ev::Started, complete]);
    let told = log.take("client");
    assert!(told.contains(&Ev::Available(Dir::Bi)), "{told:?}");
    let told = log.take("peer");
    assert_eq!(told.last(), Some(&last("two", 0)));
}

#[test]
fn none_begins_on_a_connection_that_is_not_there_yet() {
    let log = Log::default();
    let mut world = World::with(
        options(),
        Config::new(),
        Conn::new("client", &log),
        Conn::new("server", &log),
    );
    world.start(Stream::new("own", &log), "", false);
    let told = log.take("client");
    assert_eq!(
        told.first(),
        Some(&Ev::NotStarted(StartError::NotConnected))
    );
}

#[test]
fn a_peer_that_needs_streams_is_heard_once_until_it_is_told() {
    let log = Log::default();
    let mut world = narrow(&log);
    log.take("server");
    // quinn does not say STREAMS_BLOCKED; others do.
    let key = world.server_key.expect("connected");
    let mut connection = world.pair.server_quic(key);
    for _ in 0..3 {
        let needs = Event::Quic(quic::Event::PeerNeedsStreams(Dir::Uni));
        world.server.handle(&mut connection.access(), needs);
    }
    world.drive();
    assert_eq!(log.take("server"), [Ev::NeedsStreams(Dir::Uni)]);
}
