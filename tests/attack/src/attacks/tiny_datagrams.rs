//! 4,096 datagrams of one byte that nobody takes, with junk between them: whatever block of
//! received bytes each of them lies in stays.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::conn::number;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("tiny_datagrams", "one-byte datagrams among junk", run);

fn run(a: &mut Attacker) {
    let path = a.kind.idle_session();
    a.storm(|conn, (sessions, turn): &mut (Vec<Option<StreamId>>, usize)| {
        sessions.resize(16, None);
        for session in &mut *sessions {
            conn.session(session, path);
        }
        // A stream that nobody has: such datagrams are dropped.
        while conn.datagram(wire::datagram_of(1 << 20, &[b'x'; 1_150])) {
            *turn += 1;
            if turn.is_multiple_of(50)
                && let Some(session) = sessions[*turn / 50 % 16]
            {
                conn.datagram(wire::datagram_of(number(session), b"x"));
                conn.ops += 1;
            }
        }
    });
}
