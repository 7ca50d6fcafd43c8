//! Traces of QUIC, and how long they may be.
#![cfg(feature = "qlog")]

mod support;

use std::fs;
use std::path::Path;

use support::Server;

/// What a trace ends with when there is no more room; not counted, as its block was.
const LAST: &str = "the trace ends here: the limit of all is reached";

/// The traces in a folder.
fn traces(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    files
        .map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn all_connections_of_a_run_share_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (Server::start(&[]), Server::start(&[]));
    let urls = [a.url("/bytes/300000"), b.url("/bytes/300000")];
    let run = |limit: &str, name: &str| {
        let place = folder.path().join(name);
        let traced = [
            "--insecure",
            "--qlog",
            place.to_str().unwrap(),
            "--qlog-limit",
            limit,
        ];
        let get = ["get", &urls[0], &urls[1]];
        support::aqueduct(get.iter().chain(&traced)).ok();
        traces(&place)
    };
    let whole = run("1GiB", "whole");
    assert!(whole.len() == 2 && whole.iter().all(|trace| !trace.contains(LAST)));
    // Enough for one of them and not for both.
    let limit = 8192 + whole[0].len().max(whole[1].len()) as u64 / 2;
    let cut = run(&limit.to_string(), "cut");
    assert!(cut.iter().any(|trace| trace.contains(LAST)));
    let bytes: usize = cut.iter().map(String::len).sum();
    assert!(bytes as u64 <= limit, "{bytes} of {limit}");
}
