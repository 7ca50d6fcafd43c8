//! Capsules of unknown types in a session.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("unknown_capsules", "capsules of an unknown type", run);

fn run(a: &mut Attacker) {
    let capsules = wire::data(&wire::frame(0x2f, b"").repeat(8_000));
    flood::session(a, &capsules, 8_000);
}
