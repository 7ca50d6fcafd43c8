//! Sessions that are closed by capsule, and bytes on their CONNECT streams ever after.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("endless_tail", "bytes after WT_CLOSE_SESSION", run).cut();

fn run(a: &mut Attacker) {
    let path = a.kind.open_session();
    let close = wire::data(&wire::frame(0x2843, &[0, 0, 0, 0]));
    let tail = wire::data(&[b'x'; 1_000]);
    a.storm(|conn, (held, closed): &mut (Option<StreamId>, bool)| {
        let Some(session) = conn.session(held, path) else {
            return;
        };
        if !std::mem::replace(closed, true) {
            conn.write(session, &close);
        }
        conn.fill(session, &tail, 1);
    });
}
