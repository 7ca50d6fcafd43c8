//! Row E13: early data (0-RTT) over raw QUIC, taken and not.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir, StreamKey};
use aqueduct_core::quic::{Event as Told, Shutdown, Start, StartError, StreamEvent};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::{EarlyData, ReadState};
use bytes::Bytes;

use super::tickets::Store;
use super::{At, chat, opened, quic, read};

/// A client that has a ticket for early data, and what another server of the same sessions is
/// made with.
fn acquainted() -> (Options, Arc<Store>) {
    let identity = Identity::localhost();
    let options = Options {
        client_tls: Some(identity.client_arc()),
        server_tls: Some(Arc::new(identity.server())),
        early_data: true,
        ..chat()
    };
    let store = Arc::new(Store::default());
    let mut pair = Pair::new(options.clone());
    begin(&mut pair, &store);
    pair.drive();
    (options, store)
}

fn begin(pair: &mut Pair, store: &Arc<Store>) -> ConnKey {
    let target = pair.target().tickets(store.clone()).early_data(true);
    let begun = pair.client.endpoint.connect(pair.now, &target);
    begun.expect("begins")
}

/// Sends a stream of this.
fn send(pair: &mut Pair, client: ConnKey, bytes: &'static [u8]) -> StreamKey {
    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    let stream = access.start(Dir::Bi, Start::new()).expect("begins");
    let taken = access.write(stream, &mut [Bytes::from_static(bytes)]);
    assert_eq!(taken, Ok(bytes.len()));
    access.shutdown(stream, Shutdown::Graceful).expect("ends");
    stream
}

fn is_opened((_, event): &(ConnKey, Event)) -> bool {
    matches!(event, Event::Quic(Told::Opened(_)))
}

#[test]
fn what_is_taken_arrives_before_the_server_is_connected() {
    let (options, store) = acquainted();
    let mut pair = Pair::new(options);
    let client = begin(&mut pair, &store);
    assert!(!pair.client_quic(client).access().is_established());
    let stream = send(&mut pair, client, b"early");
    assert!(pair.drive_until(|pair| pair.server.events.iter().any(is_opened)));
    assert_eq!(pair.elapsed(), Duration::from_millis(10), "one way");
    let (server, _) = pair.server.events[0];
    let events = pair.server.take(server);
    let connected = |event: &Event| matches!(event, Event::Connected { .. });
    assert!(!events.iter().any(connected), "{events:?}");
    let theirs = opened(&quic(events))[0];
    assert!(!pair.server_quic(server).access().is_established());
    let got = read(&mut pair, At::Server(server), theirs);
    assert_eq!(got, (b"early".to_vec(), ReadState::Finished));
    pair.drive();
    let early = EarlyData::Accepted;
    let ours = pair.client.take(client);
    assert!(ours.contains(&Event::Connected { early }), "{ours:?}");
    let over = StreamEvent::SendOver { graceful: true };
    assert!(quic(ours).contains(&Told::Stream(stream, over)));
    let events = pair.server.take(server);
    assert!(events.contains(&Event::Connected { early }), "{events:?}");
    assert!(pair.server_quic(server).access().is_established());
}

#[test]
fn what_is_not_taken_is_told_stream_by_stream_and_ids_begin_anew() {
    let (mut options, store) = acquainted();
    options.transport.stream_receive_window /= 2;
    let mut pair = Pair::new(options);
    let client = begin(&mut pair, &store);
    let streams = [(); 2].map(|()| send(&mut pair, client, b"early"));
    pair.drive();
    let (server, _) = pair.server.events[0];
    let theirs = quic(pair.server.take(server));
    assert!(opened(&theirs).is_empty(), "{theirs:?}");
    let told = pair.client.take(client);
    let early = EarlyData::Rejected;
    assert!(told.contains(&Event::Connected { early }), "{told:?}");
    let told = quic(told);
    for stream in streams {
        let rejected = Told::Stream(stream, StreamEvent::EarlyDataRejected);
        let at = told.iter().position(|event| *event == rejected);
        let closed = told.get(at.expect("told") + 1);
        let closed =
            matches!(closed, Some(Told::Stream(of, StreamEvent::Closed(_))) if *of == stream);
        assert!(closed, "{told:?}");
    }
    let again = send(&mut pair, client, b"again");
    assert_eq!(again.id(), streams[0].id());
    assert_ne!(again, streams[0]);
    pair.drive();
    let theirs = opened(&quic(pair.server.take(server)))[0];
    let got = read(&mut pair, At::Server(server), theirs);
    assert_eq!(got, (b"again".to_vec(), ReadState::Finished));
}

#[test]
fn without_a_ticket_or_a_wish_nothing_begins_early() {
    let (options, store) = acquainted();
    let mut pair = Pair::new(options);
    let none = Arc::new(Store::default());
    let targets = [
        pair.target().tickets(none).early_data(true),
        pair.target().tickets(store),
    ];
    for target in targets {
        let client = pair.client.endpoint.connect(pair.now, &target);
        let client = client.expect("begins");
        let mut connection = pair.client_quic(client);
        let refused = connection.access().start(Dir::Bi, Start::new());
        assert_eq!(refused, Err(StartError::NotConnected));
        pair.drive();
    }
}
