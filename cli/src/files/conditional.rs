//! Conditional requests: ETag, Last-Modified and the fields that compare them (RFC 9110 section 13).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// What tells one version of a file from another.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    etag: Option<String>,
    /// In whole seconds, as a date field can say it.
    modified: Option<SystemTime>,
    /// Whether `modified` is old enough to be a strong validator.
    settled: bool,
}

impl Validators {
    pub(super) fn new(len: u64, modified: Option<SystemTime>, now: SystemTime) -> Self {
        let since = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
        Self {
            etag: since.map(|since| format!("\"{:x}-{len:x}\"", since.as_nanos())),
            modified: since.map(|s| SystemTime::UNIX_EPOCH + Duration::from_secs(s.as_secs())),
            //= https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
            // A date is strong only when the file cannot have changed again within its second.
            settled: modified
                .and_then(|at| now.duration_since(at).ok())
                .is_some_and(|age| age >= Duration::from_secs(2)),
        }
    }

    pub(super) fn write(&self, fields: &mut HeaderMap) {
        let mut put = |name, text: Option<String>| {
            if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
                fields.insert(name, value);
            }
        };
        put(header::ETAG, self.etag.clone());
        put(
            header::LAST_MODIFIED,
            self.modified.map(httpdate::fmt_http_date),
        );
    }
}

/// What the preconditions of a request say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// Answer as if there were none.
    Proceed,
    /// 304: the client's copy is current.
    NotModified,
    /// 412: the client asked for another version.
    Failed,
}

/// Evaluates the preconditions of a GET or HEAD.
//= https://www.rfc-editor.org/rfc/rfc9110#section-13.2.2
// Entity tags come before dates, and the fields that may fail before those that may save a
// transfer.
pub(super) fn evaluate(asked: &HeaderMap, file: &Validators) -> Outcome {
    let etag = file.etag.as_deref();
    if asked.contains_key(header::IF_MATCH) {
        if !tags(asked, header::IF_MATCH).any(|tag| tag == "*" || Some(tag) == etag) {
            return Outcome::Failed;
        }
    } else if let (Some(limit), Some(modified)) =
        (date(asked, header::IF_UNMODIFIED_SINCE), file.modified)
        && modified > limit
    {
        return Outcome::Failed;
    }
    if asked.contains_key(header::IF_NONE_MATCH) {
        // Weak comparison: the mark of weakness does not count.
        let same = |tag: &str| Some(tag.strip_prefix("W/").unwrap_or(tag)) == etag;
        if tags(asked, header::IF_NONE_MATCH).any(|tag| tag == "*" || same(tag)) {
            return Outcome::NotModified;
        }
    } else if let (Some(since), Some(modified)) =
        (date(asked, header::IF_MODIFIED_SINCE), file.modified)
        && modified <= since
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether a Range field counts: when there is no If-Range, or it names this very version.
//= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
// The comparison is strong, and a date must be exactly that of the file.
pub(super) fn range_applies(asked: &HeaderMap, file: &Validators) -> bool {
    let Some(value) = asked.get(header::IF_RANGE) else {
        return true;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    if text.contains('"') {
        return Some(text.trim()) == file.etag.as_deref();
    }
    let date = httpdate::parse_http_date(text).ok();
    file.settled && date.is_some() && date == file.modified
}

/// The members of a list of entity tags. Our own tags hold no comma.
fn tags(asked: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = asked.get_all(name).into_iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .map(str::trim)
}

/// A date field; one that is wrong or repeated is ignored.
fn date(asked: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let mut values = asked.get_all(name).into_iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    httpdate::parse_http_date(only.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Fri, 13 Feb 2009 23:31:30 GMT"; // 1234567890
    const EARLIER: &str = "Fri, 13 Feb 2009 23:31:29 GMT";

    fn file() -> Validators {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_234_567_890, 5);
        Validators::new(16, Some(at), at + Duration::from_secs(60))
    }

    fn asked(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn preconditions_follow_their_precedence() {
        let tag = file().etag.unwrap();
        let listed = format!("\"other\", W/{tag}");
        for (pairs, expected) in [
            (&[][..], Outcome::Proceed),
            (&[("if-none-match", tag.as_str())], Outcome::NotModified),
            (&[("if-none-match", &listed)], Outcome::NotModified),
            (&[("if-none-match", "*")], Outcome::NotModified),
            (&[("if-none-match", "\"other\"")], Outcome::Proceed),
            (&[("if-modified-since", DATE)], Outcome::NotModified),
            (&[("if-modified-since", EARLIER)], Outcome::Proceed),
            (&[("if-modified-since", "yesterday")], Outcome::Proceed),
            // A tag decides alone, whatever the date says.
            (
                &[("if-none-match", "\"other\""), ("if-modified-since", DATE)],
                Outcome::Proceed,
            ),
            (&[("if-match", &tag)], Outcome::Proceed),
            (&[("if-match", "*")], Outcome::Proceed),
            (&[("if-match", "\"other\"")], Outcome::Failed),
            (&[("if-match", &listed)], Outcome::Failed), // weak tags never match strongly
            (&[("if-unmodified-since", DATE)], Outcome::Proceed),
            (&[("if-unmodified-since", EARLIER)], Outcome::Failed),
            (
                &[("if-match", &tag), ("if-none-match", &tag)],
                Outcome::NotModified,
            ),
        ] {
            assert_eq!(evaluate(&asked(pairs), &file()), expected, "{pairs:?}");
        }
    }

    #[test]
    fn a_range_counts_for_the_very_version_only() {
        let tag = file().etag.unwrap();
        let weak = format!("W/{tag}");
        for (value, expected) in [
            (tag.as_str(), true),
            (&weak, false),
            ("\"x\"", false),
            (DATE, true),
            (EARLIER, false),
        ] {
            assert_eq!(
                range_applies(&asked(&[("if-range", value)]), &file()),
                expected,
                "{value}"
            );
        }
        assert!(range_applies(&asked(&[]), &file()));
        // A file written this second may be written again.
        let fresh = Validators {
            settled: false,
            ..file()
        };
        assert!(!range_applies(&asked(&[("if-range", DATE)]), &fresh));
        assert!(range_applies(&asked(&[("if-range", &tag)]), &fresh));
    }
}
