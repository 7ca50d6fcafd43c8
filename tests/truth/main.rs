//! No public error says what never happens, and none what no test has seen: a walk
//! through the sources, variant by variant.

mod made;
mod seen;
mod shapes;
mod source;

use std::collections::BTreeSet;

use source::Reasons;

/// Where errors are declared and constructed.
const SOURCES: &[&str] = &["core", "record", "handles", "runtime-mio", "runtime-tokio"];

/// Folders with tests of whatever kind; tests inside `src` are found by themselves.
const TESTS: &[&str] = &[
    "tests",
    "runtime-mio/tests",
    "runtime-tokio/tests",
    "cli/tests",
];

/// Sources that construct errors from a text or from a script: errors that others have
/// met before. Only those that they declare themselves count.
const ECHOES: &[&str] = &["record", "replay", "testing"];

/// What nothing makes, and what decides about it.
const UNMADE: &[(&str, &str)] = &[];

/// What no test names, and what decides about it.
const UNSEEN: &[(&str, &str)] = &[(
    "core::endpoint::error::ConfigError::Tls",
    "rustls without its feature tls12 has no version that is left without TLS 1.3",
)];

/// The variants that are not found and do not wait for a decision, and decisions that
/// nothing waits for any more.
fn missing(
    all: &[Reasons],
    found: &BTreeSet<String>,
    pending: &[(&str, &str)],
) -> (Vec<String>, Vec<String>) {
    let mut missing = Vec::new();
    for reasons in all {
        let variants = reasons.variants.iter();
        let shown = variants.map(|variant| reasons.shown(variant));
        missing.extend(shown.filter(|shown| !found.contains(shown)));
    }
    let settled = pending.iter().map(|(shown, _)| (*shown).to_owned());
    let settled = settled.filter(|shown| !missing.contains(shown)).collect();
    missing.retain(|shown| pending.iter().all(|(pending, _)| pending != shown));
    (missing, settled)
}

#[test]
fn every_error_happens() {
    let sources = source::all();
    let all = source::declared(&sources);
    let seen = seen::in_tests(&sources, &all);
    let (never, settled) = missing(&all, &made::anywhere(&sources, &all, &seen), UNMADE);
    assert!(never.is_empty(), "nothing makes {never:#?}");
    assert!(settled.is_empty(), "no longer pending: {settled:#?}");
}

#[test]
fn every_error_is_seen_by_a_test() {
    let sources = source::all();
    let all = source::declared(&sources);
    let (never, settled) = missing(&all, &seen::in_tests(&sources, &all), UNSEEN);
    assert!(never.is_empty(), "no test names {never:#?}");
    assert!(settled.is_empty(), "no longer pending: {settled:#?}");
}
