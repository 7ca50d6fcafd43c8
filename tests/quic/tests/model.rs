//! Random things done to a session over QUIC with loss, reordering and doubled
//! packets, compared with the same model as over the loopback.

use aqueduct_core::webtransport::SessionFlow;
use aqueduct_tests::model::{Op, Player, ops, window};
use aqueduct_tests_quic::{Quic, Weather};
use proptest::prelude::*;

fn weather() -> impl Strategy<Value = Weather> {
    (any::<u64>(), 0..150u64, 0..50u64, 0..30u64).prop_map(|(seed, loss, duplicates, jitter)| {
        Weather {
            seed,
            loss,
            duplicates,
            jitter,
        }
    })
}

fn play(weather: Weather, flow: Option<[SessionFlow; 2]>, ops: &[Op]) {
    let mut quic = Quic::new(weather, flow);
    let idle = quic.live_streams();
    let keys = quic.session();
    let player = Player::new(quic, keys, flow, idle);
    player.with_reliable_resets().play(ops);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        max_shrink_iters: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Rows B7, B14, B17, B20.
    #[test]
    fn without_limits(weather in weather(), ops in ops()) {
        play(weather, None, &ops);
    }

    /// Rows B21 to B27.
    #[test]
    fn with_limits(weather in weather(), client in window(), server in window(), ops in ops()) {
        play(weather, Some([client, server]), &ops);
    }
}
