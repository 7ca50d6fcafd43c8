//! Sessions that end as soon as they begin: a CONNECT and the end of its stream.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("session_finish", "CONNECTs for sessions with FIN", run).by(2);

fn run(a: &mut Attacker) {
    let connect = wire::session(a.kind.open_session());
    a.storm(|conn, (): &mut ()| {
        while let Some(id) = conn.whole_request(&connect) {
            conn.stop(id, 0x10c);
            conn.ops += 1;
        }
    });
}
