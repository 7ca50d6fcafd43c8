//! A connection that comes from another port every few milliseconds, with requests under way.

use std::time::{Duration, Instant};

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("migration_storm", "a connection that migrates all the time", run);

fn run(a: &mut Attacker) {
    let get = wire::get(a.kind.quick());
    let number = a.net.connect();
    let mut last = Instant::now();
    while a.on() {
        if let Some(conn) = a.net.conns.get_mut(&number)
            && conn.is_open()
        {
            conn.whole_request(&get);
        }
        if last.elapsed() > Duration::from_millis(5) && a.net.rebind().is_ok() {
            last = Instant::now();
            a.ops += 1;
        }
    }
}
