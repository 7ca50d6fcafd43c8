//! Datagrams, stream chunks and demultiplexing through a connection over the
//! loopback transport; the floor is the same transport without a connection.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Duration;

use aqueduct_benches::{Bare, Counting, DATAGRAM, Joined, Meter, PAYLOAD, swallow};
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::Rng;
use aqueduct_core::transport::{Transport, TransportEvent};
use bytes::Bytes;
use criterion::Criterion;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    let meter = Meter::default();
    datagrams(&mut criterion, &meter);
    chunks(&mut criterion, &meter);
    demultiplexing(&mut criterion, &meter);
    meter.report();
}

/// One row: `prepare` off the clock, `work` on it.
fn row<F>(
    criterion: &mut Criterion,
    meter: &Meter,
    name: &str,
    fixture: &mut F,
    prepare: impl Fn(&mut F, u64),
    work: impl Fn(&mut F, u64),
) {
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|ops| meter.time(name, ops, fixture, &prepare, &work));
    });
}

fn received_datagrams(criterion: &mut Criterion, meter: &Meter, name: &str, mut joined: Joined) {
    let datagram = || Bytes::from_static(DATAGRAM);
    row(
        criterion,
        meter,
        name,
        &mut joined,
        |joined, n| {
            for _ in 0..n {
                joined
                    .pair
                    .net
                    .end(Side::Client)
                    .send_datagram(datagram())
                    .expect("room");
            }
            joined.carry();
        },
        |joined, n| {
            joined.tell_server(TransportEvent::Datagrams);
            let session = joined.server;
            let mut access = joined.pair.server();
            for _ in 0..n {
                black_box(access.recv_datagram(session)).expect("a datagram");
            }
            drop(joined.pair.take_recording());
        },
    );
}

fn received_chunks(criterion: &mut Criterion, meter: &Meter, name: &str, mut joined: Joined) {
    let chunk = || [Bytes::from_static(PAYLOAD)];
    row(
        criterion,
        meter,
        name,
        &mut joined,
        |joined, n| {
            let id = joined.sending[0].id();
            for _ in 0..n {
                let taken = joined.pair.net.end(Side::Client).write(id, &mut chunk());
                assert_eq!(taken, Ok(PAYLOAD.len()));
            }
            joined.carry();
        },
        |joined, n| {
            let stream = joined.receiving[0];
            joined.tell_server(TransportEvent::Readable(stream.id()));
            let mut access = joined.pair.server();
            for _ in 0..n {
                let mut out = [Bytes::new()];
                let mut recv = access.recv(stream).expect("a stream");
                let read = recv.read(usize::MAX, &mut out).expect("a chunk");
                assert_eq!(read.bytes, PAYLOAD.len());
                black_box(out);
            }
            drop(joined.pair.take_recording());
        },
    );
}

fn datagrams(criterion: &mut Criterion, meter: &Meter) {
    let datagram = || Bytes::from_static(DATAGRAM);
    received_datagrams(criterion, meter, "datagram received/core", Joined::new(1));
    received_datagrams(
        criterion,
        meter,
        "datagram received/recorded",
        Joined::recorded(1),
    );
    row(
        criterion,
        meter,
        "datagram received/floor",
        &mut Bare::default(),
        |bare, n| {
            for _ in 0..n {
                bare.net
                    .end(Side::Client)
                    .send_datagram(datagram())
                    .expect("room");
            }
            bare.carry();
        },
        |bare, n| {
            for _ in 0..n {
                black_box(bare.net.end(Side::Server).recv_datagram()).expect("a datagram");
            }
        },
    );
    row(
        criterion,
        meter,
        "datagram sent/core",
        &mut Joined::new(1),
        |joined, _| {
            joined.carry();
            while joined.pair.net.end(Side::Server).recv_datagram().is_some() {}
        },
        |joined, n| {
            let session = joined.client;
            let mut access = joined.pair.client();
            for _ in 0..n {
                access
                    .send_datagram(session, black_box(PAYLOAD))
                    .expect("room");
            }
        },
    );
    row(
        criterion,
        meter,
        "datagram sent/floor",
        &mut Bare::default(),
        |bare, _| {
            bare.carry();
            while bare.net.end(Side::Server).recv_datagram().is_some() {}
        },
        |bare, n| {
            for _ in 0..n {
                bare.net
                    .end(Side::Client)
                    .send_datagram(black_box(datagram()))
                    .expect("room");
            }
        },
    );
}

fn chunks(criterion: &mut Criterion, meter: &Meter) {
    let chunk = || [Bytes::from_static(PAYLOAD)];
    received_chunks(criterion, meter, "chunk received/core", Joined::new(1));
    received_chunks(
        criterion,
        meter,
        "chunk received/recorded",
        Joined::recorded(1),
    );
    row(
        criterion,
        meter,
        "chunk received/floor",
        &mut Bare::default(),
        |bare, n| {
            for _ in 0..n {
                let taken = bare.net.end(Side::Client).write(bare.stream, &mut chunk());
                assert_eq!(taken, Ok(PAYLOAD.len()));
            }
            bare.carry();
        },
        |bare, n| {
            for _ in 0..n {
                let mut out = [Bytes::new()];
                let end = bare.net.end(Side::Server);
                let read = end
                    .read(bare.stream, usize::MAX, &mut out)
                    .expect("a chunk");
                assert_eq!(read.bytes, PAYLOAD.len());
                black_box(out);
            }
        },
    );
    row(
        criterion,
        meter,
        "chunk sent/core",
        &mut Joined::new(1),
        |joined, _| {
            joined.carry();
            swallow(&mut joined.pair.net, Side::Server, joined.sending[0].id());
        },
        |joined, n| {
            let stream = joined.sending[0];
            let mut access = joined.pair.client();
            for _ in 0..n {
                let mut send = access.send(stream).expect("a stream");
                assert_eq!(send.write(&mut black_box(chunk())), Ok(PAYLOAD.len()));
            }
        },
    );
    row(
        criterion,
        meter,
        "chunk sent/floor",
        &mut Bare::default(),
        |bare, _| {
            bare.carry();
            swallow(&mut bare.net, Side::Server, bare.stream);
        },
        |bare, n| {
            for _ in 0..n {
                let end = bare.net.end(Side::Client);
                assert_eq!(
                    end.write(bare.stream, &mut black_box(chunk())),
                    Ok(PAYLOAD.len())
                );
            }
        },
    );
}

/// From a stream id to the stream's state, among more and more streams. The
/// transport is not touched: the application has been told of these bytes.
fn demultiplexing(criterion: &mut Criterion, meter: &Meter) {
    for streams in [1, 100, 10_000] {
        let order = Cell::new(0u64);
        row(
            criterion,
            meter,
            &format!("demultiplexing/{streams}"),
            &mut Joined::new(streams),
            |_, _| order.set(order.get() + 1),
            |joined, n| {
                let mut rng = Rng::new(order.get());
                for _ in 0..n {
                    let at = rng.below(joined.receiving.len() as u64) as usize;
                    let id = joined.receiving[at].id();
                    joined.tell_server(TransportEvent::Readable(black_box(id)));
                }
            },
        );
    }
}
