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
        for (at, line) in text.lines().enumerate() {
            let calls = calls.iter().any(|call| line.contains(call));
            let ends = line.trim_end().ends_with("?;");
            assert!(!(calls && ends), "{shown}:{}: {line}", at + 1);
            sends |= line.contains("socket.send_to(");
        }
        // Whoever gives what an endpoint gives to a socket tells it of errors.
        if sends && text.contains("endpoint.poll_transmit(") {
            assert!(text.contains("endpoint.handle_send_error("), "{shown}");
            assert!(text.contains("endpoint.handle_recv_error("), "{shown}");
            loops += 1;
        }
    }
    assert_eq!(loops, 4, "README, the crate page, `endpoint`, custom-loop");
}
