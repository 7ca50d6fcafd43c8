//! Downloads begun, and nothing acknowledged: what the server took from its application stays
//! with it until the idle timeout.

use std::collections::BTreeMap;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("silent_downloads", "downloads of which nothing is acknowledged", run)
        .by(10)
        .lasting();

fn run(a: &mut Attacker) {
    a.net.options.stream_window = 8 << 20;
    let get = wire::get(a.kind.big());
    let mut turns: BTreeMap<usize, u32> = BTreeMap::new();
    while a.on() {
        if a.ops + (a.net.conns.len() as u64) < a.connections {
            turns.insert(a.net.connect(), 0);
        }
        for (number, turns) in &mut turns {
            let Some(conn) = a.net.conns.get_mut(number).filter(|conn| conn.is_open()) else {
                continue;
            };
            if *turns == 0 {
                while conn.whole_request(&get).is_some() {}
            }
            *turns += 1;
            // The requests have gone out by now. From here on it does not even acknowledge.
            if *turns == 3 {
                a.net.forget(*number);
                a.ops += 1;
            }
        }
    }
}
