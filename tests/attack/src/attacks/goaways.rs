//! GOAWAY frames, each with a smaller id.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("goaways", "GOAWAY frames", run);

fn run(a: &mut Attacker) {
    let flood = (0..1_000)
        .rev()
        .map(|n| wire::frame(0x07, &wire::varint(n)))
        .collect::<Vec<_>>()
        .concat();
    a.storm(|conn, (): &mut ()| {
        let control = conn.critical().control;
        if conn.takes(control) {
            conn.write(control, &flood);
            conn.ops += 1_000;
        }
    });
}
