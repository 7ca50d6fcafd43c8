//! Heads beyond the limit of decoded fields, which are answered 431.

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack = Attack::new("over_limit", "heads beyond the limit", run);

fn run(a: &mut Attacker) {
    let get = Section::after(1)
        .get(a.kind.quick())
        .entry(0, 2_500)
        .frame();
    a.storm_inserted("a", "", |conn| {
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
