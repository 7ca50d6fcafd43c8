//! Datagrams for streams that are not there.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("stray_datagrams", "datagrams that nobody wants", run);

fn run(a: &mut Attacker) {
    a.storm(|conn, (): &mut ()| {
        while conn.datagram(wire::datagram_of(1 << 20, b"")) {
            conn.ops += 1;
        }
    });
}
