//! One operation, as often as is asked: what `benches/instructions` runs under
//! callgrind. The difference of two counts is free of all that happens once.
//!
//!     steady OPERATION COUNT

use std::hint::black_box;

use aqueduct_benches::pool::Warm;
use aqueduct_benches::{BATCH, Bare, DATAGRAM, Joined, PAYLOAD, swallow};
use aqueduct_core::id::Side;
use aqueduct_core::testing::packet_key::Keys;
use aqueduct_core::transport::{Transport, TransportEvent};
use bytes::{Bytes, BytesMut};

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
        // Packets through keys that look for resets, and through bare ones. Instructions, on
        // x86-64 with ring, without link-time optimization: a full packet 4,341 bare and 37
        // more (0.9 %); one of twenty small frames 1,855 and 356 more (19 %, 18 a frame:
        // each has to be passed to know where the next begins); sealed, 4,122 and 49 more
        // (1.2 %; with link-time optimization, 0.7 %).
        "packet-opened" => packets_opened(batches, true, &[BULK]),
        "floor-packet-opened" => packets_opened(batches, false, &[BULK]),
        "small-frames-opened" => packets_opened(batches, true, &[SMALL; 20]),
        "floor-small-frames-opened" => packets_opened(batches, false, &[SMALL; 20]),
        "packet-sealed" => packets_sealed(batches, true),
        "floor-packet-sealed" => packets_sealed(batches, false),
        other => panic!("no operation {other}"),
    }
}

/// The frames of a usual packet: an acknowledgement, and a stream to the packet's end.
const BULK: &[u8] = &[
    0x02, 0x41, 0x07, 0x19, 0x00, 0x40, 0x41, 0x0c, 0x04, 0x80, 0x01, 0x00, 0x00,
];
/// A small frame: so much may be sent on a stream.
const SMALL: &[u8] = &[0x11, 0x04, 0x80, 0x02, 0x04, 0x24];
const HEADER: usize = 13;

/// A packet as it is before it is sealed; one with a stream is full.
fn packet(frames: &[&[u8]]) -> Vec<u8> {
    let mut packet = vec![0x40; HEADER];
    packet.extend(frames.concat());
    if frames[0] == BULK {
        packet.resize(1200 - 16, 0x24);
    }
    packet.resize(packet.len() + 16, 0);
    packet
}

fn packets_opened(batches: u64, wrapped: bool, frames: &[&[u8]]) {
    let keys = Keys::new(wrapped);
    let mut sealed = packet(frames);
    keys.seal(9, &mut sealed, HEADER);
    let (header, body) = sealed.split_at(HEADER);
    let mut payload = BytesMut::with_capacity(body.len());
    for _ in 0..batches * BATCH {
        payload.clear();
        payload.extend_from_slice(body);
        keys.open(9, header, black_box(&mut payload));
    }
}

fn packets_sealed(batches: u64, wrapped: bool) {
    let keys = Keys::new(wrapped);
    let mut packet = packet(&[BULK]);
    for number in 0..batches * BATCH {
        keys.seal(number, black_box(&mut packet), HEADER);
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
