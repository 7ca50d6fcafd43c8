//! The loops that we show: what people copy has to survive strangers.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The code from `loop {` to its end, which is the first line that is indented as little,
/// without comments and that indentation.
fn first_loop(text: &str) -> Vec<String> {
    let begin = text
        .lines()
        .find(|line| line.trim() == "loop {")
        .expect("a loop");
    let depth = begin.len() - begin.trim_start().len();
    let lines = text.lines().skip_while(|line| *line != begin);
    let code = lines.map(|line| line.split("//").next().unwrap_or_default().trim_end());
    let mut code: Vec<String> = code
        .map(|line| line.get(depth..).unwrap_or_default().to_owned())
        .collect();
    let end = code.iter().position(|line| line == "}").expect("an end");
    code.truncate(end + 1);
    code.retain(|line| !line.is_empty());
    code
}

/// README is not compiled; the crate page is.
#[test]
fn readmes_loop_is_the_one_that_compiles() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let page = fs::read_to_string(root().join("core/src/lib.rs")).expect("the crate page");
    let page: Vec<&str> = page
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    assert_eq!(first_loop(&readme), first_loop(&page.join("\n")));
}

fn texts(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            texts(&path, found);
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            let text = fs::read_to_string(&path).expect("a text");
            found.push((path, text));
        }
    }
}

/// Whether `?` follows a call, of which this is what comes after its first parenthesis.
fn is_returned(rest: &str) -> bool {
    let mut depth = 1;
    let end = rest.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    let after = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
    let after = after.trim_start();
    after.starts_with('?') || after.starts_with(".await?")
}

#[test]
fn a_call_over_several_lines_is_seen() {
    assert!(is_returned("\n    &out[..f(size)],\n    remote,\n)?;"));
    assert!(!is_returned("&out, remote) {\n    other()?;"));
}

/// One datagram that cannot be sent or received says something about an address that a
/// stranger may have chosen. Who returns it ends all connections.
#[test]
fn no_loop_ends_with_one_datagram() {
    let mut all = Vec::new();
    texts(&root(), &mut all);
    all.retain(|(path, _)| !path.ends_with("tests/loops.rs"));
    let calls = [".send_to(", ".recv_from("];
    let mut loops = 0;
    for (path, text) in &all {
        let shown = path.display();
        let mut sends = false;
        for call in calls {
            for (at, _) in text.match_indices(call) {
                let line = text[..at].lines().count();
                assert!(!is_returned(&text[at + call.len()..]), "{shown}:{line}");
            }
        }
        sends |= text.contains("socket.send_to(");
        // Whoever gives what an endpoint gives to a socket tells it of errors.
        if sends && text.contains("endpoint.poll_transmit(") {
            assert!(text.contains("endpoint.handle_send_error("), "{shown}");
            assert!(text.contains("endpoint.handle_recv_error("), "{shown}");
            loops += 1;
        }
    }
    assert_eq!(loops, 4, "README, the crate page, `endpoint`, custom-loop");
}
