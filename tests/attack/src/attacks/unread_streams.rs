//! Streams of a session that the application never takes, with bytes.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::conn::number;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "unread_streams",
    "streams of a session that nobody takes",
    run,
);

fn run(a: &mut Attacker) {
    let path = a.kind.idle_session();
    a.storm(
        |conn, (held, streams): &mut (Option<StreamId>, Vec<StreamId>)| {
            let Some(session) = conn.session(held, path) else {
                return;
            };
            while let Some(id) = conn.open_uni(&wire::uni_of(number(session))) {
                streams.push(id);
            }
            for id in streams {
                conn.fill(*id, &[b'x'; 4_000], 1);
            }
        },
    );
}
