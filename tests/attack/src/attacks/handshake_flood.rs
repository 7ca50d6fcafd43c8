//! First packets of handshakes that never go on.

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("handshake_flood", "handshakes that never go on", run).by(256).lasting();

fn run(a: &mut Attacker) {
    while a.on() {
        for _ in 0..16 {
            a.net.connect();
            a.ops += 1;
        }
        a.net.turn();
        for number in a.net.conns.keys().copied().collect::<Vec<_>>() {
            a.net.forget(number);
        }
    }
}
