//! Heads of 1,800 fields out of 1.9 KB, of requests that stay.

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack = Attack::new(
    "many_fields",
    "1,800 fields a head, as many requests as fit",
    run,
)
.by(10);

fn run(a: &mut Attacker) {
    let get = Section::after(1).get(a.kind.hang()).entry(0, 1_800).frame();
    a.storm_inserted("a", "", |conn| {
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
