//! Everything one connection can have held at once: heads of 60 KB, answers that nobody reads, bodies that nobody reads.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire::{self, Section};

pub(super) const ATTACK: Attack = Attack::new(
    "all_held",
    "60 KB heads, unread answers, unread bodies",
    run,
)
.by(4);

fn run(a: &mut Attacker) {
    a.net.options.read = false;
    let (big, quick) = (a.kind.big(), a.kind.quick());
    let get = Section::after(1).get(big).entry(0, 15).frame();
    let value = "x".repeat(4_000);
    let piece = wire::data(&[b'x'; 1_000]);
    a.storm(
        |conn, (asked, streams, turn): &mut (Option<StreamId>, Vec<StreamId>, usize)| {
            if !conn.inserted(asked, "a", &value, quick) {
                if let Some(id) = *asked {
                    conn.read(id);
                }
                return;
            }
            while let Some(id) = conn.request(&get) {
                conn.ops += 1;
                streams.push(id);
            }
            for _ in 0..16 {
                let Some(id) = streams.get(*turn % streams.len().max(1)).copied() else {
                    return;
                };
                *turn += 1;
                if conn.takes(id) {
                    conn.write(id, &piece);
                }
            }
        },
    );
}
