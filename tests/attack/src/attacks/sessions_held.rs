//! Sessions as many as are allowed, each with datagrams that nobody takes.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::conn::number;
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("sessions_held", "as many sessions as there may be", run);

fn run(a: &mut Attacker) {
    let path = a.kind.idle_session();
    a.storm(|conn, sessions: &mut Vec<Option<StreamId>>| {
        sessions.resize(40, None);
        for session in sessions {
            if let Some(session) = conn.session(session, path) {
                conn.datagram(wire::datagram_of(number(session), &[b'x'; 1_000]));
                conn.ops += 1;
            }
        }
    });
}
