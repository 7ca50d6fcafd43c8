//! Insertions into the dynamic table that no request uses.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("qpack_inserts", "QPACK insertions", run);

fn run(a: &mut Attacker) {
    let first = wire::capacity(4096);
    let instructions = wire::insert("a", "b").repeat(4_000);
    flood::encoder(a, &first, &instructions, 4_000);
}
