//! Random events, in any order.

use aqueduct_core::testing::loopback::Rng;
use aqueduct_tests::pool::{Model, Op};
use aqueduct_tests::seeds;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(100)
    })]

    /// Rows D1 to D3, D7, D9 to D11, D13, D14, D19: see the model for what holds.
    #[test]
    fn what_a_pool_promises_holds(
        ops in proptest::collection::vec(any::<Op>(), 0..300),
        prompt in any::<bool>(),
    ) {
        Model::new(prompt).run(&ops);
    }
}

/// The same for longer, with connections that live long enough to be full.
#[test]
fn what_a_pool_promises_holds_for_long() {
    // Few ends for many beginnings.
    const KINDS: [u8; 24] = [
        0, 1, 2, 3, 0, 1, 4, 4, 4, 5, 5, 5, 6, 6, 7, 8, 9, 9, 9, 10, 12, 13, 14, 15,
    ];
    for seed in seeds(30) {
        let mut rng = Rng::new(seed);
        let mut byte = |most| rng.below(most) as u8;
        let ops: Vec<Op> = (0..700)
            .map(|_| {
                let rare = byte(8) == 0;
                let kind = if rare {
                    byte(16)
                } else {
                    KINDS[byte(24) as usize]
                };
                [kind, byte(255), byte(256)]
            })
            .collect();
        println!("SEED={seed}");
        Model::new(seed % 2 == 0).run(&ops);
    }
}
