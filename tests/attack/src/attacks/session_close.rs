//! Sessions that are opened and closed properly, without end.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "session_close",
    "sessions opened and closed as they should",
    run,
)
.by(2);

fn run(a: &mut Attacker) {
    let close = wire::data(&wire::frame(0x2843, &[0, 0, 0, 0]));
    a.sessions(|conn, session| {
        conn.write(session, &close);
        conn.finish(session);
        conn.ops += 1;
    });
}
