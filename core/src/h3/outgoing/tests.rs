use http::Uri;
use http::header::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::error::InvalidHead;

fn taken(lines: &Outgoing<'_>) -> FieldSection {
    lines.iter().collect()
}

/// A value that is to stay out of compression does so although it is the same value.
#[test]
fn a_secret_made_so_later_is_not_sent_as_it_stood() {
    let lines: FieldSection = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/a?b"),
        ("x", "1"),
    ]
    .into_iter()
    .collect();
    let mut head = RequestHead::from_fields(lines.clone()).unwrap();
    assert_eq!(request(&head).map(|sent| taken(&sent)), Ok(lines));
    for value in head.headers.values_mut() {
        value.set_sensitive(true);
    }
    let sent = request(&head).unwrap();
    assert!(
        sent.iter()
            .any(|field| field.name == b"x" && field.never_indexed)
    );
}

#[test]
fn what_is_built_is_what_would_be_taken() {
    let mut head = RequestHead::new(Method::GET, Uri::from_static("https://example.com:443/x?y"));
    head.headers
        .insert("accept", HeaderValue::from_static("*/*"));
    let fields = taken(&request(&head).unwrap());
    let lines: Vec<_> = fields
        .iter()
        .map(|f| (f.name.to_vec(), f.value.to_vec()))
        .collect();
    assert_eq!(lines[2], (b":authority".to_vec(), b"example.com".to_vec()));
    assert_eq!(lines[3], (b":path".to_vec(), b"/x?y".to_vec()));
    head.headers
        .insert("connection", HeaderValue::from_static("close"));
    assert!(request(&head).is_err());
    assert!(response(&ResponseHead::new(StatusCode::SWITCHING_PROTOCOLS)).is_err());
}

/// What goes out for a URI in its unusual forms.
#[test]
fn uris_on_the_wire() {
    for (method, uri, authority, path) in [
        ("GET", "https://a?x=1", "a", "/?x=1"),
        ("GET", "https://a", "a", "/"),
        ("GET", "https://a:443/b", "a", "/b"),
        ("GET", "http://a:80/b", "a", "/b"),
        ("GET", "https://a:80/b", "a:80", "/b"),
        ("GET", "https://a:/b", "a", "/b"),
        ("GET", "https://[fe80::1%25eth0]:1/b", "[fe80::1]:1", "/b"),
        ("GET", "https://[fe80::1%25eth0]/b", "[fe80::1]", "/b"),
        ("GET", "https://[::1]/b", "[::1]", "/b"),
        ("GET", "https://a/\u{fc}", "a", "/%C3%BC"),
        ("OPTIONS", "https://a/b", "a", "/b"),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let head = RequestHead::new(method, uri.parse().expect(uri));
        let sent = request(&head).expect(uri);
        let value = |name: &[u8]| {
            let field = sent.iter().find(|field| field.name == name);
            field.map(|field| String::from_utf8_lossy(field.value).into_owned())
        };
        assert_eq!(value(b":authority").as_deref(), Some(authority), "{uri}");
        assert_eq!(value(b":path").as_deref(), Some(path), "{uri}");
    }
    let mut star = Uri::from_static("https://a/").into_parts();
    star.path_and_query = Some(PathAndQuery::from_static("*"));
    let star = Uri::from_parts(star).expect("a URI");
    let ask = |method| request(&RequestHead::new(method, star.clone())).map(|sent| taken(&sent));
    assert!(ask(Method::OPTIONS).is_ok());
    assert_eq!(ask(Method::GET).expect_err("not for GET").field, ":path");
}

/// The field that is wrong is named.
#[test]
fn uris_that_cannot_be_asked_for() {
    for (uri, field, word) in [
        ("https://user@a/", ":authority", "user information"),
        ("https://:443/", ":authority", "is empty"),
        ("https://:444/", ":authority", "no host"),
        ("/only/a/path", ":authority", "missing"),
    ] {
        let head = RequestHead::new(Method::GET, uri.parse().expect(uri));
        let wrong = InvalidHead::from(request(&head).expect_err(uri));
        assert_eq!(wrong.field, field, "{uri}");
        assert!(wrong.to_string().contains(word), "{wrong}");
    }
}

#[test]
fn the_last_status_and_trailers_are_built_as_they_would_be_taken() {
    let last = ResponseHead::new(StatusCode::from_u16(599).expect("a status"));
    assert!(response(&last).is_ok());
    let mut after = HeaderMap::new();
    after.insert("a", HeaderValue::from_static("b"));
    assert!(trailers(&after).is_ok());
    after.insert("connection", HeaderValue::from_static("close"));
    assert!(trailers(&after).is_err());
}

/// Heads of everything that the types allow and HTTP/3 may not.
fn any_head() -> impl Strategy<Value = RequestHead> {
    let methods = [Method::GET, Method::OPTIONS, Method::POST, Method::CONNECT];
    let uris = [
        "https://a/",
        "https://a:443/b?c",
        "http://a:80",
        "https://a:/",
        "https://[fe80::1%25e]:1/b",
        "https://u@a/",
        "https://:443/",
        "https://:444/",
        "/path",
        "*",
        "a:443",
        "other://a/b",
        "1s://a/b",
        "https://a?x",
        "https://a/\u{fc}",
    ];
    let names = [
        "host",
        "te",
        "upgrade",
        "keep-alive",
        "connection",
        "accept",
        "cookie",
        "x-other",
        "proxy-connection",
        "content-length",
    ];
    let values = [
        "a", "b", "trailers", "", " x", "x\t", "a@b", "x\ty", "A", "\u{e9}", "[::1]:1",
    ];
    let header = (
        prop::sample::select(names.to_vec()),
        prop::sample::select(values.to_vec()),
    );
    let headers = prop::collection::vec((header, any::<bool>()), 0..4);
    let protocol = prop::option::weighted(0.2, Just("webtransport"));
    let (methods, uris) = (methods.to_vec(), uris.to_vec());
    let place = (prop::sample::select(methods), prop::sample::select(uris));
    (place, headers, protocol).prop_map(|((method, uri), headers, protocol)| {
        let uri = uri
            .parse::<Uri>()
            .unwrap_or_else(|_| Uri::from_static("https://a/"));
        let mut head = RequestHead::new(method, uri);
        head.protocol = protocol.map(crate::head::Protocol::new);
        for ((name, value), sensitive) in headers {
            let mut value = HeaderValue::from_bytes(value.as_bytes()).expect("a value of the type");
            value.set_sensitive(sensitive);
            head.headers.append(name, value);
        }
        head
    })
}

/// The lines of a request before any rule is asked.
fn unchecked(head: &RequestHead) -> FieldSection {
    let mut lines = Outgoing::whole(Cow::Owned(FieldSection::new()));
    lines.headers = Some(&head.headers);
    lines.push(":method", head.method.as_str());
    if let Some(protocol) = &head.protocol {
        lines.push(":protocol", protocol.as_str());
    }
    let plain = head.method == Method::CONNECT && head.protocol.is_none();
    let scheme = head.uri.scheme_str().unwrap_or("https");
    if !plain {
        lines.push(":scheme", scheme);
    }
    if let Some(authority) = head.uri.authority() {
        lines.push(
            ":authority",
            uri::authority(authority, Some(scheme).filter(|_| !plain)),
        );
    }
    if !plain {
        let path = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
        lines.push(":path", uri::path(path));
    }
    taken(&lines)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// What is checked on the parts is what a receiver would check on the lines.
    #[test]
    fn what_is_sent_is_what_would_be_taken(head in any_head()) {
        let lines = unchecked(&head);
        let received = message::request(&lines, true);
        match request(&head) {
            Ok(sent) => {
                prop_assert_eq!(taken(&sent), lines);
                prop_assert!(received.is_ok(), "{:?}", received);
            }
            Err(wrong) => prop_assert!(received.is_err(), "{:?} is refused: {:?}", head, wrong),
        }
    }

    #[test]
    fn answers_and_trailers_are_what_would_be_taken(head in any_head(), status in 100u16..700) {
        let mut answer = ResponseHead::new(StatusCode::from_u16(status).expect("in range"));
        answer.headers = head.headers;
        let mut lines = FieldSection::new();
        let trailing = Outgoing { headers: Some(&answer.headers), ..Outgoing::whole(Cow::Owned(lines.clone())) };
        let as_trailers = taken(&trailing);
        prop_assert_eq!(trailers(&answer.headers).is_ok(), message::trailers(&as_trailers).is_ok());
        lines.push(b":status", answer.status.as_str().as_bytes());
        lines.extend(as_trailers.iter());
        let may = message::response(&lines).is_ok() && status < 600;
        prop_assert_eq!(response(&answer).is_ok(), may);
    }
}
