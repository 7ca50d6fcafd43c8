//! Frames of reserved types on a request stream.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "unknown_frames",
    "frames of reserved types on a request",
    run,
);

fn run(a: &mut Attacker) {
    let frames = wire::frame(0x21, b"").repeat(5_000);
    flood::post(a, &frames, 5_000);
}
