//! DATA frames of one byte in bodies that are read.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("tiny_data", "DATA frames of one byte", run);

fn run(a: &mut Attacker) {
    let frames = wire::data(b"x").repeat(5_000);
    flood::post(a, &frames, 5_000);
}
