//! Requests that become malformed when their handlers are at work already: content beyond
//! their content-length. The server resets them itself.

use crate::attacker::{Attack, Attacker};
use crate::wire::{self, Section};

pub(super) const ATTACK: Attack =
    Attack::new("content_length", "requests that are malformed by their content", run).by(2);

fn run(a: &mut Attacker) {
    // Entry 4 of the static table is `content-length: 0`.
    let head = Section::plain().get(a.kind.hang()).fixed(4).frame();
    let request = [head, wire::data(b"x")].concat();
    a.storm(|conn, (): &mut ()| {
        while conn.whole_request(&request).is_some() {
            conn.ops += 1;
        }
    });
}
