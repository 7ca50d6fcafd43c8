//! A first SETTINGS frame of 10,000 settings.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("many_settings", "10,000 settings in a frame", run);

fn run(a: &mut Attacker) {
    a.net.options.greet = false;
    let pairs: Vec<(u64, u64)> = (0..10_000).map(|n| (n * 0x1f + 0x21, n)).collect();
    let settings = [vec![0x00], wire::settings(&pairs)].concat();
    a.storm(|conn, begun: &mut bool| {
        if !std::mem::replace(begun, true) {
            conn.open_uni(&settings);
            conn.ops += 1;
        }
    });
}
