//! Rows E3, E7, E19: how connections and streams end, who hears of it and in which order.

use std::time::Duration;

use aqueduct_core::behaviour::{Accept, Config, StreamActionError};
use aqueduct_core::code::Code;
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::quic::{MAX_CODE, Shutdown, ShutdownError, StreamClosed};

use super::world::options;
use super::*;

fn over() -> StreamClosed {
    let mut over = StreamClosed::default();
    over.connection_over = true;
    over
}

/// The code and reason of the end of a connection, and whether it was this side's.
fn ended(ev: &Ev) -> (bool, bool, &CloseReason) {
    match ev {
        Ev::Over(how) => (how.handshake_completed, how.by_app, &how.reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_close_is_heard_with_its_code_then_by_streams_then_last() {
    let (mut world, log) = received(Mode::Active, "hi", false);
    log.take("peer");
    log.take("server");
    log.take("client");
    world.act(Action::Close(MAX_CODE, bytes("enough")));
    let told: Vec<_> = log.all();
    let of = |who: &str| -> Vec<_> {
        let of = told.iter().filter(|(it, _)| *it == who);
        of.map(|(_, ev)| ev.clone()).collect()
    };
    let server: Vec<_> = told
        .iter()
        .filter(|(who, _)| matches!(*who, "server" | "peer"))
        .collect();
    assert_eq!(server.len(), 3, "{server:?}");
    assert_eq!(
        server[0],
        &("server", Ev::ByPeer(MAX_CODE, bytes("enough")))
    );
    assert_eq!(server[1], &("peer", Ev::Closed(over())));
    let remote = CloseReason::Remote {
        code: Code::new(MAX_CODE),
        reason: bytes("enough"),
    };
    assert_eq!(ended(&server[2].1), (true, false, &remote));
    // Who closes is not told that somebody did.
    assert_eq!(of("own"), [Ev::Closed(over())]);
    let client = of("client");
    assert_eq!(client.len(), 1);
    let local = CloseReason::Local {
        code: Code::new(MAX_CODE),
        reason: bytes("enough"),
    };
    assert_eq!(ended(&client[0]), (true, true, &local));
    assert!(world.client.is_over() && world.server.is_over());
    // And nothing is told twice.
    world.client.message("late");
    world.drive();
    assert!(!world.client.has_work());
    assert_eq!(log.all().len(), told.len());
}

#[test]
fn a_connection_that_times_out_was_ended_by_the_transport() {
    let (mut world, log) = received(Mode::Active, "hi", false);
    log.take("server");
    world.pair.client.link.down = true;
    world.advance(Duration::from_secs(200));
    let told = log.take("server");
    assert_eq!(told[0], Ev::ByTransport(TransportFailure::TimedOut));
    assert!(!ended(&told[1]).1);
    assert_eq!(log.take("peer").last(), Some(&Ev::Closed(over())));
}

#[test]
fn a_stream_that_both_sides_finish_closes_without_a_fault() {
    let log = Log::default();
    let of_peer = log.clone();
    let server = Conn::new("server", &log).accepting(move |_, _| {
        let owner = Stream::new("peer", &of_peer).acting(|_, ev| match ev {
            Ev::Data(data, at) if at.end => {
                Ok([StreamAction::Send(data.clone()), StreamAction::Finish].into())
            }
            _ => Ok(Default::default()),
        });
        Ok(Accept::Own(owner.boxed(), Mode::Active))
    });
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), "echo", true);
    let complete = Ev::SendComplete { cancelled: false };
    let over = Ev::SendOver { graceful: true };
    let closed = Ev::Closed(StreamClosed::default());
    assert_eq!(
        log.take("own"),
        [
            Ev::Started,
            complete.clone(),
            last("echo", 0),
            over.clone(),
            closed.clone()
        ]
    );
    assert_eq!(
        log.take("peer"),
        [Ev::Started, last("echo", 0), complete, over, closed]
    );
    assert_eq!(world.client.live_streams() + world.server.live_streams(), 0);
}

#[test]
fn codes_of_62_bits_reach_the_peer_unchanged() {
    let (mut world, log) = received(Mode::Active, "hi", false);
    log.take("peer");
    world.ask(StreamAction::Shutdown(Shutdown::Abort(MAX_CODE)));
    assert_eq!(
        log.take("peer"),
        [
            Ev::PeerAbortedSend(MAX_CODE),
            Ev::PeerAbortedReceive(MAX_CODE),
            Ev::SendOver { graceful: false },
            Ev::Closed(closed_by_peer(MAX_CODE)),
        ]
    );
    let told = log.take("own");
    assert!(
        matches!(told.last(), Some(Ev::Closed(how)) if how.aborted_here),
        "{told:?}"
    );
}

fn closed_by_peer(code: u64) -> StreamClosed {
    let mut how = StreamClosed::default();
    how.aborted_remotely = true;
    how.code = Some(code);
    how
}

#[test]
fn a_code_beyond_62_bits_ends_nothing() {
    let (mut world, log) = received(Mode::Active, "hi", false);
    log.take("peer");
    world.serve(StreamAction::Shutdown(Shutdown::Abort(MAX_CODE + 1)));
    let refused = StreamActionError::Shutdown(ShutdownError::CodeOutOfRange);
    assert_eq!(log.take("peer"), [Ev::StreamFailed(refused)]);
    world.ask(send("still there"));
    assert_eq!(log.take("peer"), [data("still there", 2)]);
}

#[test]
fn one_that_ends_at_once_waits_for_nothing() {
    let (mut world, log) = received(Mode::Active, "hi", false);
    world.pair.server.link.down = true;
    world.ask(StreamAction::Shutdown(Shutdown::Immediate(4)));
    assert!(matches!(log.take("own").last(), Some(Ev::Closed(_))));
    assert_eq!(world.client.live_streams(), 0);
}

#[test]
fn a_stream_that_is_nobodys_is_abandoned_and_the_rest_goes_on() {
    let (mut world, log) = received(Mode::Active, "hi", false);
    log.take("peer");
    log.take("own");
    world.start(Stream::new("second", &log), "two", false);
    world.ask(StreamAction::Abandon(9));
    // Its owner is gone, and hears nothing; the peer does.
    assert_eq!(log.take("own"), []);
    let told = log.take("peer");
    assert!(told.contains(&Ev::PeerAbortedSend(9)), "{told:?}");
    let second = StreamKey::new(StreamId::new(Side::Client, Dir::Bi, 1), 1);
    log.take("second");
    world.act(Action::Stream(second, send("more")));
    let complete = Ev::SendComplete { cancelled: false };
    assert_eq!(log.take("second"), [complete]);
    assert!(!world.client.is_over());
}

#[test]
fn a_passive_owner_has_a_while_for_what_had_arrived() {
    let log = Log::default();
    let server = Conn::new("server", &log).listening("peer", Mode::Passive);
    let client = Conn::new("client", &log);
    let mut config = Config::new();
    config.linger = Duration::from_secs(20);
    let mut world = World::with(options(), config, client, server);
    world.drive();
    world.start(Stream::new("own", &log), "hello", true);
    world.act(Action::Close(0, bytes("")));
    assert_eq!(log.take("peer"), [Ev::Started]);
    assert!(!world.server.is_over());
    world.advance(Duration::from_secs(10));
    world.serve(exact(4));
    assert_eq!(log.take("peer"), [data("hell", 0)]);
    world.advance(Duration::from_secs(11));
    // It has not taken the rest, and does not keep the connection for ever.
    assert_eq!(log.take("peer"), [Ev::Closed(over())]);
    assert!(world.server.is_over());
}
