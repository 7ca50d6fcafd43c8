//! QUIC datagrams of zero bytes, which are not HTTP datagrams.

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("bare_datagrams", "QUIC datagrams of zero bytes", run);

fn run(a: &mut Attacker) {
    a.storm(|conn, (): &mut ()| {
        while conn.datagram(Vec::new()) {
            conn.ops += 1;
        }
    });
}
