//! Resets on a path that loses, doubles and overtakes, by seeds.

use super::*;
use crate::mix::Mix;

/// Seeds of one run; `SEEDS=n` for others.
pub(super) fn seeds() -> u64 {
    let seeds = std::env::var("SEEDS").ok().and_then(|n| n.parse().ok());
    seeds.unwrap_or(100)
}

impl Net {
    pub(super) fn weather(&mut self, loss: u64, twice: u64) {
        for link in [&mut self.pair.client.link, &mut self.pair.server.link] {
            (link.loss, link.duplicates) = (loss, twice);
        }
    }
}

/// Streams of either end that are reset right after their header, or after some bytes, on a
/// path of any loss, with a key update, changes of the client's address and resets without
/// data between.
fn play(seed: u64) -> u64 {
    let mut luck = Mix(seed);
    let mut below = move |n: u64| luck.next() % n;
    let mut options = Options {
        seed,
        record: seed.is_multiple_of(10),
        ..Options::default()
    };
    options.transport.idle_timeout = None;
    let mut net = Net::new(options);
    let (loss, twice) = (below(400), below(200));
    let jitter = Duration::from_millis(below(20));
    for link in [&mut net.pair.client.link, &mut net.pair.server.link] {
        link.jitter = jitter;
    }
    net.weather(loss, twice);
    let mut expected = [BTreeMap::new(), BTreeMap::new()];
    let mut updated = false;
    for turn in 0..40 {
        let side = [Side::Client, Side::Server][below(2) as usize];
        let dir = [Dir::Bi, Dir::Uni][below(2) as usize];
        match below(12) {
            // One that was not acknowledged may not be followed by another.
            0 if !updated => {
                updated = true;
                net.state(side).quic.force_key_update();
            }
            // quinn-proto 0.11 asks a new path once whether it is one. When that is lost, it
            // goes back to the old one while the timer of the new one's packets runs, for
            // which a debug assertion of its own wants some to be in flight.
            1 if turn > 5 => {
                net.weather(0, 0);
                net.pair.rebind_client();
                net.pair.client.endpoint.handle_rebind(net.pair.now);
                net.pair.advance(Duration::from_millis(150));
                net.weather(loss, twice);
            }
            _ => {}
        }
        if let Some(stream) = net.open(side, dir) {
            let body = vec![turn; below(3) as usize * below(3_000) as usize];
            if !body.is_empty() {
                net.write(side, stream, &body);
            }
            if below(4) == 0 {
                net.pair.advance(Duration::from_millis(below(30)));
            }
            net.reset(side, stream, turn.into());
            expected[side.peer() as usize].insert(stream.id().wire(), u32::from(turn));
        }
        net.pair.advance(Duration::from_millis(below(25)));
        net.listen();
    }
    net.weather(0, 0);
    for _ in 0..10 {
        net.settle();
    }
    for (heard, expected) in net.heard.iter().zip(&expected) {
        let heard: BTreeMap<_, _> = heard
            .iter()
            .map(|(id, (_, end))| {
                (
                    *id,
                    end.unwrap_or_else(|| panic!("seed {seed}: {id} has no end"))
                        .expect_err("reset"),
                )
            })
            .collect();
        assert_eq!(&heard, expected, "seed {seed}");
    }
    net.assert_over();
    net.stats(Side::Client).received + net.stats(Side::Server).received
}

// Row B37.
#[test]
fn every_header_and_code_arrives_whatever_the_weather() {
    let mut frames = 0;
    for seed in 0..seeds() {
        frames += play(seed);
    }
    assert!(frames > 30 * seeds(), "{frames}");
}
