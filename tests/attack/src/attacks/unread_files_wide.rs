//! Files that nobody reads, on as many connections as it takes to have every place for an open file: others want one, too.

use super::unread_files::run;
use crate::attacker::Attack;
use crate::server::Kind;

pub(super) const ATTACK: Attack =
    Attack::new("unread_files_wide", "unread files on 150 connections", run)
        .by(150)
        .lasting()
        .on(&[Kind::Program])
        .file("/attack-program")
        .with(&["--root", "{bin}"]);
