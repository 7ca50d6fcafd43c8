//! Rows E6, E7: what is sent is sent in order and told of once, or cancelled.

use aqueduct_core::behaviour::StreamActionError;
use aqueduct_core::behaviour::{Actions, Config};
use aqueduct_core::quic::{Shutdown, ShutdownError};

use super::world::options;
use super::*;

fn complete(cancelled: bool) -> Ev {
    Ev::SendComplete { cancelled }
}

#[test]
fn more_than_quic_takes_waits_its_turn_in_order() {
    let log = Log::default();
    let server = Conn::new("server", &log).listening("peer", Mode::Active);
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), "begin", false);
    log.take("own");
    log.take("peer");
    let large = Bytes::from(vec![7; 900_000]);
    world
        .client
        .act(world.pair.now, on(StreamAction::Send(large.clone())));
    world.client.act(world.pair.now, on(send("then this")));
    world.client.act(world.pair.now, on(StreamAction::Finish));
    world.drive();
    let told = log.take("own");
    assert_eq!(told[..2], [complete(false), complete(false)]);
    assert_eq!(told.last(), Some(&Ev::SendOver { graceful: true }));
    let mut all = Vec::new();
    for ev in log.take("peer") {
        match ev {
            Ev::Data(data, at) => {
                assert_eq!(at.offset, 5 + all.len() as u64);
                all.extend_from_slice(&data);
                assert_eq!(at.end, all.len() == large.len() + 9);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(all.ends_with(b"then this") && all.len() == large.len() + 9);
}

fn on(action: StreamAction<&'static str>) -> Action<&'static str> {
    Action::Stream(FIRST, action)
}

#[test]
fn too_much_in_line_is_cancelled_in_its_place() {
    let log = Log::default();
    let server = Conn::new("server", &log).listening("peer", Mode::Passive);
    let mut config = Config::new();
    config.queued = 10;
    let mut world = World::with(options(), config, Conn::new("client", &log), server);
    world.drive();
    world.start(Stream::new("own", &log), "x", false);
    log.take("own");
    let now = world.pair.now;
    for said in ["12345", "123456", "12345"] {
        world.client.act(now, on(send(said)));
    }
    world.drive();
    let told = log.take("own");
    assert_eq!(told, [complete(false), complete(true), complete(false)]);
    world.serve(exact(11));
    let told = log.take("peer");
    assert_eq!(told.last(), Some(&data("x1234512345", 0)));
}

#[test]
fn what_waits_is_cancelled_when_the_half_ends() {
    let (mut world, log) = received(Mode::Passive, "x", false);
    log.take("own");
    // Nobody reads it, so not all of it goes.
    let large = Bytes::from(vec![7; 1 << 25]);
    world.ask(StreamAction::Send(large));
    world.ask(send("behind it"));
    assert_eq!(log.take("own"), [], "each in its turn");
    world.ask(StreamAction::Shutdown(Shutdown::AbortSend(3)));
    let told = log.take("own");
    let over = Ev::SendOver { graceful: false };
    assert_eq!(told, [complete(true), complete(true), over]);
    world.ask(send("after it"));
    assert_eq!(log.take("own"), [complete(true)]);
}

#[test]
fn a_half_ends_once() {
    let (mut world, log) = received(Mode::Active, "x", false);
    log.take("own");
    world.ask(StreamAction::Finish);
    world.ask(StreamAction::Finish);
    let told = log.take("own");
    let gone = StreamActionError::Shutdown(ShutdownError::Gone);
    assert!(told.contains(&Ev::StreamFailed(gone)), "{told:?}");
}

#[test]
fn an_empty_send_is_one() {
    let (mut world, log) = received(Mode::Active, "x", false);
    log.take("own");
    world.ask(send(""));
    assert_eq!(log.take("own"), [complete(false)]);
    let _: Actions<()> = Actions::new();
}
