//! Whole exchanges between two ends on one thread, QUIC and TLS included: through endpoints
//! and their drivers, through handles, and by quinn-proto alone, which is the floor. What
//! they allocate is that of both ends.

use std::time::Duration;

use aqueduct_benches::memory::{Core, Ends, Floor, Handles};
use aqueduct_benches::{Counting, Meter};
use aqueduct_core::id::Side;
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
    let mut packets = Vec::new();
    all(&mut criterion, &meter, &mut packets, "floor", Floor::new);
    all(&mut criterion, &meter, &mut packets, "core", Core::new);
    all(
        &mut criterion,
        &meter,
        &mut packets,
        "handles",
        Handles::new,
    );
    meter.report();
    println!(
        "{:<28} {:>10} {:>12}",
        "datagrams an exchange", "client", "server"
    );
    for (name, [client, server]) in packets {
        println!("{name:<28} {client:>10.2} {server:>12.2}");
    }
}

type Packets = Vec<(String, [f64; 2])>;

/// What is measured: its name, how many at once, and how.
type Work<E> = (&'static str, usize, fn(&mut E, usize));

fn all<E: Ends>(
    criterion: &mut Criterion,
    meter: &Meter,
    packets: &mut Packets,
    by: &str,
    new: impl Fn() -> E,
) {
    let works: [Work<E>; 4] = [
        ("request", 1, E::get),
        ("10 requests", 10, E::get),
        ("10 streams", 10, E::stream),
        ("10 datagrams", 10, E::datagram),
    ];
    for (what, at_once, work) in works {
        let (mut ends, mut done) = (new(), 0_u64);
        let sent = |ends: &E| [Side::Client, Side::Server].map(|side| ends.sent(side).packets);
        let (name, before) = (format!("{what}/{by}"), sent(&ends));
        criterion.bench_function(&name, |bencher| {
            bencher.iter_custom(|ops| {
                done += ops;
                meter.time(
                    &name,
                    ops,
                    &mut ends,
                    |_, _| {},
                    |ends, n| (0..n).for_each(|_| work(ends, at_once)),
                )
            });
        });
        let after = sent(&ends);
        let each = |at: usize| (after[at] - before[at]) as f64 / done.max(1) as f64;
        packets.push((name, [each(0), each(1)]));
    }
}
