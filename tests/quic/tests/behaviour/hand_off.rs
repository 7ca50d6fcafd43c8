//! Row E10: a stream goes from owner to owner, and to its connection, and nothing is lost.

use aqueduct_core::behaviour::{Accept, Actions, HandedOver};
use aqueduct_core::quic::{Shutdown, StreamClosed};

use super::*;

/// Hands the stream over with its first piece, and says nothing else.
fn giving(log: &Log) -> Stream {
    let of_next = log.clone();
    Stream::new("before", log).acting(move |_, ev| match ev {
        Ev::Data(..) => {
            let next = Stream::new("after", &of_next).boxed();
            Ok(StreamAction::HandOff(next).into())
        }
        _ => Ok(Actions::new()),
    })
}

#[test]
fn the_next_owner_goes_on_where_the_last_has_stopped() {
    let log = Log::default();
    let of_peer = log.clone();
    let server = Conn::new("server", &log)
        .accepting(move |_, _| Ok(Accept::Own(giving(&of_peer).boxed(), Mode::Active)));
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), "one", false);
    assert_eq!(log.take("before"), [Ev::Started, data("one", 0)]);
    let handed = Ev::HandedOver(HandedOver::new(Mode::Active, 3, 0));
    assert_eq!(log.take("after"), [handed]);
    world.ask(send("two"));
    world.ask(StreamAction::Shutdown(Shutdown::AbortReceive(1)));
    world.ask(StreamAction::Finish);
    let told = log.take("after");
    assert_eq!(told[0], data("two", 3));
    assert!(told.contains(&Ev::PeerAbortedReceive(1)));
    assert!(told.contains(&last("", 6)));
    // The one before hears of nothing, not of the end either.
    assert_eq!(log.take("before"), []);
}

#[test]
fn what_was_asked_for_is_not_the_next_owners() {
    let (mut world, log) = received(Mode::Passive, "abc", false);
    world.serve(exact(5));
    let next = Stream::new("next", &log);
    world.serve(StreamAction::HandOff(next.boxed()));
    let handed = Ev::HandedOver(HandedOver::new(Mode::Passive, 0, 3));
    assert_eq!(log.take("next"), [handed]);
    world.ask(send("de"));
    assert_eq!(log.take("next"), []);
    world.serve(exact(2));
    world.serve(exact(3));
    assert_eq!(log.take("next"), [data("ab", 0), data("cde", 2)]);
}

#[test]
fn a_stream_that_nobody_takes_is_the_connections_and_paused() {
    let log = Log::default();
    let mut world = World::new(
        Conn::new("client", &log),
        Conn::new("server", &log).acting(|_, _| Ok(Actions::new())),
    );
    world.start(Stream::new("own", &log), "hello", false);
    let told = log.take("server");
    let paused = HandedOver::new(Mode::Passive, 0, 0);
    assert_eq!(told.last(), Some(&Ev::Orphaned(FIRST, paused)));
    assert_eq!(world.read_of_first(), Some(0));
    // What happens meanwhile is kept for who comes.
    world.serve(send("who are you?"));
    world.ask(StreamAction::Shutdown(Shutdown::AbortReceive(2)));
    assert_eq!(log.take("server"), []);
    world.serve(StreamAction::SetMode(Mode::Active));
    world.serve(StreamAction::HandOff(Stream::new("peer", &log).boxed()));
    let told = log.take("peer");
    assert!(matches!(told[0], Ev::HandedOver(_)));
    assert!(told.contains(&data("hello", 0)), "{told:?}");
    assert!(told.contains(&Ev::PeerAbortedReceive(2)), "{told:?}");
}

#[test]
fn the_end_of_an_orphan_is_the_connections_to_hear() {
    let log = Log::default();
    let server = Conn::new("server", &log);
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), "hello", false);
    log.take("server");
    world.ask(StreamAction::Shutdown(Shutdown::Abort(8)));
    let mut how = StreamClosed::default();
    how.aborted_remotely = true;
    how.code = Some(8);
    assert_eq!(log.take("server"), [Ev::OrphanClosed(FIRST, how)]);
    assert_eq!(world.server.live_streams(), 0);
}

#[test]
fn an_owner_may_leave_its_stream_to_the_connection() {
    let (mut world, log) = received(Mode::Active, "one", false);
    log.take("peer");
    log.take("server");
    world.serve(StreamAction::Orphan);
    let paused = HandedOver::new(Mode::Passive, 3, 0);
    assert_eq!(log.take("server"), [Ev::Orphaned(FIRST, paused)]);
    world.ask(send("two"));
    assert_eq!(log.take("peer"), []);
    assert_eq!(world.read_of_first(), Some(3));
}
