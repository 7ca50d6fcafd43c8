//! Bodies that nobody reads, in pieces among junk.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "unread_bodies",
    "bodies in pieces of 1,000 bytes among junk",
    run,
);

fn run(a: &mut Attacker) {
    let get = wire::get(a.kind.hang());
    let piece = wire::data(&[b'x'; 1_000]);
    a.storm(|conn, (streams, turn): &mut (Vec<StreamId>, usize)| {
        while let Some(id) = conn.request(&get) {
            streams.push(id);
        }
        while conn.datagram(wire::datagram_of(1 << 20, &[b'x'; 1_150])) {
            *turn += 1;
            let id = streams[*turn / 20 % streams.len()];
            if turn.is_multiple_of(20) {
                conn.fill(id, &piece, 1);
            }
        }
    });
}
