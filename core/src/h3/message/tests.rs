use super::*;
use crate::h3::outgoing;

const MALFORMED: Violation = Violation::MessageMalformed;

fn section(lines: &[(&str, &str)]) -> FieldSection {
    let mut fields = FieldSection::new();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

const GET: [(&str, &str); 4] = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/a?b"),
];

/// GET with lines taken out by name, then others added at the end.
fn get_without(drop: &[&str], add: &[(&str, &str)]) -> Checked<RequestHead> {
    let mut lines: Vec<_> = GET
        .iter()
        .filter(|(name, _)| !drop.contains(name))
        .copied()
        .collect();
    lines.extend_from_slice(add);
    request(&section(&lines), true)
}

/// RFC 9204 section 7.1.3: whichever crumb of a cookie must not be indexed.
#[test]
fn one_secret_crumb_makes_a_secret_cookie() {
    for secret in [None, Some(0), Some(1), Some(2)] {
        let mut fields = section(&GET);
        for crumb in 0..3 {
            match secret == Some(crumb) {
                true => fields.push_never_indexed(b"cookie", b"a=b"),
                false => fields.push(b"cookie", b"a=b"),
            }
        }
        let head = request(&fields, false).expect("valid");
        let cookie = &head.headers["cookie"];
        assert_eq!(cookie, "a=b; a=b; a=b");
        assert_eq!(cookie.is_sensitive(), secret.is_some(), "{secret:?}");
        let sent = outgoing::request(&head).expect("valid");
        let line = sent.iter().find(|line| line.name == b"cookie");
        assert_eq!(line.expect("sent").never_indexed, secret.is_some());
    }
}

#[test]
fn a_plain_request_becomes_a_head() {
    let head = get_without(&[], &[("accept", "*/*"), ("x", "1"), ("x", "2")]).unwrap();
    assert_eq!(head.method, Method::GET);
    assert_eq!(head.uri, "https://example.com/a?b");
    assert_eq!(
        head.headers.get_all("x").iter().collect::<Vec<_>>(),
        ["1", "2"]
    );
}

/// What it is, the pseudo-header fields left out, and what is added.
type Case = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

// Row A6: the header rules of RFC 9114 section 4.
#[test]
fn malformed_requests_are_refused() {
    let cases: &[Case] = &[
        ("no method", &[":method"], &[]),
        ("no scheme", &[":scheme"], &[]),
        ("no path", &[":path"], &[]),
        ("empty path", &[":path"], &[(":path", "")]),
        ("relative path", &[":path"], &[(":path", "a")]),
        ("asterisk with GET", &[":path"], &[(":path", "*")]),
        ("no authority and no host", &[":authority"], &[]),
        ("empty authority", &[":authority"], &[(":authority", "")]),
        (
            "userinfo",
            &[":authority"],
            &[(":authority", "me@example.com")],
        ),
        ("duplicate pseudo", &[], &[(":path", "/")]),
        ("unknown pseudo", &[], &[(":color", "red")]),
        ("response pseudo", &[], &[(":status", "200")]),
        (
            "pseudo after regular",
            &[":path"],
            &[("a", "b"), (":path", "/")],
        ),
        ("host differs", &[], &[("host", "example.org")]),
        (
            "two hosts",
            &[],
            &[("host", "example.com"), ("host", "example.com")],
        ),
        ("upper case", &[], &[("Accept", "x")]),
        ("empty name", &[], &[("", "x")]),
        ("space in name", &[], &[("a b", "x")]),
        ("colon in name", &[], &[("a:b", "x")]),
        ("line feed", &[], &[("a", "x\ny")]),
        ("carriage return", &[], &[("a", "x\r")]),
        ("nul", &[], &[("a", "\0")]),
        ("delete", &[], &[("a", "x\u{7f}")]),
        ("leading space", &[], &[("a", " x")]),
        ("trailing tab", &[], &[("a", "x\t")]),
        ("connection", &[], &[("connection", "close")]),
        ("keep-alive", &[], &[("keep-alive", "1")]),
        ("proxy-connection", &[], &[("proxy-connection", "x")]),
        (
            "transfer-encoding",
            &[],
            &[("transfer-encoding", "chunked")],
        ),
        ("upgrade", &[], &[("upgrade", "h2c")]),
        ("te gzip", &[], &[("te", "gzip")]),
        (
            "protocol without CONNECT",
            &[],
            &[(":protocol", "webtransport")],
        ),
        (
            "scheme begins with a digit",
            &[":scheme"],
            &[(":scheme", "1http")],
        ),
        ("bad method", &[":method"], &[(":method", "GE T")]),
        ("fragment", &[":path"], &[(":path", "/a#b")]),
    ];
    for (what, drop, add) in cases {
        let refused = get_without(drop, add).map_err(Violation::from);
        assert_eq!(refused.err(), Some(MALFORMED), "{what}");
    }
}

#[test]
fn unusual_requests_are_taken() {
    for (what, drop, add) in [
        (
            "host only",
            &[":authority"][..],
            &[("host", "example.com")][..],
        ),
        ("host in other case", &[], &[("host", "EXAMPLE.com")]),
        ("te trailers", &[], &[("te", "trailers")]),
        ("obs-text", &[], &[("a", "\u{e9}")]),
        ("inner tab", &[], &[("a", "x\ty")]),
        ("empty value", &[], &[("a", "")]),
        (
            "options asterisk",
            &[":method", ":path"],
            &[(":method", "OPTIONS"), (":path", "*")],
        ),
        ("ipv6", &[":authority"], &[(":authority", "[::1]:4433")]),
    ] {
        assert!(get_without(drop, add).is_ok(), "{what}");
    }
}

// Row A9: plain CONNECT has an authority and nothing else; extended CONNECT needs our word.
#[test]
fn connect_has_two_shapes() {
    let plain = |lines: &[(&str, &str)]| {
        let mut all = vec![(":method", "CONNECT")];
        all.extend_from_slice(lines);
        request(&section(&all), true)
    };
    let head = plain(&[(":authority", "example.com:443")]).unwrap();
    assert_eq!(head.uri.to_string(), "example.com:443");
    assert!(plain(&[(":authority", "example.com")]).is_err());
    assert!(plain(&[]).is_err());
    assert!(plain(&[(":authority", "example.com:443"), (":scheme", "https")]).is_err());
    assert!(plain(&[(":authority", "example.com:443"), (":path", "/")]).is_err());

    let extended = section(&[
        (":method", "CONNECT"),
        (":protocol", "webtransport"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/wt"),
    ]);
    let head = request(&extended, true).unwrap();
    assert_eq!(head.protocol, Some(Protocol::new("webtransport")));
    let refused = request(&extended, false).map_err(Violation::from);
    assert_eq!(refused.err(), Some(MALFORMED));
}

#[test]
fn cookies_are_joined_and_the_wire_order_is_kept() {
    let crumbs = [("cookie", "a=b"), ("x", "y"), ("cookie", "c=d")];
    let lines = section(&[&GET[..], &crumbs].concat());
    let head = RequestHead::from_fields(lines).unwrap();
    let cookies: Vec<_> = head.headers.get_all("cookie").iter().collect();
    assert_eq!(cookies, ["a=b; c=d"]);
    let raw: Vec<_> = head.fields.iter().skip(4).map(|field| field.name).collect();
    assert_eq!(raw, [&b"cookie"[..], b"x", b"cookie"]);
}

#[test]
fn responses_have_one_three_digit_status() {
    for good in ["100", "103", "200", "404", "599"] {
        assert!(response(&section(&[(":status", good)])).is_ok(), "{good}");
    }
    for bad in ["", "20", "2000", "101", "abc", "+20", "1.1"] {
        assert!(response(&section(&[(":status", bad)])).is_err(), "{bad}");
    }
    assert!(response(&section(&[])).is_err());
    assert!(response(&section(&[(":status", "200"), (":path", "/")])).is_err());
    assert!(response(&section(&[(":status", "200"), ("te", "trailers")])).is_err());
}

#[test]
fn trailers_have_no_pseudo_fields() {
    assert!(trailers(&section(&[("a", "b")])).is_ok());
    assert!(trailers(&section(&[(":status", "200")])).is_err());
    assert!(trailers(&section(&[(":path", "/")])).is_err());
}

// Row A7: content-length.
#[test]
fn content_length_is_one_number() {
    let of = |values: &[&str]| {
        let lines: Vec<_> = values
            .iter()
            .map(|value| ("content-length", *value))
            .collect();
        let Trailers { headers, .. } = trailers(&section(&lines)).map_err(|_| ())?;
        content_length(&headers).map_err(|_| ())
    };
    assert_eq!(of(&[]), Ok(None));
    assert_eq!(of(&["0"]), Ok(Some(0)));
    assert_eq!(of(&["12", "12"]), Ok(Some(12)));
    for bad in [
        &["-1"][..],
        &["+1"],
        &["1, 1"],
        &["a"],
        &["1", "2"],
        &["99999999999999999999"],
        &[""],
    ] {
        assert_eq!(of(bad), Err(()), "{bad:?}");
    }
}

/// RFC 9110 section 15: a status outside the classes is a server's error.
#[test]
fn a_status_beyond_the_classes_is_an_error() {
    for (status, told) in [
        ("600", 600),
        ("999", 999),
        ("099", 500),
        ("000", 500),
        ("400", 400),
    ] {
        let head = response(&section(&[(":status", status)])).expect(status);
        assert_eq!((head.status.as_u16(), head.is_error()), (told, true));
    }
    let fine = response(&section(&[(":status", "399")])).expect("a status");
    assert!(!fine.is_error());
    // No such status goes out.
    for status in [600, 999] {
        let head = ResponseHead::new(StatusCode::from_u16(status).expect("in the type's range"));
        assert_eq!(
            outgoing::response(&head).expect_err("none").field,
            ":status"
        );
        let lines = ResponseHead::from_fields(section(&[(":status", &status.to_string())]));
        assert!(outgoing::response(&lines.expect("a head")).is_err());
    }
}

/// RFC 9110 section 5.5, of pseudo-header fields too, whatever else their values follow.
#[test]
fn a_value_is_one_before_it_is_anything_else() {
    for name in [":method", ":scheme", ":authority", ":path", "a"] {
        for value in ["\u{1}", "x\u{7f}", "x\r\nb: c", " x", "x\t"] {
            let wrong = get_without(&[name], &[(name, value)]).map(|head| head.uri);
            let wrong = wrong.expect_err(value);
            assert_eq!(wrong.what, NO_VALUE, "{name} {value:?}");
        }
    }
}

/// RFC 9114 section 4.3.1: what URIs of the web have, those of other schemes need not.
#[test]
fn rules_of_the_web_are_for_the_web() {
    for (scheme, taken) in [("http", false), ("https", false), ("other", true)] {
        let drop = &[":scheme", ":authority"];
        let head = get_without(drop, &[(":scheme", scheme)]);
        assert_eq!(head.is_ok(), taken, "{scheme}");
    }
}

/// A map has no room for so many names, and need not.
#[test]
fn one_name_may_have_many_values() {
    let mut section = FieldSection::new();
    section.push(b":status", b"200");
    (0..30_000).for_each(|_| section.push(b"x", b"1"));
    let head = response(&section).expect("a head");
    assert_eq!(head.headers.len(), 30_000);
}
