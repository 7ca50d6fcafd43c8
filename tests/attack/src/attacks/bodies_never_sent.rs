//! Bodies that are announced and never sent: a byte now and then.

use std::time::{Duration, Instant};

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("bodies_never_sent", "bodies that never end", run).by(10).cut();

/// Streams and when they last got a byte.
struct Drip {
    streams: Vec<StreamId>,
    last: Instant,
}

impl Default for Drip {
    fn default() -> Self {
        Self {
            streams: Vec::new(),
            last: Instant::now(),
        }
    }
}

fn run(a: &mut Attacker) {
    let post = wire::post(a.kind.sink());
    let first = [post, wire::header(0x00, 1 << 30)].concat();
    a.storm(|conn, drip: &mut Drip| {
        while let Some(id) = conn.request(&first) {
            drip.streams.push(id);
            conn.ops += 1;
        }
        if drip.last.elapsed() > Duration::from_millis(500) {
            drip.last = Instant::now();
            for id in &drip.streams {
                conn.write(*id, b"x");
            }
        }
    });
}
