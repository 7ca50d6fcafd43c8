//! Sessions that are opened and closed properly, without end.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("session_close", "sessions opened and closed as they should", run).by(2);

fn run(a: &mut Attacker) {
    let connect = wire::session(a.kind.open_session());
    let close = wire::data(&wire::frame(0x2843, &[0, 0, 0, 0]));
    a.storm(|conn, streams: &mut Vec<StreamId>| {
        let refused = [std::mem::take(&mut conn.done), std::mem::take(&mut conn.failed)].concat();
        streams.retain(|id| {
            let open = conn.heard(*id) > 0;
            if open {
                conn.write(*id, &close);
                conn.finish(*id);
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
