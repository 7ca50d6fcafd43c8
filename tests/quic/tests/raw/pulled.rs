//! Row E22: events that wait in the connection until whoever owns it takes them.

use aqueduct_core::event::Event;
use aqueduct_core::id::Dir;
use aqueduct_core::quic::{self, Shutdown, Start};
use aqueduct_core::testing::pair::{Options, Pair, Quic};

const READY: Event = Event::Quic(quic::Event::Ready);

/// The server's events wait.
fn pulled(open_streams: usize) -> Options {
    Options {
        quic: Some(Quic {
            server: quic::Config::new()
                .pull_events(true)
                .open_streams(open_streams),
            ..Quic::default()
        }),
        ..Options::default()
    }
}

#[test]
fn the_endpoint_tells_once_that_there_are_events() {
    let mut pair = Pair::new(pulled(100));
    let client = pair.connect();
    pair.drive();
    let (server, ready) = pair.server.events.remove(0);
    assert_eq!((ready, pair.server.events.len()), (READY, 0));
    let mut taken = Vec::new();
    while let Some(event) = pair.server_quic(server).poll_event() {
        taken.push(event);
    }
    assert_eq!(taken.first(), Some(&Event::Quic(quic::Event::Begun)));
    assert!(matches!(taken.get(1), Some(Event::Connected { .. })));
    let closed = pair.client_quic(client).access().close(7, "bye");
    closed.expect("is open");
    pair.drive();
    assert_eq!(pair.server.take(server), [READY]);
    let mut last = None;
    while let Some(mut connection) = pair.server.endpoint.quic(pair.now, server)
        && let Some(event) = connection.poll_event()
    {
        last = Some(event);
    }
    assert!(matches!(last, Some(Event::Closed(_))), "{last:?}");
    pair.advance(std::time::Duration::from_secs(5));
    assert!(pair.server.endpoint.is_idle());
}

#[test]
fn streams_whose_end_nobody_took_keep_others_waiting() {
    let mut pair = Pair::new(pulled(3));
    let client = pair.connect();
    pair.drive();
    let server = pair.server.events[0].0;
    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    for _ in 0..10 {
        let stream = access.start(Dir::Uni, Start::new()).expect("begins");
        let reset = access.shutdown(stream, Shutdown::AbortSend(1));
        reset.expect("is open");
    }
    pair.drive();
    let opened = |pair: &mut Pair| {
        let mut opened = 0;
        while let Some(event) = pair.server_quic(server).poll_event() {
            opened += usize::from(matches!(event, Event::Quic(quic::Event::Opened(_))));
        }
        opened
    };
    for waiting in [3, 3, 3, 1, 0] {
        assert_eq!(opened(&mut pair), waiting);
        pair.drive();
    }
}
