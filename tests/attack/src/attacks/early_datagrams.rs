//! Datagrams for sessions that nobody has asked for yet.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("early_datagrams", "datagrams of a session that is not there", run);

fn run(a: &mut Attacker) {
    a.storm(|conn, n: &mut u64| {
        *n += 1;
        while conn.datagram(wire::datagram_of(*n % 100 * 4, &[b'x'; 1_000])) {
            conn.ops += 1;
        }
    });
}
