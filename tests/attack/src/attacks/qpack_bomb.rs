//! An entry of 4,000 bytes, referred to 15 times by a byte each: 60 KB a head of 40 bytes.

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack =
    Attack::new("qpack_bomb", "60 KB of fields out of 40 bytes", run).by(2);

fn run(a: &mut Attacker) {
    let get = Section::after(1).get(a.kind.hang()).entry(0, 15).frame();
    a.storm_inserted("a", &"x".repeat(4_000), |conn| {
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
