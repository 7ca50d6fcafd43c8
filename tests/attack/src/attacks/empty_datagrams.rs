//! Datagrams of a session without a byte in them.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::conn::number;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("empty_datagrams", "datagrams with nothing in them", run);

fn run(a: &mut Attacker) {
    let path = a.kind.open_session();
    a.storm(|conn, held: &mut Option<StreamId>| {
        if let Some(session) = conn.session(held, path) {
            while conn.datagram(wire::datagram_of(number(session), b"")) {
                conn.ops += 1;
            }
        }
    });
}
