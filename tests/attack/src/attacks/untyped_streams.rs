//! Unidirectional streams that end, or are reset, before they say what they are.

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("untyped_streams", "unidirectional streams without a type", run);

fn run(a: &mut Attacker) {
    a.storm(|conn, (): &mut ()| {
        while let Some(id) = conn.open_uni(&[0x40]) {
            conn.reset(id, 0);
            conn.ops += 1;
        }
    });
}
