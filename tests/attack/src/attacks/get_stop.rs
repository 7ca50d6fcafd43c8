//! A whole GET, then STOP_SENDING: the stream is over, its credit is back, and the handler
//! works on.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("get_stop", "whole GETs, each stopped at once", run).by(2);

fn run(a: &mut Attacker) {
    let get = wire::get(a.kind.hang());
    a.storm(|conn, (): &mut ()| {
        while let Some(id) = conn.whole_request(&get) {
            conn.stop(id, 0x10c);
            conn.ops += 1;
        }
    });
}
