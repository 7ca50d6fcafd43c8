//! Servers that restart in turn, under clients that go on asking.

use aqueduct_core::testing::loopback::Rng;
use aqueduct_tests::seeds;

use crate::ends::Connect;
use crate::world::{Outcome, SERVERS, World};

/// Says on a failure how to repeat it.
struct Replay(u64, &'static str);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, package) = self;
            eprintln!("SEED={seed} cargo test -p {package} --test pool restart");
        }
    }
}

/// Runs the world of a seed to its end; gives how many were answered and how many were
/// told that they were not processed.
fn run(seed: u64, connect: Connect) -> (usize, usize) {
    let mut rng = Rng::new(seed ^ 0x0070_006f_006f_006c);
    let clients = 1 + rng.below(3) as usize;
    let connections = 1 + rng.below(3) as usize;
    let streams = [1, 2, 5, 100][rng.below(4) as usize];
    let mut world = World::new(seed, clients, connect, |config| {
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
    // Five seconds to wait for a place, two for a drain; the rest is on its way, or on a
    // connection that is gone: QUIC waits for three probe timeouts at least (RFC 9000
    // §10.1), which are many seconds after a handshake with much loss.
    for _ in 0..6_000 {
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

/// Plays so many seeds; gives how many were played, answered, and told unprocessed.
pub(crate) fn play(package: &'static str, count: u64, connect: Connect) -> (usize, usize, usize) {
    let (mut answered, mut unprocessed, mut runs) = (0, 0, 0);
    for seed in seeds(count) {
        let replay = Replay(seed, package);
        let (some, others) = run(seed, connect);
        drop(replay);
        answered += some;
        unprocessed += others;
        runs += 1;
    }
    println!("{runs} runs: {answered} answered, {unprocessed} unprocessed");
    (runs, answered, unprocessed)
}
