//! Heads of 1,800 fields out of 1.9 KB, of requests that stay.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire::{self, Section};

pub(super) const ATTACK: Attack = Attack::new("many_fields", "1,800 fields a head, as many requests as fit", run).by(10);

fn run(a: &mut Attacker) {
    let (hang, quick) = (a.kind.hang(), a.kind.quick());
    let get = Section::after(1).get(hang).entry(0, 1_800).frame();
    let table = [wire::capacity(4096), wire::insert("a", "")].concat();
    a.storm(|conn, asked: &mut Option<StreamId>| {
        if !conn.inserted(asked, &table, 1, quick) {
            return;
        }
        while conn.whole_request(&get).is_some() {
            conn.ops += 1;
        }
    });
}
