//! DATA frames of one byte in bodies that are read.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("tiny_data", "DATA frames of one byte", run);

fn run(a: &mut Attacker) {
    let post = wire::post(a.kind.sink());
    let frames = wire::data(b"x").repeat(5_000);
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
