//! What `serve --demo` offers: from the target of a request to the demonstration it asks for.
//!
//! Routing is pure; the server acts on the answer.

pub mod http;
pub mod pattern;
pub mod webtransport;

use crate::percent::query_value;

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
