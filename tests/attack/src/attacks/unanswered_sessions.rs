//! CONNECTs for sessions that the application does not answer.

use crate::attacker::{Attack, Attacker};
use crate::server::Kind;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("unanswered_sessions", "CONNECTs for sessions that nobody answers", run).by(10).on(&[Kind::Tokio, Kind::Mio]);

fn run(a: &mut Attacker) {
    let connect = wire::session("/hang");
    a.storm(|conn, (): &mut ()| {
        while conn.request(&connect).is_some() {
            conn.ops += 1;
        }
    });
}
