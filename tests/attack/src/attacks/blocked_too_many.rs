//! More heads that wait for insertions than SETTINGS allow.

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack = Attack::new("blocked_too_many", "more blocked heads than allowed", run);

fn run(a: &mut Attacker) {
    let get = Section::after(100).get(a.kind.quick()).entry(0, 1).frame();
    a.storm(|conn, (): &mut ()| {
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
