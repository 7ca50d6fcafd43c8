//! SETTINGS frames, after the first.

use crate::attacker::{Attack, Attacker};
use crate::flood;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("second_settings", "further SETTINGS frames", run);

fn run(a: &mut Attacker) {
    let frames = wire::settings(wire::BROWSER);
    flood::control(a, &frames, 1);
}
