//! Unidirectional streams of reserved types.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack = Attack::new("unknown_streams", "unidirectional streams of reserved types", run);

fn run(a: &mut Attacker) {
    a.storm(|conn, streams: &mut Vec<StreamId>| {
        for id in streams.drain(..) {
            conn.finish(id);
        }
        while let Some(id) = conn.open_uni(&[0x21, b'x']) {
            streams.push(id);
            conn.ops += 1;
        }
    });
}
