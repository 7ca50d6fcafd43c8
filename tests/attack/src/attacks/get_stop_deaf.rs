//! A whole GET, then STOP_SENDING, while handlers do not listen: no more of them may begin.

use crate::attacker::{Attack, Attacker};
use crate::server::Kind;
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("get_stop_deaf", "GETs, each stopped, of handlers that do not listen", run)
        .on(&[Kind::Tokio, Kind::Mio])
        .lasting();

fn run(a: &mut Attacker) {
    // Handlers that do not listen stay when their connection ends: that is the application's.
    a.once = true;
    let get = wire::get("/deaf");
    a.storm(|conn, (): &mut ()| {
        while let Some(id) = conn.whole_request(&get) {
            conn.stop(id, 0x10c);
            conn.ops += 1;
        }
    });
}
