//! Rows E1, E2, E4, E12, E14: what a connection's behaviour is told and does.

use std::time::Duration;

use aqueduct_core::behaviour::{ActionError, Actions, Config, StreamActionError, Verdict};
use aqueduct_core::error::TransportFailure;
use aqueduct_core::quic::{self, CloseError, ConfirmError, DatagramError, ShutdownError};
use aqueduct_core::testing::pair::Quic;
use aqueduct_core::transport::EarlyData;

use super::world::options;
use super::*;

/// Answers a message with this.
fn on_message(
    log: &Log,
    answer: impl Fn() -> Actions<Action<&'static str>> + Send + 'static,
) -> Conn {
    Conn::new("client", log).acting(move |_, ev| match ev {
        Ev::Message(_) => Ok(answer()),
        _ => Ok(Actions::new()),
    })
}

fn with_client(log: &Log, client: Conn) -> World {
    let world = World::new(client, Conn::new("server", log));
    log.take("client");
    log.take("server");
    world
}

#[test]
fn a_server_hears_who_begins_and_then_that_it_is_connected() {
    let log = Log::default();
    let server = Conn::new("server", &log).acting(|cx, _| {
        let about = cx.about().expect("known from the first");
        assert_eq!(about.alpn, b"chat");
        assert_eq!(about.server_name.as_deref(), Some("localhost"));
        Ok(Actions::new())
    });
    let _world = World::new(Conn::new("client", &log), server);
    let connected = Ev::Connected(EarlyData::None);
    let told = log.take("server");
    assert_eq!(told, [Ev::NewConnection, connected.clone()]);
    assert_eq!(log.take("client"), [connected]);
}

#[test]
fn the_strongest_of_a_list_counts_wherever_it_stands() {
    let log = Log::default();
    let client = on_message(&log, || {
        [
            Action::Continue,
            Action::Close(3, bytes("three")),
            Action::Drain(Duration::from_secs(9)),
            Action::Close(4, bytes("four")),
            Action::Datagram(bytes("before")),
        ]
        .into()
    });
    let mut world = with_client(&log, client);
    world.client.message("go");
    world.drive();
    let told = log.take("client");
    assert!(!told.contains(&Ev::Continued) && !told.contains(&Ev::Draining));
    let told = log.take("server");
    assert!(told.contains(&Ev::ByPeer(3, bytes("three"))), "{told:?}");
}

#[test]
fn draining_is_stronger_than_going_on() {
    let log = Log::default();
    let drain = || [Action::Drain(Duration::from_secs(9)), Action::Continue].into();
    let mut world = with_client(&log, on_message(&log, drain));
    world.client.message("go");
    world.drive();
    let told = log.take("client");
    assert_eq!(told[..2], [Ev::Message("go"), Ev::Draining]);
    // No stream is left.
    assert!(matches!(told.last(), Some(Ev::Over(how)) if how.by_app));
    assert_eq!(told.len(), 3);
}

#[test]
fn going_on_comes_behind_what_is_due() {
    let log = Log::default();
    let client = on_message(&log, || Action::Continue.into());
    let mut world = with_client(&log, client);
    world.client.message("one");
    world.client.message("two");
    world.drive();
    let told = log.take("client");
    let (one, two) = (Ev::Message("one"), Ev::Message("two"));
    assert_eq!(told, [one, two, Ev::Continued, Ev::Continued]);
}

#[test]
fn it_is_woken_once_at_the_last_time_it_named() {
    let log = Log::default();
    let seconds = Duration::from_secs;
    let twice = move || {
        let (first, then) = (Action::WakeAfter(seconds(1)), Action::WakeAfter(seconds(5)));
        [first, then].into()
    };
    let mut world = with_client(&log, on_message(&log, twice));
    world.client.message("go");
    world.drive();
    log.take("client");
    world.advance(seconds(4));
    assert_eq!(log.take("client"), []);
    world.advance(seconds(4));
    assert_eq!(log.take("client"), [Ev::Timeout]);
    assert_eq!(world.client.poll_timeout(), None);
}

#[test]
fn datagrams_go_there_and_those_that_do_not_are_told() {
    let log = Log::default();
    let mut world = with_client(&log, Conn::new("client", &log));
    world.act(Action::Datagram(bytes("ping")));
    assert_eq!(log.take("server"), [Ev::Datagram(bytes("ping"))]);
    world.act(Action::Datagram(Bytes::from(vec![0; 100_000])));
    let refused = ActionError::Datagram(DatagramError::TooLarge);
    assert_eq!(log.take("client"), [Ev::Failed(refused)]);
}

#[test]
fn a_stream_that_is_gone_is_told_of() {
    let log = Log::default();
    let mut world = with_client(&log, Conn::new("client", &log));
    world.ask(send("to nobody"));
    let failed = Ev::Failed(ActionError::NoSuchStream(FIRST));
    assert_eq!(log.take("client"), [failed]);
}

#[test]
fn what_cannot_be_done_is_told_with_its_reason() {
    let log = Log::default();
    let mut world = with_client(&log, Conn::new("client", &log));
    world.act(Action::Confirm(Ok(())));
    let unasked = ActionError::Confirm(ConfirmError::NotAsked);
    assert_eq!(log.take("client"), [Ev::Failed(unasked)]);
    world.act(Action::Close(1 << 62, bytes("bye")));
    let large = ActionError::Close(CloseError::CodeOutOfRange);
    assert_eq!(log.take("client"), [Ev::Failed(large)]);
    // Its sending half is over, the other is not.
    world.start(Stream::new("mine", &log), "hi", true);
    log.take("mine");
    world.ask(StreamAction::SetPriority(3));
    let over = StreamActionError::Priority(ShutdownError::Gone);
    assert_eq!(log.take("mine"), [Ev::StreamFailed(over)]);
}

#[test]
fn streams_talk_to_their_connection() {
    let (mut world, log) = received(Mode::Active, "hi", false);
    log.take("server");
    world.serve(StreamAction::Tell("from the stream"));
    assert_eq!(log.take("server"), [Ev::Message("from the stream")]);
}

#[test]
fn a_new_address_is_told() {
    let (mut world, log) = received(Mode::Active, "hi", false);
    log.take("server");
    world.pair.rebind_client();
    world.ask(send("from elsewhere"));
    assert_eq!(log.take("server"), [Ev::PeerAddress]);
}

/// A world whose client says of certificates what it wants.
fn confirming(log: &Log, verdict: Verdict) -> World {
    let mut options = options();
    options.quic = Some(Quic {
        client: quic::Config::new().confirm(Duration::from_secs(30)),
        ..Quic::default()
    });
    let mut client = Conn::new("client", log);
    client.verdict = verdict;
    let server = Conn::new("server", log);
    let mut world = World::with(options, Config::new(), client, server);
    world.drive();
    world
}

#[test]
fn certificates_are_accepted_at_once_or_later() {
    let log = Log::default();
    confirming(&log, Verdict::Accept);
    let connected = Ev::Connected(EarlyData::None);
    assert_eq!(log.take("client"), [Ev::Certificate(1), connected.clone()]);
    let mut world = confirming(&log, Verdict::Later);
    assert_eq!(log.take("client"), [Ev::Certificate(1)]);
    world.act(Action::Confirm(Ok(())));
    assert_eq!(log.take("client"), [connected]);
}

#[test]
fn certificates_are_refused_with_an_alert() {
    let log = Log::default();
    let world = confirming(&log, Verdict::Refuse(42));
    let told = log.take("client");
    let Some(Ev::Over(how)) = told.last() else {
        panic!("{told:?}");
    };
    assert!(!how.handshake_completed);
    let heard = Ev::ByTransport(TransportFailure::ClosedByPeer {
        code: 0x100 + 42,
        reason: bytes("certificate refused"),
    });
    assert!(log.take("server").contains(&heard));
    assert!(world.client.is_over());
}
