//! Requests that the application never accepts, stopped before it could.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::server::Kind;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("never_accepted", "GETs nobody accepts, each stopped at once", run).by(2).on(&[Kind::Tokio]);

fn run(a: &mut Attacker) {
    let get = wire::get("/");
    a.storm(|conn, last: &mut Option<StreamId>| {
        let last = *last.get_or_insert_with(|| {
            let id = conn.whole_request(&wire::get("/last"));
            id.expect("the first stream of a connection")
        });
        if !conn.done.contains(&last) {
            return;
        }
        while let Some(id) = conn.whole_request(&get) {
            conn.stop(id, 0x10c);
            conn.ops += 1;
        }
    });
}
