//! Owners that go round in circles: the end of a stream and of its connection comes all the
//! same.

use aqueduct_core::behaviour::{Accept, Actions, Config, NewStream, Owner, StreamActionError};
use aqueduct_core::quic::{Shutdown, ShutdownError};

use super::*;

/// Has the server give a stream to such an owner, and the client close. What the owner was
/// told.
fn told(owner: fn(&Log) -> Owner<&'static str>, mode: Mode) -> Vec<Ev> {
    let log = Log::default();
    let of_peer = log.clone();
    let server =
        Conn::new("server", &log).accepting(move |_, _| Ok(Accept::Own(owner(&of_peer), mode)));
    let mut world = World::new(Conn::new("client", &log), server);
    let own = NewStream::new(Dir::Bi, Stream::new("own", &log).boxed());
    let now = world.pair.now;
    world.client.act(now, own.first("abc").into());
    world.turns(10);
    let close = Action::Close(7, bytes("bye"));
    world.client.act(world.pair.now, close);
    world.turns(300);
    let told = log.take("owner");
    assert!(world.server.is_over(), "{:?}", told.last());
    assert!(
        matches!(told.last(), Some(Ev::Closed(_))),
        "{:?}",
        told.last()
    );
    told
}

/// Hands the stream to one like itself, whenever it is called.
fn handing(log: &Log) -> Owner<&'static str> {
    let next = log.clone();
    let stream = Stream::new("owner", log);
    stream
        .acting(move |_, _| Ok(StreamAction::HandOff(handing(&next)).into()))
        .boxed()
}

#[test]
fn a_stream_that_is_handed_on_for_ever_is_closed() {
    for mode in [Mode::Active, Mode::Passive] {
        told(handing, mode);
    }
}

/// Ends the stream once more, whenever it hears that it has ended.
fn ending(log: &Log) -> Owner<&'static str> {
    let stream = Stream::new("owner", log);
    stream
        .acting(|_, _| Ok(StreamAction::Shutdown(Shutdown::Graceful).into()))
        .boxed()
}

#[test]
fn a_stream_that_is_ended_for_ever_is_closed() {
    let gone = StreamActionError::Shutdown(ShutdownError::Gone);
    assert!(told(ending, Mode::Active).contains(&Ev::StreamFailed(gone)));
}

/// Is told at once that no piece more is wanted, and says so again.
fn switching(log: &Log) -> Owner<&'static str> {
    let stream = Stream::new("owner", log);
    stream
        .acting(|_, _| Ok(StreamAction::SetMode(Mode::Times(0)).into()))
        .boxed()
}

#[test]
fn a_stream_that_is_switched_for_ever_is_closed() {
    assert!(told(switching, Mode::Active).contains(&Ev::Passive));
}

/// Wants ever more, and other than it said.
fn wanting(log: &Log) -> Owner<&'static str> {
    let stream = Stream::new("owner", log);
    stream
        .acting(|_, _| Ok(Actions::from(exact(0)).and(exact(5)).and(ANY)))
        .boxed()
}

#[test]
fn a_stream_of_which_ever_more_is_wanted_is_closed() {
    told(wanting, Mode::Passive);
}

/// Behaviours that have always something to do: the server's has one stream open.
fn busy(callbacks: usize, act: fn(&Ev) -> Actions<Action<&'static str>>) -> (World, Log) {
    let log = Log::default();
    let server = Conn::new("server", &log)
        .listening("peer", Mode::Active)
        .acting(move |_, ev| Ok(act(ev)));
    let mut config = Config::new();
    config.callbacks = callbacks;
    let mut world = World::with(world::options(), config, Conn::new("client", &log), server);
    world.turns(20);
    (world, log)
}

/// Each turn ends, what the peer sends is told meanwhile, and the end comes, once and last.
fn goes_on(mut world: World, log: &Log) {
    let own = NewStream::new(Dir::Bi, Stream::new("own", log).boxed());
    let now = world.pair.now;
    world.client.act(now, own.first("abc").finish().into());
    world.turns(20);
    let told = log.take("peer");
    assert!(told.contains(&last("abc", 0)), "{told:?}");
    let now = world.pair.now;
    world.client.act(now, Action::Close(7, bytes("bye")));
    world.turns(300);
    assert!(world.server.is_over());
    let over = |ev: &&Ev| matches!(ev, Ev::Over(_));
    let told = log.take("server");
    assert_eq!(told.iter().filter(over).count(), 1);
    assert!(told.last().as_ref().is_some_and(over));
    world.pair.advance(std::time::Duration::from_secs(5));
    assert!(world.pair.server.endpoint.is_idle());
}

#[test]
fn a_connection_that_goes_on_for_ever_does_other_things_too() {
    let (world, log) = busy(256, |_| Action::Continue.into());
    goes_on(world, &log);
}

#[test]
fn actions_on_streams_that_are_gone_keep_nothing_up() {
    let gone = |_: &Ev| {
        let key = StreamKey::new(StreamId::new(Side::Server, Dir::Bi, 40), 9);
        Action::Stream(key, send("x")).into()
    };
    let (world, log) = busy(256, gone);
    goes_on(world, &log);
}

#[test]
fn alarms_that_are_always_due_keep_nothing_up() {
    for callbacks in [256, 1] {
        let (world, log) = busy(callbacks, |_| {
            Action::WakeAfter(std::time::Duration::ZERO).into()
        });
        goes_on(world, &log);
    }
}
