//! Sessions that end by a capsule that is malformed, as soon as they are open.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "session_malformed",
    "sessions that a wrong capsule ends",
    run,
)
.by(2);

fn run(a: &mut Attacker) {
    // WT_CLOSE_SESSION has four bytes at least.
    let wrong = wire::data(&wire::frame(0x2843, b"x"));
    a.sessions(|conn, session| {
        conn.write(session, &wrong);
        conn.ops += 1;
    });
}
