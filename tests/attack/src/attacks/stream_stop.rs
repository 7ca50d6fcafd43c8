//! Whole bidirectional streams of a session, the answers to which are stopped.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::conn::number;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("stream_stop", "streams of a session, each whole and stopped", run);

fn run(a: &mut Attacker) {
    let path = a.kind.open_session();
    a.storm(|conn, held: &mut Option<StreamId>| {
        let Some(session) = conn.session(held, path) else {
            return;
        };
        while let Some(id) = conn.whole_request(&wire::bidi_of(number(session))) {
            conn.stop(id, 0x10c);
            conn.ops += 1;
        }
    });
}
