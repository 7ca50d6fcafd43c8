//! Row E13: early data: what goes out with the first flight, and what becomes of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aqueduct_core::endpoint::tls::{Ticket, TicketStore};
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir};
use aqueduct_core::quic::{self, DatagramError, Start, StartError, StreamClosed, StreamEvent};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::{EarlyData, ReadState};
use bytes::Bytes;

use super::talk::{of, options};
use super::{At, opened, read};

#[derive(Debug, Default)]
struct Store(Mutex<VecDeque<Ticket>>);

impl TicketStore for Store {
    fn insert(&self, _: &str, ticket: Ticket) {
        self.0.lock().expect("no panic").push_back(ticket);
    }

    fn take(&self, _: &str) -> Option<Ticket> {
        self.0.lock().expect("no panic").pop_back()
    }
}

/// A client that keeps tickets, and what its server is made with.
struct World {
    store: Arc<Store>,
    options: Options,
}

impl World {
    /// A client that has been at the server before.
    fn new() -> Self {
        let identity = Identity::localhost();
        let options = options(|options, _| {
            options.client_tls = Some(identity.client_arc());
            options.server_tls = Some(Arc::new(identity.server()));
            options.early_data = true;
        });
        let world = Self {
            store: Arc::default(),
            options,
        };
        let mut pair = Pair::new(world.options.clone());
        let first = world.connect(&mut pair);
        pair.drive();
        let told = pair.client.take(first);
        let none = EarlyData::None;
        assert_eq!(told[0], Event::Connected { early: none });
        assert!(told.contains(&Event::Ticket), "{told:?}");
        world
    }

    fn connect(&self, pair: &mut Pair) -> ConnKey {
        let target = pair.target().tickets(self.store.clone()).early_data(true);
        let connected = pair.client.endpoint.connect(pair.now, &target);
        let key = connected.expect("begins");
        pair.step();
        key
    }
}

/// A bidirectional stream with some bytes, before the handshake is complete.
fn early(pair: &mut Pair, client: ConnKey) -> aqueduct_core::id::StreamKey {
    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    assert!(!access.is_established());
    let stream = access.start(Dir::Bi, Start::new()).expect("goes early");
    let taken = access.write(stream, &mut [Bytes::from_static(b"early")]);
    assert_eq!(taken, Ok(5));
    // QUIC would send those that it holds a second time.
    let datagram = access.send_datagram(Bytes::new());
    assert_eq!(datagram, Err(DatagramError::NotConnected));
    stream
}

#[test]
fn a_stream_goes_out_with_the_first_flight() {
    let world = World::new();
    let mut pair = Pair::new(world.options.clone());
    let client = world.connect(&mut pair);
    let ours = early(&mut pair, client);
    let begun = pair.elapsed();
    let is_opened = |event: &Event| matches!(event, Event::Quic(quic::Event::Opened(_)));
    assert!(pair.drive_until(|pair| pair.server.events.iter().any(|(_, it)| is_opened(it))));
    assert_eq!(
        pair.elapsed() - begun,
        std::time::Duration::from_millis(10),
        "one way"
    );
    let server = pair.server.events[0].0;
    let told: Vec<_> = pair.server.take(server);
    let connected = |event: &Event| matches!(event, Event::Connected { .. });
    assert!(!told.iter().any(connected), "{told:?}");
    let theirs = opened(&super::quic(told))[0];
    assert!(
        !pair.server_quic(server).access().is_established(),
        "it may be a replay"
    );
    let all = read(&mut pair, At::Server(server), theirs);
    assert_eq!(all, (b"early".to_vec(), ReadState::Blocked));

    pair.drive();
    let accepted = EarlyData::Accepted;
    let told = pair.client.take(client);
    assert!(
        told.contains(&Event::Connected { early: accepted }),
        "{told:?}"
    );
    assert_eq!(of(&super::quic(told), ours), [StreamEvent::Started]);
    let told = pair.server.take(server);
    assert!(
        told.contains(&Event::Connected { early: accepted }),
        "{told:?}"
    );
    assert!(
        pair.server_quic(server)
            .access()
            .about()
            .is_some_and(|about| about.resumed)
    );
    assert!(
        pair.client_quic(client)
            .access()
            .about()
            .is_some_and(|about| about.resumed)
    );
}

/// The server is another that has the same sessions and takes none: it is as if nothing had
/// been, and ids begin anew.
#[test]
fn early_data_that_is_rejected_is_told_and_ids_begin_anew() {
    let world = World::new();
    let mut options = world.options.clone();
    options.transport.stream_receive_window /= 2;
    let mut pair = Pair::new(options);
    let client = world.connect(&mut pair);
    let old = early(&mut pair, client);
    pair.drive();
    let told = pair.client.take(client);
    let rejected = EarlyData::Rejected;
    assert!(
        told.contains(&Event::Connected { early: rejected }),
        "{told:?}"
    );
    let closed = StreamEvent::Closed(StreamClosed::default());
    let events = of(&super::quic(told), old);
    assert_eq!(
        events,
        [StreamEvent::Started, StreamEvent::EarlyDataRejected, closed]
    );
    assert!(
        opened(&super::quic(
            pair.server.events.drain(..).map(|(_, it)| it).collect()
        ))
        .is_empty()
    );

    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    assert_eq!(access.live_streams(), 0);
    let new = access.start(Dir::Bi, Start::new()).expect("begins");
    assert_eq!(new.id(), old.id(), "the same id");
    assert_ne!(new, old, "another key");
    assert!(!access.has_stream(old));
    let taken = access.write(new, &mut [Bytes::from_static(b"again")]);
    assert_eq!(taken, Ok(5));
    pair.drive();
    let events: Vec<_> = pair.server.events.drain(..).collect();
    let server = events[0].0;
    let told = events.into_iter().map(|(_, event)| event).collect();
    let theirs = opened(&super::quic(told))[0];
    assert_eq!(read(&mut pair, At::Server(server), theirs).0, b"again");
}

/// Who confirms certificates sends nothing before.
#[test]
fn a_client_that_confirms_sends_nothing_early() {
    let mut world = World::new();
    if let Some(quic) = &mut world.options.quic {
        quic.client = quic
            .client
            .clone()
            .confirm(std::time::Duration::from_secs(3));
    }
    let mut pair = Pair::new(world.options.clone());
    let client = world.connect(&mut pair);
    let start = pair
        .client_quic(client)
        .access()
        .start(Dir::Bi, Start::new());
    assert_eq!(start, Err(StartError::NotConnected));
}

/// Nor does one that has never been there.
#[test]
fn a_client_without_a_ticket_waits_for_the_handshake() {
    let mut pair = Pair::new(options(|_, _| {}));
    let client = pair.connect();
    let start = pair
        .client_quic(client)
        .access()
        .start(Dir::Bi, Start::new());
    assert_eq!(start, Err(StartError::NotConnected));
}
