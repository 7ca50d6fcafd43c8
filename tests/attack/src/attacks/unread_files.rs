//! Files that nobody reads, 120 on each of 10 connections: a descriptor each.

use crate::attacker::{Attack, Attacker};
use crate::server::Kind;
use crate::wire;

pub(super) const ATTACK: Attack =
    Attack::new("unread_files", "unread files on 10 connections", run)
        .by(10)
        .on(&[Kind::Program])
        .with(&["--root", "{bin}"]);

pub(super) fn run(a: &mut Attacker) {
    (a.net.options.read, a.net.options.stream_window) = (false, 1);
    let get = wire::get("/attack-program");
    a.storm(|conn, asked: &mut u32| {
        while *asked < 120 && conn.whole_request(&get).is_some() {
            *asked += 1;
            conn.ops += 1;
        }
    });
}
