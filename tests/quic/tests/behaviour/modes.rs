//! Rows E8, E9: active, once, a number of times, passive; exact and any; the errors of the
//! passive mode.

use aqueduct_core::behaviour::ReceiveError;
use aqueduct_core::quic::{Shutdown, StreamClosed};

use super::*;

fn failed(why: ReceiveError) -> Ev {
    Ev::ReceiveFailed(why)
}

#[test]
fn an_active_stream_is_given_what_comes_as_it_comes() {
    let (mut world, log) = received(Mode::Active, "hello", false);
    assert_eq!(log.take("peer"), [data("hello", 0)]);
    world.ask(send(" world"));
    assert_eq!(log.take("peer"), [data(" world", 5)]);
}

#[test]
fn once_is_one_piece() {
    let (mut world, log) = received(Mode::Once, "one", false);
    assert_eq!(log.take("peer"), [data("one", 0)]);
    world.ask(send("two"));
    world.ask(send("three"));
    assert_eq!(log.take("peer"), []);
    world.serve(StreamAction::SetMode(Mode::Active));
    let told = log.take("peer");
    let joined: Vec<u8> = told
        .iter()
        .flat_map(|ev| match ev {
            Ev::Data(data, _) => data.to_vec(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(joined, b"twothree");
}

#[test]
fn so_many_times_and_then_it_is_said_that_it_is_passive() {
    let (mut world, log) = received(Mode::Times(2), "one", false);
    assert_eq!(log.take("peer"), [data("one", 0)]);
    world.ask(send("two"));
    assert_eq!(log.take("peer"), [data("two", 3), Ev::Passive]);
    world.ask(send("three"));
    assert_eq!(log.take("peer"), []);
    // Of none it is said at once.
    world.serve(StreamAction::SetMode(Mode::Times(0)));
    assert_eq!(log.take("peer"), [Ev::Passive]);
}

#[test]
fn who_sets_a_mode_with_the_last_piece_is_not_passive() {
    let log = Log::default();
    let of_peer = log.clone();
    let server = Conn::new("server", &log).accepting(move |_, _| {
        let owner = Stream::new("peer", &of_peer).acting(|cx, ev| {
            let again = matches!(ev, Ev::Data(_, at) if at.offset == 0);
            assert!(!again || cx.mode() == Mode::Passive);
            let set = again.then_some(StreamAction::SetMode(Mode::Times(1)));
            Ok(set.into_iter().collect())
        });
        Ok(aqueduct_core::behaviour::Accept::Own(
            owner.boxed(),
            Mode::Times(1),
        ))
    });
    let mut world = World::new(Conn::new("client", &log), server);
    world.start(Stream::new("own", &log), "one", false);
    assert_eq!(log.take("peer"), [Ev::Started, data("one", 0)]);
    world.ask(send("two"));
    assert_eq!(log.take("peer"), [data("two", 3), Ev::Passive]);
}

#[test]
fn an_exact_receive_waits_for_all_its_bytes() {
    let (mut world, log) = received(Mode::Passive, "hel", false);
    world.serve(exact(5));
    assert_eq!(log.take("peer"), []);
    world.ask(send("lo world"));
    assert_eq!(log.take("peer"), [data("hello", 0)]);
    world.serve(ANY);
    assert_eq!(log.take("peer"), [data(" world", 5)]);
}

#[test]
fn what_nobody_asks_for_stays_with_the_peer() {
    let (mut world, log) = received(Mode::Passive, "hello", false);
    assert_eq!(log.take("peer"), []);
    assert_eq!(world.read_of_first(), Some(0));
    world.serve(exact(2));
    // Nothing beyond it was taken from QUIC.
    assert_eq!(world.read_of_first(), Some(2));
}

#[test]
fn one_receive_at_a_time_and_only_in_the_passive_mode() {
    let (mut world, log) = received(Mode::Passive, "a", false);
    world.serve(exact(2));
    world.serve(ANY);
    assert_eq!(log.take("peer"), [failed(ReceiveError::Busy)]);
    world.serve(StreamAction::SetMode(Mode::Active));
    let told = log.take("peer");
    assert_eq!(told, [failed(ReceiveError::Switched), data("a", 0)]);
    world.serve(exact(2));
    assert_eq!(log.take("peer"), [failed(ReceiveError::NotPassive)]);
    world.serve(StreamAction::SetMode(Mode::Passive));
    world.serve(exact(0));
    world.serve(exact(usize::MAX));
    let length = failed(ReceiveError::Length);
    assert_eq!(log.take("peer"), [length.clone(), length]);
}

#[test]
fn an_end_without_bytes_is_given() {
    let (mut world, log) = received(Mode::Active, "all", false);
    assert_eq!(log.take("peer"), [data("all", 0)]);
    world.ask(StreamAction::Finish);
    assert_eq!(log.take("peer"), [last("", 3)]);
}

#[test]
fn an_end_may_come_with_the_last_bytes() {
    let (_world, log) = received(Mode::Active, "all", true);
    assert_eq!(log.take("peer"), [last("all", 0)]);
}

#[test]
fn a_receive_beyond_the_end_says_what_is_missing_and_loses_nothing() {
    let (mut world, log) = received(Mode::Passive, "short", true);
    world.serve(exact(8));
    let missing = |missing| failed(ReceiveError::PeerFinished { missing });
    assert_eq!(log.take("peer"), [missing(3)]);
    world.serve(exact(2));
    assert_eq!(log.take("peer"), [data("sh", 0)]);
    world.serve(ANY);
    assert_eq!(log.take("peer"), [last("ort", 2)]);
    world.serve(ANY);
    assert_eq!(log.take("peer"), [missing(0)]);
}

#[test]
fn a_reset_is_another_error_than_an_end() {
    let (mut world, log) = received(Mode::Passive, "ab", false);
    world.serve(exact(9));
    world.ask(StreamAction::Shutdown(Shutdown::AbortSend(7)));
    assert_eq!(
        log.take("peer"),
        [failed(ReceiveError::Reset(7)), Ev::PeerAbortedSend(7)]
    );
    world.serve(ANY);
    assert_eq!(log.take("peer"), [failed(ReceiveError::Reset(7))]);
}

#[test]
fn a_close_is_another_error_than_both() {
    let (mut world, log) = received(Mode::Passive, "ab", false);
    world.serve(exact(9));
    world.act(Action::Close(5, bytes("bye")));
    let told = log.take("peer");
    assert_eq!(told, [failed(ReceiveError::Closed)]);
    // What had arrived can still be had.
    world.serve(ANY);
    let mut over = StreamClosed::default();
    over.connection_over = true;
    assert_eq!(log.take("peer"), [data("ab", 0), Ev::Closed(over)]);
}

#[test]
fn what_this_side_has_stopped_gives_no_more() {
    let (mut world, log) = received(Mode::Passive, "ab", false);
    world.serve(StreamAction::Shutdown(Shutdown::AbortReceive(3)));
    world.serve(ANY);
    assert_eq!(log.take("peer"), [failed(ReceiveError::Closed)]);
    assert_eq!(
        log.take("own"),
        [Ev::PeerAbortedReceive(3), Ev::SendOver { graceful: false }]
    );
}
