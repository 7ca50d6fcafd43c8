//! Row E5: how many streams may be begun at present, by the peer's limit.

use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir};
use aqueduct_core::quic::{Shutdown, Start, StartError};
use aqueduct_core::testing::pair::{Options, Pair};
use bytes::Bytes;

use super::{At, chat, opened, quic, read};

/// Few streams.
fn few() -> Options {
    let mut options = chat();
    options.transport.max_streams_bidi = 3;
    options.transport.max_streams_uni = 8;
    options
}

fn available(pair: &mut Pair, client: ConnKey) -> [Option<u64>; 2] {
    let mut connection = pair.client_quic(client);
    let access = connection.access();
    [Dir::Bi, Dir::Uni].map(|dir| access.available(dir))
}

/// Sends a stream that is over, and reads it.
fn whole(pair: &mut Pair, client: ConnKey, server: ConnKey) {
    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    let stream = access.start(Dir::Uni, Start::new()).expect("begins");
    let taken = access.write(stream, &mut [Bytes::from_static(b"hello")]);
    assert_eq!(taken, Ok(5));
    access.shutdown(stream, Shutdown::Graceful).expect("ends");
    pair.drive();
    for stream in opened(&quic(pair.server.take(server))) {
        read(pair, At::Server(server), stream);
    }
    pair.drive();
}

#[test]
fn it_is_known_with_the_handshake_and_falls_with_each_stream() {
    let mut pair = Pair::new(few());
    let client = pair.connect();
    assert_eq!(available(&mut pair, client), [None; 2]);
    pair.drive();
    assert_eq!(available(&mut pair, client), [Some(3), Some(8)]);
    let (server, _) = pair.server.events[0];
    let mut connection = pair.server_quic(server);
    assert_eq!(connection.access().available(Dir::Bi), Some(3));
    let mut connection = pair.client_quic(client);
    for left in [2, 1, 0, 0] {
        let mut access = connection.access();
        access
            .start(Dir::Bi, Start::new())
            .expect("begins or waits");
        assert_eq!(access.available(Dir::Bi), Some(left));
    }
    assert_eq!(connection.access().available(Dir::Uni), Some(8));
}

#[test]
fn it_grows_with_what_the_peer_allows() {
    let (mut pair, client, server) = Pair::connected(few());
    // Beyond the first limit, all told. What is over is given back, by twos to save packets.
    for _ in 0..20 {
        whole(&mut pair, client, server);
        let [_, uni] = available(&mut pair, client);
        assert!(uni >= Some(7), "{uni:?}");
    }
    let [_, uni] = available(&mut pair, client);
    let mut connection = pair.client_quic(client);
    let mut access = connection.access();
    for _ in 0..uni.expect("known") {
        let begun = access.start(Dir::Uni, Start::new().fail_blocked());
        begun.expect("as it was told");
    }
    let refused = access.start(Dir::Uni, Start::new().fail_blocked());
    assert_eq!(refused, Err(StartError::Blocked));
    let events = pair.client.take(client);
    assert!(events.contains(&Event::Available(Dir::Uni)), "{events:?}");
}

#[test]
fn it_is_not_known_where_packets_are_not_looked_into() {
    let mut options = few();
    options.transport.reliable_reset = false;
    let (mut pair, client, _) = Pair::connected(options);
    assert_eq!(available(&mut pair, client), [None; 2]);
}
