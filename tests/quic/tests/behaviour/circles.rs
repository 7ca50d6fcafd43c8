//! Owners that go round in circles: the end of a stream and of its connection comes all the
//! same.

use aqueduct_core::behaviour::{Accept, Actions, NewStream, Owner, StreamActionError};
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
