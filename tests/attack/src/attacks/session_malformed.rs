//! Sessions that end by a capsule that is malformed, as soon as they are open.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("session_malformed", "sessions that a wrong capsule ends", run).by(2);

fn run(a: &mut Attacker) {
    let connect = wire::session(a.kind.open_session());
    // WT_CLOSE_SESSION has four bytes at least.
    let wrong = wire::data(&wire::frame(0x2843, b"x"));
    a.storm(|conn, streams: &mut Vec<StreamId>| {
        let refused = [std::mem::take(&mut conn.done), std::mem::take(&mut conn.failed)].concat();
        streams.retain(|id| {
            let open = conn.heard(*id) > 0;
            if open {
                conn.write(*id, &wrong);
                conn.ops += 1;
            }
            !open && !refused.contains(id)
        });
        while streams.len() < 16
            && let Some(id) = conn.request(&connect)
        {
            streams.push(id);
        }
    });
}
