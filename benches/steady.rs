//! One operation, as often as is asked: what `benches/instructions` runs under
//! callgrind. The difference of two counts is free of all that happens once.
//!
//!     steady OPERATION COUNT

use std::hint::black_box;

use aqueduct_benches::pool::Warm;
use aqueduct_benches::{BATCH, Bare, DATAGRAM, Joined, PAYLOAD, swallow};
use aqueduct_core::id::Side;
use aqueduct_core::transport::{Transport, TransportEvent};
use bytes::Bytes;

fn main() {
    let mut args = std::env::args().skip(1);
    let operation = args.next().unwrap_or_default();
    let count: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let batches = count / BATCH;
    match operation.as_str() {
        "datagram-received" => datagrams_received(batches),
        "datagram-sent" => datagrams_sent(batches),
        "chunk-received" => chunks_received(batches),
        "chunk-sent" => chunks_sent(batches),
        "event" => events(batches),
        "pool-request" => pool_requests(batches, 1_000),
        // What the two that receive spend on the network.
        "floor-datagram" => floor_datagrams(batches),
        "floor-chunk" => floor_chunks(batches),
        other => panic!("no operation {other}"),
    }
}

fn datagrams_received(batches: u64) {
    let mut joined = Joined::new(1);
    for _ in 0..batches {
        for _ in 0..BATCH {
            let end = joined.pair.net.end(Side::Client);
            end.send_datagram(Bytes::from_static(DATAGRAM))
                .expect("room");
        }
        joined.carry();
        joined.tell_server(TransportEvent::Datagrams);
        let session = joined.server;
        let mut access = joined.pair.server();
        for _ in 0..BATCH {
            black_box(access.recv_datagram(session)).expect("a datagram");
        }
    }
}

fn floor_datagrams(batches: u64) {
    let mut bare = Bare::default();
    for _ in 0..batches {
        for _ in 0..BATCH {
            let end = bare.net.end(Side::Client);
            end.send_datagram(Bytes::from_static(DATAGRAM))
                .expect("room");
        }
        bare.carry();
        for _ in 0..BATCH {
            black_box(bare.net.end(Side::Server).recv_datagram()).expect("a datagram");
        }
    }
}

fn datagrams_sent(batches: u64) {
    let mut joined = Joined::new(1);
    for _ in 0..batches {
        let session = joined.client;
        let mut access = joined.pair.client();
        for _ in 0..BATCH {
            access
                .send_datagram(session, black_box(PAYLOAD))
                .expect("room");
        }
        joined.carry();
        while joined.pair.net.end(Side::Server).recv_datagram().is_some() {}
    }
}

fn chunks_received(batches: u64) {
    let mut joined = Joined::new(1);
    let (id, stream) = (joined.sending[0].id(), joined.receiving[0]);
    for _ in 0..batches {
        for _ in 0..BATCH {
            let end = joined.pair.net.end(Side::Client);
            end.write(id, &mut [Bytes::from_static(PAYLOAD)])
                .expect("room");
        }
        joined.carry();
        joined.tell_server(TransportEvent::Readable(id));
        let mut access = joined.pair.server();
        for _ in 0..BATCH {
            let mut out = [Bytes::new()];
            let mut recv = access.recv(stream).expect("a stream");
            recv.read(usize::MAX, &mut out).expect("a chunk");
            black_box(out);
        }
    }
}

fn floor_chunks(batches: u64) {
    let mut bare = Bare::default();
    let id = bare.stream;
    for _ in 0..batches {
        for _ in 0..BATCH {
            let end = bare.net.end(Side::Client);
            end.write(id, &mut [Bytes::from_static(PAYLOAD)])
                .expect("room");
        }
        bare.carry();
        for _ in 0..BATCH {
            let mut out = [Bytes::new()];
            let end = bare.net.end(Side::Server);
            end.read(id, usize::MAX, &mut out).expect("a chunk");
            black_box(out);
        }
    }
}

fn chunks_sent(batches: u64) {
    let mut joined = Joined::new(1);
    let stream = joined.sending[0];
    for _ in 0..batches {
        let mut access = joined.pair.client();
        for _ in 0..BATCH {
            let mut send = access.send(stream).expect("a stream");
            send.write(&mut black_box([Bytes::from_static(PAYLOAD)]))
                .expect("room");
        }
        joined.carry();
        swallow(&mut joined.pair.net, Side::Server, stream.id());
    }
}

/// Each at another of so many origins, whose connections are there.
fn pool_requests(batches: u64, origins: usize) {
    let mut warm = Warm::new(origins);
    for _ in 0..batches * BATCH {
        warm.request();
    }
}

/// A transport event whose stream has an owner that knows of it already.
fn events(batches: u64) {
    let mut joined = Joined::new(1);
    let id = joined.receiving[0].id();
    for _ in 0..batches * BATCH {
        joined.tell_server(TransportEvent::Readable(black_box(id)));
    }
}
