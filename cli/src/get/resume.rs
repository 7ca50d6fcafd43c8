//! Going on with a part: what is asked for, and whether the answer is of the same thing.

use std::time::Duration;

use aqueduct_tokio::protocol::escape::escaped;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::args::Target;
use crate::draft::{Origin, Part};
use crate::exit::{Exit, Failure};

/// What an answer to a request for the rest is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rest {
    /// So many bytes follow.
    Follows {
        /// How many.
        len: u64,
        /// Whether it is whole then, as far as anybody says.
        is_all: bool,
    },
    /// There is no rest: the part is whole.
    Nothing,
    /// An error that says nothing about the part.
    Refused,
}

/// Asks for what follows a part of `target`.
///
/// # Errors
/// When it is a part of something else.
pub(super) fn ask(part: &Part, target: &Target, fields: &mut HeaderMap) -> Result<(), Failure> {
    let origin = part.origin.as_ref();
    if let Some(origin) = origin.filter(|it| it.url != target.to_string()) {
        return Err(unlike(part, &format!("it is of {}", escaped(&origin.url))));
    }
    let range = format!("bytes={}-", part.len);
    let range = HeaderValue::try_from(range).map_err(|_| unlike(part, "it is too long"))?;
    fields.insert(header::RANGE, range);
    //= https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
    // Only strong validators are there; without one, what comes back is compared alone.
    let validator = origin.and_then(Origin::validator);
    if let Some(Ok(value)) = validator.map(HeaderValue::try_from) {
        fields.insert(header::IF_RANGE, value);
    }
    Ok(())
}

/// What the answer to [`ask`] is.
///
/// # Errors
/// When the answer is not of what the part is of.
pub(super) fn judge(part: &Part, head: &Response<()>) -> Result<Rest, Failure> {
    let (status, fields) = (head.status(), head.headers());
    let range = fields
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok()?.strip_prefix("bytes "));
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let (first, len, total) = range
                .and_then(span)
                .ok_or_else(|| unlike(part, "the server does not say which part it sends"))?;
            if first != part.len {
                return Err(unlike(
                    part,
                    &format!("the server sends from byte {first} on"),
                ));
            }
            same(part, fields, total)?;
            let total = total.or(part.origin.as_ref().and_then(|origin| origin.total));
            //= https://www.rfc-editor.org/rfc/rfc9110#section-15.3.7
            // It may be less than what was asked for.
            let is_all = total.is_none_or(|total| first + len == total);
            Ok(Rest::Follows { len, is_all })
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let total = range.and_then(|range| range.strip_prefix("*/")?.parse().ok());
            same(part, fields, total)?;
            match total {
                Some(total) if total == part.len => Ok(Rest::Nothing),
                _ => Err(unlike(part, "the server has less than that")),
            }
        }
        status if status.is_success() => {
            same(part, fields, length(fields))?;
            Err(unlike(part, "the server sends all of it, and no parts"))
        }
        _ => Ok(Rest::Refused),
    }
}

/// The first byte, how many there are, and of how many, if that is known.
//= https://www.rfc-editor.org/rfc/rfc9110#section-14.4
// One that ends before it begins, or after all there is, is not valid.
fn span(range: &str) -> Option<(u64, u64, Option<u64>)> {
    let (span, total) = range.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let total: Option<u64> = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    let end = last.checked_add(1)?;
    let len = end.checked_sub(first).filter(|len| *len > 0)?;
    total
        .is_none_or(|total| end <= total)
        .then_some((first, len, total))
}

/// Compares what is known of both.
fn same(part: &Part, fields: &HeaderMap, total: Option<u64>) -> Result<(), Failure> {
    let changed = |what: &str| Err(unlike(part, &format!("it has changed since: {what}")));
    let modified = text(fields, &header::LAST_MODIFIED);
    let Some(origin) = &part.origin else {
        // Of unknown origin, as from another program. It is no newer than its file.
        let modified = modified.and_then(|it| httpdate::parse_http_date(it).ok());
        return match (modified, part.modified) {
            (Some(there), Some(here)) if there > here => changed("it is newer than the part"),
            _ => Ok(()),
        };
    };
    let pairs = [
        ("etag", origin.etag.as_deref(), text(fields, &header::ETAG)),
        ("last-modified", origin.last_modified.as_deref(), modified),
    ];
    for (name, before, now) in pairs {
        if let (Some(before), Some(now)) = (before, now)
            && before != now
        {
            let (before, now) = (escaped(before), escaped(now));
            return changed(&format!("{name} was {before} and is {now}"));
        }
    }
    if let (Some(before), Some(now)) = (origin.total, total)
        && before != now
    {
        return changed(&format!("it was {before} bytes and is {now}"));
    }
    Ok(())
}

fn unlike(part: &Part, why: &str) -> Failure {
    let what = format!(
        "`{}` is not gone on with: {why} (without -C - all of it is fetched)",
        part.path.display()
    );
    Failure::new(Exit::Failure, what)
}

/// The answer has more than it says.
pub(super) fn too_much(part: &Part) -> Failure {
    unlike(part, "the server sends more than the range that it names")
}

/// Where what an answer brings comes from, to go on with it later.
pub(super) fn origin(target: &Target, head: &Response<()>) -> Origin {
    let fields = head.headers();
    let range = text(fields, &header::CONTENT_RANGE);
    let total = match head.status() {
        StatusCode::PARTIAL_CONTENT => range.and_then(|it| it.rsplit_once('/')?.1.parse().ok()),
        status if status.is_success() => length(fields),
        // It tells of an error.
        _ => return Origin::default(),
    };
    let etag = text(fields, &header::ETAG).filter(|it| !it.starts_with("W/"));
    Origin {
        url: target.to_string(),
        etag: etag.map(str::to_owned),
        last_modified: strong_date(fields).map(str::to_owned),
        total,
    }
}

//= https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
// A date is as good as a strong validator when the answer is at least a second younger.
fn strong_date(fields: &HeaderMap) -> Option<&str> {
    let modified = text(fields, &header::LAST_MODIFIED)?;
    let [then, now] = [modified, text(fields, &header::DATE)?].map(httpdate::parse_http_date);
    let age = now.ok()?.duration_since(then.ok()?).ok()?;
    (age >= Duration::from_secs(1)).then_some(modified)
}

fn length(fields: &HeaderMap) -> Option<u64> {
    text(fields, &header::CONTENT_LENGTH)?.parse().ok()
}

fn text<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    fields.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const DATE: &str = "Thu, 01 Jan 1970 00:01:40 GMT";

    fn target() -> Target {
        "https://a.example/x".parse().unwrap()
    }

    fn part(etag: Option<&str>, date: Option<&str>) -> Part {
        Part {
            path: "x.part".into(),
            len: 4,
            origin: Some(Origin {
                url: target().to_string(),
                etag: etag.map(str::to_owned),
                last_modified: date.map(str::to_owned),
                total: Some(8),
            }),
            modified: None,
        }
    }

    fn answer(status: u16, fields: &[(&str, &str)]) -> Response<()> {
        let mut answer = Response::builder().status(status);
        for (name, value) in fields {
            answer = answer.header(*name, *value);
        }
        answer.body(()).unwrap()
    }

    #[test]
    fn the_rest_is_asked_for_on_the_condition_that_nothing_changed() {
        for (part, condition) in [
            (part(Some("\"1\""), Some(DATE)), Some("\"1\"")),
            (part(None, Some(DATE)), Some(DATE)),
            (part(None, None), None),
        ] {
            let mut fields = HeaderMap::new();
            ask(&part, &target(), &mut fields).unwrap();
            assert_eq!(fields["range"], "bytes=4-");
            let asked = fields.get("if-range").map(|value| value.to_str().unwrap());
            assert_eq!(asked, condition);
        }
        let other = "https://a.example/y".parse().unwrap();
        assert!(ask(&part(None, None), &other, &mut HeaderMap::new()).is_err());
    }

    #[test]
    fn nothing_is_appended_to_what_has_changed() {
        let part = part(Some("\"1\""), Some(DATE));
        let range = ("content-range", "bytes 4-7/8");
        let good = judge(&part, &answer(206, &[range, ("etag", "\"1\"")]));
        let follows = |len, is_all| Rest::Follows { len, is_all };
        assert_eq!(good.unwrap(), follows(4, true));
        for (range, rest) in [
            ("bytes 4-6/8", follows(3, false)),
            ("bytes 4-6/*", follows(3, false)),
            ("bytes 4-7/*", follows(4, true)),
        ] {
            let answer = answer(206, &[("content-range", range)]);
            assert_eq!(judge(&part, &answer).unwrap(), rest, "{range}");
        }
        let whole = judge(&part, &answer(416, &[("content-range", "bytes */4")]));
        assert!(whole.unwrap_err().to_string().contains("was 8 bytes"));
        for (status, fields, why) in [
            (206, vec![range, ("etag", "\"2\"")], "has changed"),
            (
                206,
                vec![range, ("last-modified", "Thu, 01 Jan 1970 00:02:00 GMT")],
                "has changed",
            ),
            (
                206,
                vec![("content-range", "bytes 4-8/9")],
                "was 8 bytes and is 9",
            ),
            (206, vec![("content-range", "bytes 0-7/8")], "from byte 0"),
            (206, vec![("content-range", "lines 4-7/8")], "does not say"),
            (206, vec![("content-range", "bytes 4-3/8")], "does not say"),
            (206, vec![("content-range", "bytes 4-8/8")], "does not say"),
            (206, vec![("content-range", "bytes 4-7/x")], "does not say"),
            (
                206,
                vec![("content-range", "bytes 4-18446744073709551615/*")],
                "does not say",
            ),
            (206, vec![], "does not say"),
            (200, vec![("etag", "\"2\"")], "has changed"),
            (200, vec![("etag", "\"1\"")], "no parts"),
            (416, vec![("content-range", "bytes */3")], "has changed"),
            (416, vec![], "has less"),
        ] {
            let error = judge(&part, &answer(status, &fields)).unwrap_err();
            assert!(
                error.to_string().contains(why),
                "{status} {fields:?}: {error}"
            );
        }
        assert_eq!(judge(&part, &answer(404, &[])).unwrap(), Rest::Refused);
    }

    #[test]
    fn what_has_no_origin_is_compared_by_its_age() {
        let mut part = part(None, None);
        part.origin = None;
        part.modified = Some(UNIX_EPOCH + Duration::from_secs(99));
        let rest = [("content-range", "bytes 4-7/8"), ("last-modified", DATE)];
        let error = judge(&part, &answer(206, &rest)).unwrap_err();
        assert!(error.to_string().contains("newer than the part"), "{error}");
        part.modified = Some(UNIX_EPOCH + Duration::from_secs(101));
        let follows = Rest::Follows {
            len: 4,
            is_all: true,
        };
        assert_eq!(judge(&part, &answer(206, &rest)).unwrap(), follows);
        let whole = answer(416, &[("content-range", "bytes */4")]);
        assert_eq!(judge(&part, &whole).unwrap(), Rest::Nothing);
    }

    #[test]
    fn only_strong_validators_are_kept() {
        let late = ("date", "Thu, 01 Jan 1970 00:01:41 GMT");
        let modified = ("last-modified", DATE);
        for (fields, etag, date) in [
            (
                vec![("etag", "\"1\""), modified, late],
                Some("\"1\""),
                Some(DATE),
            ),
            (
                vec![("etag", "W/\"1\""), modified, ("date", DATE)],
                None,
                None,
            ),
            (vec![modified], None, None),
        ] {
            let origin = origin(&target(), &answer(200, &fields));
            assert_eq!(
                (origin.etag.as_deref(), origin.last_modified.as_deref()),
                (etag, date)
            );
        }
        assert_eq!(
            origin(&target(), &answer(404, &[("etag", "\"1\"")])),
            Origin::default()
        );
        let rest = answer(206, &[("content-range", "bytes 4-7/8")]);
        assert_eq!(origin(&target(), &rest).total, Some(8));
    }
}
