//! Bodies that nobody reads, as large as the windows.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("unread_bodies_full", "bodies as large as the windows", run);

fn run(a: &mut Attacker) {
    let get = wire::get(a.kind.hang());
    let piece = wire::data(&[b'x'; 16_000]);
    a.storm(|conn, streams: &mut Vec<StreamId>| {
        while let Some(id) = conn.request(&get) {
            streams.push(id);
        }
        for id in streams {
            conn.fill(*id, &piece, 1);
        }
    });
}
