//! Answers that nobody reads, a window of a byte each.

use super::responses_unread_wide;
use crate::attacker::{Attack, Attacker};

pub(super) const ATTACK: Attack =
    Attack::new("responses_never_read", "answers that nobody reads", run)
        .by(10)
        .cut();

fn run(a: &mut Attacker) {
    a.net.options.stream_window = 1;
    responses_unread_wide::run(a);
}
