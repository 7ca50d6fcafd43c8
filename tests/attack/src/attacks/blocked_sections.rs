//! Heads that wait for insertions that never come, 16 on a connection.

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack = Attack::new("blocked_sections", "16 heads that wait for QPACK insertions", run).by(10).cut();

fn run(a: &mut Attacker) {
    let get = Section::after(100).get(a.kind.quick()).entry(0, 1).frame();
    a.storm(|conn, blocked: &mut u32| {
        while *blocked < 16 && conn.whole_request(&get).is_some() {
            *blocked += 1;
            conn.ops += 1;
        }
    });
}
