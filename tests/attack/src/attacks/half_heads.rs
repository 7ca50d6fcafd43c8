//! Heads that never end: a byte now and then.

use std::time::Duration;

use crate::attacker::{Attack, Attacker};
use crate::drip::Drip;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("half_heads", "heads that never end", run)
    .by(10)
    .cut();

fn run(a: &mut Attacker) {
    let first = wire::header(0x01, 16_000);
    a.storm(|conn, drip: &mut Drip| {
        drip.open(conn, |_| &first);
        drip.fall(conn, Duration::from_millis(500));
    });
}
