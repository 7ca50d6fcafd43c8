//! One operation, as often as is asked: what `benches/instructions` runs under
//! callgrind. The difference of two counts is free of all that happens once.
//!
//!     steady OPERATION COUNT
//!
//! Exchanges between two ends tell what they allocate and send as well. Time does not pass
//! but between them, so that counts do not depend on the machine's pace.

use std::hint::black_box;

use aqueduct_benches::memory::{Core, Ends, Floor, HUNDRED, Handles};
use aqueduct_benches::pool::Warm;
use aqueduct_benches::{BATCH, Bare, Counting, DATAGRAM, Joined, PAYLOAD, allocations, swallow};
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::packet_key::Keys;
use aqueduct_core::transport::{ReadState, Transport, TransportEvent};
use aqueduct_core::webtransport::SessionEvent;
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode, Uri};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Virtual time, where the program's own function goes before libc's, whoever asks.
#[cfg(target_os = "linux")]
mod clock {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use aqueduct_benches::memory::PASSED;

    /// # Safety
    /// `time` is a place to write to.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn clock_gettime(
        _: libc::clockid_t,
        time: *mut libc::timespec,
    ) -> libc::c_int {
        /// Some time at which certificates are valid.
        const BEGIN: i64 = 1_800_000_000;
        let passed = Duration::from_nanos(PASSED.load(Ordering::Relaxed));
        let now = libc::timespec {
            tv_sec: BEGIN + passed.as_secs() as i64,
            tv_nsec: passed.subsec_nanos().into(),
        };
        // SAFETY: the caller's promise.
        unsafe { time.write(now) };
        0
    }
}

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
        "get-h3" => requests_over_h3(count),
        "stream-h3" => streams_over_h3(count),
        "get-core" => exchanges(Core::new(), count, 1, Ends::get),
        "get-10-core" => exchanges(Core::new(), count, 10, Ends::get),
        "stream-core" => exchanges(Core::new(), count, 10, Ends::stream),
        "datagram-core" => exchanges(Core::new(), count, 10, Ends::datagram),
        "get-handles" => exchanges(Handles::new(), count, 1, Ends::get),
        "get-10-handles" => exchanges(Handles::new(), count, 10, Ends::get),
        "stream-handles" => exchanges(Handles::new(), count, 10, Ends::stream),
        "datagram-handles" => exchanges(Handles::new(), count, 10, Ends::datagram),
        "floor-get" => exchanges(Floor::new(), count, 1, Ends::get),
        "floor-get-10" => exchanges(Floor::new(), count, 10, Ends::get),
        "floor-stream" => exchanges(Floor::new(), count, 10, Ends::stream),
        "floor-datagram-echo" => exchanges(Floor::new(), count, 10, Ends::datagram),
        // What the two that receive spend on the network.
        "floor-datagram" => floor_datagrams(batches),
        "floor-chunk" => floor_chunks(batches),
        // Packets through keys that look for resets, and through bare ones. Instructions, on
        // x86-64 with ring: a full packet 3,779 bare and 30 more (0.8 %); one of twenty small
        // frames 1,288 and 331 more (26 %, 17 a frame: each has to be passed to know where
        // the next begins); sealed, 3,566 and 25 more (0.7 %).
        "packet-opened" => packets_opened(batches, true, &[BULK]),
        "floor-packet-opened" => packets_opened(batches, false, &[BULK]),
        "small-frames-opened" => packets_opened(batches, true, &[SMALL; 20]),
        "floor-small-frames-opened" => packets_opened(batches, false, &[SMALL; 20]),
        "packet-sealed" => packets_sealed(batches, true),
        "floor-packet-sealed" => packets_sealed(batches, false),
        other => panic!("no operation {other}"),
    }
}

/// So many exchanges by two ends, so many of them at once.
fn exchanges<E: Ends>(mut ends: E, count: u64, at_once: usize, exchange: fn(&mut E, usize)) {
    for _ in 0..count / at_once as u64 {
        exchange(&mut ends, at_once);
    }
    for side in [Side::Client, Side::Server] {
        let (sent, allocated) = (ends.sent(side), allocations(side));
        println!(
            "{} {} {} {}",
            allocated.new, allocated.resized, sent.sends, sent.packets
        );
    }
}

/// Requests and answers through HTTP/3 alone, over a transport without QUIC.
fn requests_over_h3(count: u64) {
    let mut pair = LoopbackPair::connected(Knobs::default());
    pair.stop_recording();
    let uri: Uri = "https://example.com/some/path".parse().expect("a URI");
    for _ in 0..count {
        let head = RequestHead::new(Method::GET, uri.clone());
        let asked = pair.client().request(&head, End::Fin).expect("credit");
        pair.drive();
        let arrived = pair.take(Side::Server, |event| match event {
            Event::Request { stream, .. } => Ok(stream),
            other => Err(other),
        });
        let stream = arrived.expect("a request");
        let mut access = pair.server();
        let head = ResponseHead::new(StatusCode::OK);
        access.respond(stream, &head, End::More).expect("asked");
        let mut send = access.send(stream).expect("is there");
        send.write(&mut [Bytes::from_static(HUNDRED)])
            .expect("room");
        send.finish().expect("once");
        pair.drive();
        read_all(&mut pair, Side::Server, stream);
        read_all(&mut pair, Side::Client, asked);
        pair.drive();
        black_box((pair.events(Side::Client), pair.events(Side::Server)));
    }
}

/// Streams of a session opened, written, read and gone, over a transport without QUIC.
fn streams_over_h3(count: u64) {
    let mut joined = Joined::new(1);
    for _ in 0..count {
        let pair = &mut joined.pair;
        let mut access = pair.client();
        let mut session = access.webtransport(joined.client);
        let stream = session.open_stream(Dir::Uni).expect("credit");
        let mut send = access.send(stream).expect("is there");
        send.write(&mut [Bytes::from_static(HUNDRED)])
            .expect("room");
        send.finish().expect("once");
        pair.drive();
        let opened = pair.take(Side::Server, |event| match event {
            Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => Ok(stream),
            other => Err(other),
        });
        read_all(pair, Side::Server, opened.expect("a stream"));
        pair.drive();
        black_box((pair.events(Side::Client), pair.events(Side::Server)));
    }
}

fn read_all(pair: &mut LoopbackPair, side: Side, stream: StreamKey) {
    let mut access = pair.access(side);
    let mut chunk = [Bytes::new()];
    loop {
        let mut recv = access.recv(stream).expect("is there");
        let read = recv.read(usize::MAX, &mut chunk).expect("readable");
        match black_box(read.state) {
            ReadState::Open => {}
            ReadState::Finished => break,
            ReadState::Blocked => panic!("all has come"),
        }
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
