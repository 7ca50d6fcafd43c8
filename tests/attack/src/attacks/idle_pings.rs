//! Connections that ask for nothing and ping.

use std::time::Duration;

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("idle_pings", "connections that only ping", run).by(200).cut();

fn run(a: &mut Attacker) {
    // Not a flood of handshakes: those that are closed stay away.
    a.once = true;
    a.net.options.keep_alive = Some(Duration::from_millis(500));
    a.storm(|_, (): &mut ()| {});
}
