//! What `serve --demo` offers: from the target of a request to the demonstration it asks for.
//!
//! Routing is pure; the server acts on the answer.

pub mod http;
pub mod pattern;
pub mod webtransport;

use crate::percent::query_value;

/// What there is, for people.
pub const RESOURCES: &str = "\
requests: /bytes/N /echo /sha256 /headers /trailers /early /early-data /status/N /slow?ms=N /reset?code=N /goaway
sessions: /echo /push /drain /goaway /close?code=N&reason=TEXT /reset?code=N /reject?status=N";

/// Paths at which there are sessions and nothing else.
pub const SESSIONS_ALONE: [&str; 4] = ["/push", "/drain", "/close", "/reject"];

/// Reads an integer parameter, decimal or `0x` hexadecimal, of at most `max`.
fn number(query: Option<&str>, name: &str, max: u64) -> Option<Result<u64, String>> {
    let text = query_value(query, name)?;
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    Some(match parsed {
        Ok(value) if value <= max => Ok(value),
        _ => Err(format!("{name} must be a whole number of at most {max}")),
    })
}

#[cfg(test)]
mod tests {
    use ::http::{Method, StatusCode};

    use super::*;

    #[test]
    fn there_is_what_is_said_to_be_there() {
        for line in RESOURCES.lines() {
            let (kind, targets) = line.split_once(": ").unwrap();
            for target in targets.split(' ') {
                let target = target.replace('N', "400").replace("TEXT", "reason");
                let (path, query) = match target.split_once('?') {
                    Some((path, query)) => (path, Some(query)),
                    None => (target.as_str(), None),
                };
                if kind == "requests" {
                    let action = http::route(&Method::GET, path, query);
                    let refused = matches!(
                        action,
                        http::HttpAction::NotFound | http::HttpAction::BadRequest(_)
                    );
                    assert!(!refused, "{target}: {action:?}");
                } else {
                    let action = webtransport::route(path, query);
                    let absent = webtransport::WtAction::Reject(StatusCode::NOT_FOUND);
                    assert_ne!(action, absent, "{target}");
                }
            }
        }
    }
}
