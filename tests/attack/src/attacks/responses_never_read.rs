//! Answers that nobody reads, a window of a byte each.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("responses_never_read", "answers that nobody reads", run).by(10).cut();

fn run(a: &mut Attacker) {
    (a.net.options.read, a.net.options.stream_window) = (false, 1);
    let get = wire::get(a.kind.big());
    a.storm(|conn, (): &mut ()| {
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
