//! Heads of 1,700 cookie crumbs, of requests that stay.

use crate::attacker::{Attack, Attacker};
use crate::wire::Section;

pub(super) const ATTACK: Attack =
    Attack::new("cookie_crumbs", "1,700 cookie crumbs a head", run).by(2);

fn run(a: &mut Attacker) {
    let get = Section::after(1).get(a.kind.hang()).entry(0, 1_700).frame();
    a.storm_inserted("cookie", "", |conn| {
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
