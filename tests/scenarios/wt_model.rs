//! Random things done to a session, compared with a model of it. What fails is
//! shrunk to the few operations that matter.

use aqueduct_core::event::Event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::webtransport::SessionFlow;
use aqueduct_tests::model::{Actor, Op, Player, World, ops, window};
use aqueduct_tests::wt::limited_pair;
use proptest::prelude::*;

struct Loop(LoopbackPair);

impl World for Loop {
    fn act(&mut self, side: Side, what: &mut dyn FnMut(&mut dyn Actor)) {
        what(&mut self.0.access(side));
    }

    fn events(&mut self, side: Side) -> Vec<Event> {
        std::iter::from_fn(|| self.0.take(side, Ok)).collect()
    }

    fn go(&mut self, n: u8) {
        for _ in 0..n {
            self.0.step();
        }
    }

    fn settle(&mut self) {
        self.0.drive();
    }
}

fn play(knobs: Knobs, flow: Option<[SessionFlow; 2]>, ops: &[Op]) {
    let reliable = knobs.reliable_reset;
    let mut pair = match flow {
        Some([client, server]) => limited_pair(client, server, knobs),
        None => LoopbackPair::connected(knobs),
    };
    let idle = [Side::Client, Side::Server].map(|side| pair.access(side).live_streams());
    let (client, server) = pair.session("https://example.com/wt");
    for side in [Side::Client, Side::Server] {
        pair.events(side);
    }
    let player = Player::new(Loop(pair), [client, server], flow, idle);
    if reliable {
        player.with_reliable_resets().play(ops);
    } else {
        player.play(ops);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Rows B7, B14, B17, B20: without flow control, over any network.
    #[test]
    fn without_limits(seed in any::<u64>(), ops in ops()) {
        play(Knobs::adversarial(seed), None, &ops);
    }

    /// Rows B21 to B27: with limits of their own, small ones.
    #[test]
    fn with_limits(seed in any::<u64>(), client in window(), server in window(), ops in ops()) {
        play(Knobs::adversarial(seed), Some([client, server]), &ops);
    }

    /// Row B15: with RESET_STREAM_AT as well.
    #[test]
    fn with_reliable_resets(seed in any::<u64>(), client in window(), server in window(), ops in ops()) {
        let knobs = Knobs { reliable_reset: true, ..Knobs::adversarial(seed) };
        play(knobs, Some([client, server]), &ops);
    }
}
