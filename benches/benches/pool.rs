//! A pool with a thousand origins: what a request pays to get its connection.

use std::hint::black_box;
use std::time::Duration;

use aqueduct_benches::pool::Warm;
use aqueduct_benches::{Counting, Meter};
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
    for origins in [1, 1_000] {
        // One request after the other, each at another origin.
        let mut warm = Warm::new(origins);
        let name = format!("request, {origins} origins");
        criterion.bench_function(&name, |bench| {
            bench.iter_custom(|ops| {
                let work = |warm: &mut Warm, batch| {
                    (0..batch).for_each(|_| warm.request());
                };
                meter.time(&name, ops, &mut warm, |_, _| {}, work)
            });
        });
        // The checkout alone: the connections fill up, and are emptied beside the clock.
        let mut warm = Warm::new(origins);
        let name = format!("checkout, {origins} origins");
        criterion.bench_function(&name, |bench| {
            bench.iter_custom(|ops| {
                let work = |warm: &mut Warm, batch| {
                    (0..batch).for_each(|_| warm.checkout());
                };
                meter.time(&name, ops, &mut warm, |warm, _| warm.release_all(), work)
            });
        });
        black_box(&warm);
    }
    meter.report();
}
