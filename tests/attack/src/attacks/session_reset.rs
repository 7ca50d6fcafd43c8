//! Rapid reset of sessions: a CONNECT for one, then RESET_STREAM and STOP_SENDING.

use super::get_reset::reset_each;
use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "session_reset",
    "CONNECTs for sessions, each reset at once",
    run,
)
.by(2);

fn run(a: &mut Attacker) {
    reset_each(a, &wire::session(a.kind.open_session()));
}
