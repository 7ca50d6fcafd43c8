//! Answers that nobody reads, in windows as large as the server cares to fill.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "responses_unread_wide",
    "answers that nobody reads, wide windows",
    run,
)
.by(10)
.cut();

pub(super) fn run(a: &mut Attacker) {
    a.net.options.read = false;
    let get = wire::get(a.kind.big());
    a.storm(|conn, (): &mut ()| {
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
