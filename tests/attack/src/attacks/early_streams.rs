//! Streams for a session that nobody has asked for.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("early_streams", "streams of a session that is not there", run).cut();

fn run(a: &mut Attacker) {
    let first = [wire::uni_of(400), vec![b'x'; 1_000]].concat();
    a.storm(|conn, (): &mut ()| {
        while conn.open_uni(&first).is_some() {
            conn.ops += 1;
        }
    });
}
