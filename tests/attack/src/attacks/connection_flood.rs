//! Connections from one address, as many as come; each stays silent.

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("connection_flood", "connections from one address", run).by(10000).lasting();

fn run(a: &mut Attacker) {
    let mut asked = Vec::new();
    while a.on() {
        // Those that are open are left alone: the server has them until its idle timeout.
        asked.retain(|number| {
            let open = a.net.conns.get(number).is_some_and(|conn| conn.is_open());
            if open {
                a.net.forget(*number);
                a.ops += 1;
            }
            !open && a.net.conns.contains_key(number)
        });
        while asked.len() < 32 {
            asked.push(a.net.connect());
        }
    }
}
