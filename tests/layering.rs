//! Layers look down only: which module may name which.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, from the bottom; modules of one line may name each other and
/// everything above the line in this list, nothing below it.
const LAYERS: &[&[&str]] = &[
    // Names, codes, rules, times: words that stand for themselves.
    &["id", "code", "time", "mix", "fault", "stats", "escape"],
    &["wire"],
    // What is said of messages, sessions and connections, in words and in what the
    // codecs define.
    &[
        "error",
        "transport",
        "webtransport",
        "quic",
        "config",
        "head",
        "uri",
        "event",
    ],
    &["capsule", "datagram", "priority", "settings", "varint"],
    // Takes events by value: it knows no connection, and none knows it.
    &["pool"],
    &["h3"],
    &["session"],
    &["connection"],
    &["masque"],
    &["behaviour"],
    &["endpoint"],
    &["driver"],
    &["testing"],
];

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// The module a file belongs to: its first path segment below `src`.
fn module(src: &Path, file: &Path) -> String {
    let rest = file.strip_prefix(src).expect("below src");
    let first = rest.components().next().expect("a name");
    first
        .as_os_str()
        .to_string_lossy()
        .trim_end_matches(".rs")
        .to_owned()
}

/// Whether a file holds unit tests, which may stand on the harness.
fn is_test(file: &Path) -> bool {
    let path = file.to_string_lossy();
    let inside = path.rsplit("/src/").next().unwrap_or_default();
    file.ends_with("tests.rs") || inside.contains("/tests/")
}

/// Every `crate::module` a file names, in code and in imports with braces.
fn named(text: &str) -> BTreeSet<String> {
    let code: String = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let boundary = code[..at].chars().next_back();
        if boundary.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let names: Vec<String> = match rest.strip_prefix('{') {
            Some(list) => list
                .split('}')
                .next()
                .unwrap_or_default()
                .split(',')
                .map(|name| name.trim().to_owned())
                .collect(),
            None => vec![rest.to_owned()],
        };
        for name in names {
            let end = name
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(name.len());
            found.insert(name[..end].to_owned());
        }
    }
    found
}

#[test]
fn lower_layers_never_name_upper_ones() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 20, "the core is somewhere else");
    let mut wrong = Vec::new();
    for file in &files {
        let from = module(&src, file);
        if from == "lib" || from == "testing" || is_test(file) {
            continue;
        }
        let text = fs::read_to_string(file).expect("a text file");
        // Unit tests, at the end of a file, may stand on the harness.
        let tests = text.find("\nmod tests {");
        let code = &text[..tests.unwrap_or(text.len())];
        let at = layer(&from).unwrap_or_else(|| panic!("{from} has no layer: add it"));
        for to in named(code) {
            let known = layer(&to);
            if known.is_some_and(|to| to > at) {
                wrong.push(format!("{} names {to}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The storeys inside `session/`, from the bottom. Files directly in it name all.
const STOREYS: &[&str] = &["floor", "webtransport"];

/// The floor knows no kind of session; only files directly in `session/` know more than
/// one.
#[test]
fn a_session_storey_names_none_above_it() {
    let session = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src/session");
    let mut wrong = Vec::new();
    for (at, storey) in STOREYS.iter().enumerate() {
        let mut files = Vec::new();
        rust_files(&session.join(storey), &mut files);
        assert!(files.len() > 4, "{storey} is somewhere else");
        for file in files.iter().filter(|file| !is_test(file)) {
            let text = fs::read_to_string(file).expect("a text file");
            let code: Vec<_> = text
                .lines()
                .map(|line| line.split("//").next().unwrap_or_default())
                .collect();
            let code = code.join("\n");
            let own = STOREYS.iter().take(at + 1);
            let own: Vec<String> = own.map(|below| format!("session::{below}")).collect();
            for (start, _) in code.match_indices("session::") {
                let named = &code[start..];
                if !own.iter().any(|own| named.starts_with(own.as_str())) {
                    let end = named.find([';', '\n']).unwrap_or(named.len());
                    wrong.push(format!("{} names {}", file.display(), &named[..end]));
                }
            }
            // Names of what lies above, in whatever way they come into scope.
            let above = STOREYS.iter().skip(at + 1).copied();
            for name in above.chain(["Sessions", "route", "masque"]) {
                let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
                let named = words.into_iter().any(|word| word == name);
                assert!(!named, "{} names {name}", file.display());
            }
            let climbs = code.contains("super::super::");
            assert!(!climbs, "{} climbs out of its storey", file.display());
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Only the endpoint knows the QUIC engine, only the driver and below sockets.
#[test]
fn the_engine_has_one_user() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    for file in files.iter().filter(|file| !is_test(file)) {
        let from = module(&src, file);
        let text = fs::read_to_string(file).expect("a text file");
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        let code: String = code.collect::<Vec<_>>().join("\n");
        let engine = code.contains("quinn_proto") || code.contains("rustls");
        let allowed = from == "endpoint" || from == "testing";
        assert!(!engine || allowed, "{} names the engine", file.display());
        for banned in [
            "std::net::UdpSocket",
            "SystemTime::now",
            "thread::spawn",
            "std::sync::Mutex",
        ] {
            let shown = file.display();
            // quinn's traits ask for keys that threads can share.
            let shared = banned.ends_with("Mutex") && file.ends_with("reset_at/shared.rs");
            assert!(
                from == "driver" || shared || !code.contains(banned),
                "{shown} names {banned}"
            );
        }
    }
}

/// The codecs are nobody's to use: what a program needs of them has another path, which
/// does not change with them.
#[test]
fn programs_do_without_the_codecs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let users = [
        "handles",
        "runtime-tokio",
        "runtime-async-std",
        "runtime-mio",
    ];
    let mut wrong = Vec::new();
    for user in users.into_iter().chain(["cli", "examples"]) {
        let mut files = Vec::new();
        rust_files(&root.join(user), &mut files);
        assert!(!files.is_empty(), "{user} is somewhere else");
        for file in files {
            let text = fs::read_to_string(&file).expect("a text file");
            if text.contains("::wire::") {
                wrong.push(file);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
