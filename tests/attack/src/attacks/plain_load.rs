//! No attack: bodies that are read, in large frames, at the rate of an attack before.

use crate::attacker::{Attack, Attacker};
use crate::wire;

/// What an attack is compared with.
pub const PLAIN: Attack = Attack::new("plain_load", "POSTs that are read to the end", run);

fn run(a: &mut Attacker) {
    let path = a.kind.sink();
    let part = wire::data(&[b'x'; 16_000]);
    let rate = a.bytes_per_second.unwrap_or(u64::MAX);
    let began = std::time::Instant::now();
    let mut sent = 0_u64;
    a.storm(|conn, (body, parts): &mut (Option<_>, u32)| {
        let allowed = began.elapsed().as_secs_f64() * rate as f64;
        let Some(id) = *body else {
            *body = conn.request(&wire::post(path));
            return;
        };
        if (sent as f64) < allowed && conn.takes(id) {
            conn.write(id, &part);
            sent += part.len() as u64;
            conn.ops += 1;
            *parts += 1;
        }
        if *parts == 64 {
            conn.finish(id);
            (*body, *parts) = (None, 0);
        }
    });
}
