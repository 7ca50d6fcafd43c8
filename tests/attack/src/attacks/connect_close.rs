//! Connections that are closed as soon as they are open.

use std::time::Instant;

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack =
    Attack::new("connect_close", "connections opened and closed", run).by(16);

fn run(a: &mut Attacker) {
    while a.on() {
        while (a.net.conns.len() as u64) < a.connections {
            a.net.connect();
        }
        let now = Instant::now();
        for conn in a.net.conns.values_mut() {
            if conn.is_open() && !conn.quic.is_closed() {
                conn.close(now);
                a.ops += 1;
            }
        }
    }
}
