//! Where a redirect leads, and what goes along.

use aqueduct_tokio::protocol::escape::escaped;
use aqueduct_tokio::protocol::head::Early;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use iri_string::types::{UriAbsoluteStr, UriReferenceStr};

use crate::args::Target;
use crate::exit::{Exit, Failure};
use crate::percent;

/// What says who asks: it stays with the origin that it is meant for.
const CREDENTIALS: [HeaderName; 3] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::PROXY_AUTHORIZATION,
];

/// What describes a body: it goes with it.
//= https://www.rfc-editor.org/rfc/rfc9110#section-15.4
// The client is to remove content-specific fields when it changes to a method without content.
const OF_CONTENT: [&str; 7] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "digest",
    "last-modified",
];

/// One request of a URL and of where it leads.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) target: Target,
    pub(super) method: Method,
    /// Whether it has the body.
    pub(super) body: bool,
    /// Whether it may go ahead of the handshake.
    pub(super) early: Early,
}

impl Step {
    /// The one that an answer leads to; `None` when it leads nowhere.
    ///
    /// # Errors
    /// When it leads to what is not `https`, or is no URL.
    pub(super) fn next(
        &self,
        status: StatusCode,
        fields: &HeaderMap,
    ) -> Result<Option<Self>, Failure> {
        if !matches!(status.as_u16(), 300 | 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let Some(location) = fields.get(header::LOCATION) else {
            return Ok(None);
        };
        let target = resolve(&self.target, location.as_bytes())?;
        //= https://www.rfc-editor.org/rfc/rfc9110#section-15.4
        // For historical reasons a client may change POST to GET after 301 and 302; after 303 it
        // goes on with GET, or with HEAD.
        let to_get = match status.as_u16() {
            303 => !matches!(self.method, Method::GET | Method::HEAD),
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        Ok(Some(match to_get {
            true => Self {
                target,
                method: Method::GET,
                body: false,
                early: Early::IfSafe,
            },
            false => Self {
                target,
                early: Early::IfSafe,
                ..self.clone()
            },
        }))
    }

    /// Takes from the fields of a request what does not go along from `first` to here.
    pub(super) fn strip(&self, first: &Self, fields: &mut HeaderMap) {
        if !self.target.is_same_origin(&first.target) {
            for name in CREDENTIALS.iter().chain([&header::HOST]) {
                fields.remove(name);
            }
        }
        if first.body && !self.body {
            for name in OF_CONTENT {
                fields.remove(name);
            }
        }
    }
}

/// Whether a field says who asks.
pub(super) fn is_credential(name: &[u8]) -> bool {
    CREDENTIALS.iter().any(|it| it.as_str().as_bytes() == name)
}

fn resolve(base: &Target, location: &[u8]) -> Result<Target, Failure> {
    let refused = |why: &str| {
        let what = format!("{base} leads to `{}`: {why}", escaped(location));
        Failure::new(Exit::Failure, what)
    };
    // Many servers write what belongs escaped as it is.
    let location = percent::encode_wild(location);
    let text = base.to_string();
    let base = UriAbsoluteStr::new(&text).map_err(|_| refused("it is relative to no URL"))?;
    let reference = UriReferenceStr::new(&location).map_err(|_| refused("that is no URL"))?;
    let absolute = reference.resolve_against(base).to_string();
    let scheme = absolute.split_once(':').map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) {
        return Err(refused("only https URLs are followed"));
    }
    absolute
        .parse()
        .map_err(|error: aqueduct_tokio::protocol::uri::UriError| refused(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn step(method: Method) -> Step {
        Step {
            target: "https://a.example/x/y?q".parse().unwrap(),
            body: method != Method::GET,
            early: Early::IfSafe,
            method,
        }
    }

    fn to(location: &[u8]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        fields.insert(header::LOCATION, HeaderValue::from_bytes(location).unwrap());
        fields
    }

    #[test]
    fn locations_are_relative_to_where_they_were_met() {
        for (location, target) in [
            (&b"z"[..], "https://a.example/x/z"),
            (b"/z?r#part", "https://a.example/z?r"),
            (b"//b.example:444/", "https://b.example:444/"),
            (b"HTTPS://b.example", "https://b.example/"),
            (b"../../../z", "https://a.example/z"),
            (b"/a b\xc3\xbc", "https://a.example/a%20b%C3%BC"),
            (b"?r", "https://a.example/x/y?r"),
        ] {
            let next = step(Method::GET)
                .next(StatusCode::FOUND, &to(location))
                .unwrap();
            assert_eq!(next.unwrap().target.to_string(), target);
        }
        for location in [
            "http://a.example/",
            "ftp://a/",
            "file:///etc/passwd",
            "https://u@a/",
            "https://",
        ] {
            let next = step(Method::GET).next(StatusCode::FOUND, &to(location.as_bytes()));
            assert!(next.is_err(), "{location}");
        }
    }

    #[test]
    fn methods_change_as_rfc_9110_says() {
        for (method, status, then) in [
            (Method::POST, 301, Method::GET),
            (Method::POST, 302, Method::GET),
            (Method::POST, 303, Method::GET),
            (Method::POST, 307, Method::POST),
            (Method::POST, 308, Method::POST),
            (Method::PUT, 301, Method::PUT),
            (Method::PUT, 302, Method::PUT),
            (Method::PUT, 303, Method::GET),
            (Method::HEAD, 303, Method::HEAD),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let next = step(method.clone())
                .next(status, &to(b"/"))
                .unwrap()
                .unwrap();
            assert_eq!(
                (&next.method, next.body),
                (&then, then == method),
                "{method} {status}"
            );
        }
        for status in [200, 201, 304, 305, 404] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(step(Method::GET).next(status, &to(b"/")).unwrap().is_none());
        }
        let nowhere = step(Method::GET).next(StatusCode::FOUND, &HeaderMap::new());
        assert!(nowhere.unwrap().is_none());
    }

    #[test]
    fn credentials_stay_with_their_origin_and_content_fields_with_the_body() {
        let fields = || {
            let mut fields = HeaderMap::new();
            for name in ["authorization", "cookie", "content-type", "x-other"] {
                fields.insert(name, HeaderValue::from_static("1"));
            }
            fields
        };
        let first = step(Method::POST);
        let next = |status, location: &[u8]| {
            first
                .next(StatusCode::from_u16(status).unwrap(), &to(location))
                .unwrap()
                .unwrap()
        };
        for (status, location, left) in [
            (307, &b"/z"[..], 4),
            (303, b"/z", 3),
            (307, b"https://b.example/", 2),
            (307, b"https://a.example:444/", 2),
            (303, b"https://b.example/", 1),
        ] {
            let mut fields = fields();
            next(status, location).strip(&first, &mut fields);
            assert_eq!(fields.len(), left, "{status} {location:?}");
        }
    }

    #[test]
    fn an_address_in_another_zone_is_another_host() {
        let [here, too, there] = ["%25a", "%25a", "%25b"].map(|zone| {
            let target = format!("https://[fe80::1{zone}]/x").parse();
            target.unwrap_or_else(|error| panic!("{error}"))
        });
        let (here, too, there): (Target, Target, Target) = (here, too, there);
        assert!(here.is_same_origin(&too) && !here.is_same_origin(&there));
    }
}
