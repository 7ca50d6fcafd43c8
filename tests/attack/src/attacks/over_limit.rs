//! Heads beyond the limit of decoded fields, which are answered 431.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire::{self, Section};

pub(super) const ATTACK: Attack = Attack::new("over_limit", "heads beyond the limit", run);

fn run(a: &mut Attacker) {
    let quick = a.kind.quick();
    let get = Section::after(1).get(quick).entry(0, 2_500).frame();
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
