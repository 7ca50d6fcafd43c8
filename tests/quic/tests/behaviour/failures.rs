//! Row E1: a callback that fails ends what it belongs to, and nothing else.

use aqueduct_core::behaviour::{Accept, Actions, Failure};
use aqueduct_core::quic::{MAX_CODE, Shutdown};

use super::*;

/// An owner whose data are a failure.
fn failing(log: &Log) -> Stream {
    Stream::new("failing", log).acting(|_, ev| match ev {
        Ev::Data(..) => Err(Failure::new(77)),
        _ => Ok(Actions::new()),
    })
}

#[test]
fn a_stream_that_fails_ends_alone() {
    let log = Log::default();
    let of_peer = log.clone();
    let server = Conn::new("server", &log).accepting(move |key, _| {
        let owner = match key.id().number() {
            0 => failing(&of_peer),
            _ => Stream::new("sound", &of_peer),
        };
        Ok(Accept::Own(owner.boxed(), Mode::Active))
    });
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), "hi", false);
    world.start(Stream::new("other", &log), "hi", false);
    let told = log.take("own");
    assert!(told.contains(&Ev::PeerAbortedSend(77)), "{told:?}");
    assert!(told.contains(&Ev::PeerAbortedReceive(77)), "{told:?}");
    let told = log.take("failing");
    let closes = told.iter().filter(|ev| matches!(ev, Ev::Closed(_)));
    assert_eq!(closes.count(), 1);
    assert!(matches!(told.last(), Some(Ev::Closed(how)) if how.aborted_here));
    assert_eq!(log.take("sound"), [Ev::Started, data("hi", 0)]);
    assert!(!world.client.is_over() && !world.server.is_over());
}

#[test]
fn a_connection_that_fails_closes_with_its_code_and_reason() {
    let log = Log::default();
    let server = Conn::new("server", &log).acting(|_, ev| match ev {
        Ev::Message(_) => Err(Failure::new(u64::MAX).reason("cannot")),
        _ => Ok(Actions::new()),
    });
    let mut world = World::new(Conn::new("client", &log), server);
    world.server.message("fail");
    world.drive();
    let told = log.take("client");
    let heard = Ev::ByPeer(MAX_CODE, bytes("cannot"));
    assert!(told.contains(&heard), "{told:?}");
}

#[test]
fn a_failure_to_take_a_stream_is_the_connections() {
    let log = Log::default();
    let server =
        Conn::new("server", &log).accepting(|_, _| Err(Failure::new(6).reason("no streams")));
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), "hi", false);
    let told = log.take("client");
    assert!(told.contains(&Ev::ByPeer(6, bytes("no streams"))));
}

#[test]
fn a_failure_at_the_end_ends_nothing_more() {
    let log = Log::default();
    let of_peer = log.clone();
    let server = Conn::new("server", &log).accepting(move |_, _| {
        let owner = Stream::new("peer", &of_peer).acting(|_, ev| match ev {
            Ev::Closed(_) => Err(Failure::new(1)),
            _ => Ok(Actions::new()),
        });
        Ok(Accept::Own(owner.boxed(), Mode::Active))
    });
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), "hi", false);
    world.ask(StreamAction::Shutdown(Shutdown::Abort(3)));
    assert!(matches!(log.take("peer").last(), Some(Ev::Closed(_))));
    assert!(!world.server.is_over());
    assert_eq!(world.server.live_streams(), 0);
}
