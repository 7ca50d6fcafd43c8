//! Stop storm: answers that have begun are stopped.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("late_stop", "answers stopped after the first bytes", run).by(2);

fn run(a: &mut Attacker) {
    let get = wire::get(a.kind.big());
    a.storm(|conn, streams: &mut Vec<StreamId>| {
        streams.retain(|id| {
            let begun = conn.heard(*id) > 0;
            if begun {
                conn.stop(*id, 0x10c);
                conn.ops += 1;
            }
            !begun
        });
        while let Some(id) = conn.whole_request(&get) {
            streams.push(id);
        }
    });
}
