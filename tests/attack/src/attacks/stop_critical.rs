//! STOP_SENDING on each unidirectional stream the server opens: the connection must close.

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("stop_critical", "the server's own streams stopped", run);

fn run(a: &mut Attacker) {
    a.storm(|conn, stopped: &mut bool| {
        if !std::mem::replace(stopped, true) {
            for id in conn.theirs.clone() {
                conn.stop(id, 0x10c);
                conn.ops += 1;
            }
        }
        // They may not have come yet.
        *stopped = !conn.theirs.is_empty();
    });
}
