//! Bodies that are announced and never sent: a byte now and then.

use std::time::Duration;

use crate::attacker::{Attack, Attacker};
use crate::drip::Drip;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("bodies_never_sent", "bodies that never end", run)
    .by(10)
    .cut();

fn run(a: &mut Attacker) {
    let post = wire::post(a.kind.sink());
    let first = [post, wire::header(0x00, 1 << 30)].concat();
    a.storm(|conn, drip: &mut Drip| {
        drip.open(conn, |_| &first);
        drip.fall(conn, Duration::from_millis(500));
    });
}
