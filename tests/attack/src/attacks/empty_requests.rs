//! Request streams that end before they begin.

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("empty_requests", "requests that are an end alone", run);

fn run(a: &mut Attacker) {
    a.storm(|conn, (): &mut ()| {
        while conn.whole_request(b"").is_some() {
            conn.ops += 1;
        }
    });
}
