//! Servers that restart in turn, under clients that go on asking.

use aqueduct_core::testing::loopback::Rng;
use aqueduct_tests::seeds;

use crate::world::{Outcome, SERVERS, World};

/// Says on a failure how to repeat it.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("SEED={seed} cargo test -p aqueduct-tests --test pool restarts");
        }
    }
}

/// Runs the world of a seed to its end; gives how many were answered and how many were
/// told that they were not processed.
fn run(seed: u64) -> (usize, usize) {
    let mut rng = Rng::new(seed ^ 0x0070_006f_006f_006c);
    let clients = 1 + rng.below(3) as usize;
    let connections = 1 + rng.below(3) as usize;
    let streams = [1, 2, 5, 100][rng.below(4) as usize];
    let mut world = World::new(seed, clients, |config| {
        config.max_connections = connections;
        config.max_streams = streams;
    });
    let length = 200 + rng.below(200);
    let each = length / SERVERS as u64;
    while world.turn < length {
        let server = (world.turn / each) as usize % SERVERS;
        match world.turn % each {
            // Told to restart: some have the time to say so, some do not.
            20 if rng.percent(80) => world.drain(server),
            45 => world.stop(server, 1 + rng.below(60)),
            _ => {}
        }
        for client in 0..clients {
            if rng.percent(30) {
                world.ask(client, rng.below(SERVERS as u64) as usize);
            }
            if rng.percent(2) {
                world.drop_one(client);
            }
        }
        world.tick();
    }
    // Five seconds to wait for a place, two for a drain; the rest is on its way.
    for _ in 0..2_000 {
        if world.is_quiet() {
            break;
        }
        world.tick();
    }
    world.judge();
    let count = |wanted: fn(&Outcome) -> bool| {
        let outcomes = world
            .requests
            .values()
            .filter_map(|asked| asked.outcome.as_ref());
        outcomes.filter(|outcome| wanted(outcome)).count()
    };
    (
        count(|outcome| *outcome == Outcome::Answered),
        count(Outcome::is_unprocessed),
    )
}

/// Rows D1 to D3, D7 to D11, D13, D14: no request is lost without an answer, none that was
/// told unprocessed was processed, none was sent twice, and queues keep their order.
/// `SEEDS=400` makes 10,000 runs.
#[test]
fn no_request_is_lost_when_servers_restart() {
    let (mut answered, mut unprocessed, mut runs) = (0, 0, 0);
    for seed in seeds(25) {
        let replay = Replay(seed);
        let (some, others) = run(seed);
        drop(replay);
        answered += some;
        unprocessed += others;
        runs += 1;
    }
    println!("{runs} runs: {answered} answered, {unprocessed} unprocessed");
    assert!(answered > 10 * runs, "{answered} answered in {runs} runs");
    assert!(
        runs < 25 || unprocessed > runs,
        "{unprocessed} in {runs} runs"
    );
}
