//! Files that nobody reads, on as many connections as it takes to have every place for an open file: others want one, too.

use crate::attacker::{Attack, Attacker};
use crate::server::Kind;
use crate::wire;

pub(super) const ATTACK: Attack = Attack::new("unread_files_wide", "unread files on 150 connections", run).by(150).lasting().on(&[Kind::Program]).file("/aqueduct").with(&["--root", "{bin}"]);

fn run(a: &mut Attacker) {
    (a.net.options.read, a.net.options.stream_window) = (false, 1);
    let get = wire::get("/aqueduct");
    a.storm(|conn, asked: &mut u32| {
        while *asked < 120 && conn.whole_request(&get).is_some() {
            *asked += 1;
            conn.ops += 1;
        }
    });
}
