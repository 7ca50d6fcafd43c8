//! When a request is sent again, and after how long.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, Method, StatusCode, header};

/// The longest wait before another try. A server that wants more is not asked again.
const LONGEST: Duration = Duration::from_secs(60);

//= https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2
// Others may not be repeated by a client that does not know what they do.
pub(super) fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
    ]
    .contains(method)
}

/// Whether a status speaks of the moment.
pub(super) fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// The wait before try number `tries`, 1 for the first after a failure, when the server has named
/// none.
pub(super) fn pause(tries: u32) -> Duration {
    let seconds = 1_u64.checked_shl(tries.saturating_sub(1));
    seconds.map_or(LONGEST, |seconds| Duration::from_secs(seconds).min(LONGEST))
}

/// The wait before another try, if the server names one.
///
/// # Errors
/// It wants to be left alone for longer than [`LONGEST`].
pub(super) fn wait(fields: &HeaderMap, now: SystemTime) -> Result<Option<Duration>, Duration> {
    match wanted(fields, now) {
        Some(wanted) if wanted > LONGEST => Err(wanted),
        wanted => Ok(wanted),
    }
}

/// How long the server wants to be left alone.
//= https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
// Seconds, or a date.
fn wanted(fields: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = fields.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // What has more digits than a number is longer than anybody waits.
        return Some(text.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use http::HeaderValue;

    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let waits = [1, 2, 3, 6, 7, 40, u32::MAX].map(|tries| pause(tries).as_secs());
        assert_eq!(waits, [1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn a_server_says_how_long_in_seconds_or_with_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(90);
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Thu, 01 Jan 1970 00:01:40 GMT", Some(10)),
            ("Thu, 01 Jan 1970 00:01:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(
                wanted(&fields, now).map(|it| it.as_secs()),
                seconds,
                "{text}"
            );
        }
        assert_eq!(wanted(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_server_that_wants_more_than_a_minute_is_left_alone() {
        for (text, granted) in [
            ("60", Ok(Some(LONGEST))),
            ("61", Err(Duration::from_secs(61))),
            ("soon", Ok(None)),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(wait(&fields, UNIX_EPOCH), granted, "{text}");
        }
    }

    #[test]
    fn post_is_not_repeated() {
        assert!(is_idempotent(&Method::PUT) && !is_idempotent(&Method::POST));
        assert!(!is_idempotent(&Method::PATCH));
    }
}
