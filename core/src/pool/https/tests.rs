//! Records as RFC 9460 appendix D has them, and others.

use super::*;

/// RDATA in AliasMode or ServiceMode: priority, labels, parameters.
fn rdata(priority: u16, labels: &[&str], params: &[(u16, &[u8])]) -> Vec<u8> {
    let mut out = priority.to_be_bytes().to_vec();
    for label in labels {
        out.push(label.len() as u8);
        out.extend(label.bytes());
    }
    out.push(0);
    for (key, value) in params {
        out.extend(key.to_be_bytes());
        out.extend((value.len() as u16).to_be_bytes());
        out.extend(*value);
    }
    out
}

fn parse(priority: u16, params: &[(u16, &[u8])]) -> Result<HttpsRecord, HttpsRecordError> {
    HttpsRecord::parse(&rdata(priority, &["foo", "example", "com"], params))
}

/// Appendix D.1 and D.2, byte by byte.
#[test]
fn the_vectors_of_the_rfc() {
    let name = b"\x03foo\x07example\x03com\x00";
    let with = |head: &[u8], tail: &[u8]| {
        HttpsRecord::parse(&[head, name, tail].concat()).expect("a record")
    };
    let alias = with(b"\x00\x00", b"");
    assert!(alias.is_alias() && !alias.is_h3());
    assert_eq!(alias.target.as_deref(), Some("foo.example.com"));

    let root = HttpsRecord::parse(b"\x00\x01\x00").expect("a record");
    assert_eq!((root.priority, root.target), (1, None));
    assert_eq!(root.alpn, [Box::from(*b"http/1.1")]);

    let port = with(b"\x00\x10", b"\x00\x03\x00\x02\x00\x35");
    assert_eq!((port.priority, port.port), (16, Some(53)));

    let unknown = with(b"\x00\x01", b"\x02\x9b\x00\x05hello");
    assert!(!unknown.incompatible);

    let hints = with(
        b"\x00\x01",
        b"\x00\x06\x00\x20\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\
          \x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x53\x00\x01",
    );
    let expected = ["2001:db8::1", "2001:db8::53:1"];
    let expected = expected.map(|hint| hint.parse::<IpAddr>().expect("one"));
    assert_eq!(hints.hints, expected);

    let mandatory = with(
        b"\x00\x10",
        b"\x00\x00\x00\x04\x00\x01\x00\x04\x00\x01\x00\x09\x02h2\x05h3-19\
          \x00\x04\x00\x04\xc0\x00\x02\x01",
    );
    assert!(!mandatory.incompatible && !mandatory.is_h3());
    assert_eq!(mandatory.alpn.len(), 3, "h2, h3-19, http/1.1");
    assert_eq!(
        mandatory.hints,
        ["192.0.2.1".parse::<IpAddr>().expect("one")]
    );
}

/// Row D18: which records speak for HTTP/3.
#[test]
fn what_is_usable_for_http_3() {
    const H3: &[u8] = b"\x02h2\x02h3";
    for (params, usable) in [
        (&[(1, H3)][..], true),
        (&[(1, H3), (2, b"")], true),
        (&[(0, b"\0\x01"), (1, H3)], true),
        (&[(1, b"\x02h2")], false),
        (&[], false),
        // Encrypted ClientHello is offered, which is fine, or insisted on, which is not.
        (&[(1, H3), (5, b"x")], true),
        (&[(0, b"\0\x05"), (1, H3), (5, b"x")], false),
        (&[(0, b"\xff\x01"), (1, H3), (0xff01, b"")], false),
        (&[(1, H3), (3, b"\0\0")], false),
    ] {
        let record = parse(1, params).expect("a record");
        assert_eq!(record.is_h3(), usable, "{record:?}");
    }
    let hints = |key, one: &[u8]| parse(1, &[(key, &one.repeat(40))]).map(|r| r.hints.len());
    assert_eq!(hints(4, &[192, 0, 2, 1]), Ok(MAX_HINTS));
    assert_eq!(hints(6, &[0x20; 16]), Ok(MAX_HINTS));
}

/// Section 2.2 and appendix D.3.
#[test]
fn what_is_malformed() {
    for (params, error) in [
        (
            &[(123, &b"abc"[..]), (123, b"def")][..],
            HttpsRecordError::Order(123),
        ),
        (
            &[(3, b"\0\x01"), (1, b"\x02h3")],
            HttpsRecordError::Order(1),
        ),
        (&[(0, b"\0\x7b")], HttpsRecordError::Mandatory(123)),
        (&[(0, b"\0\0")], HttpsRecordError::Mandatory(0)),
        (
            &[(0, b"\0\x03\0\x03"), (3, b"\0\x01")],
            HttpsRecordError::Mandatory(3),
        ),
        (
            &[(0, b"\0\x03\0\x01"), (1, b"\x01a"), (3, b"\0\x01")],
            HttpsRecordError::Mandatory(1),
        ),
        (&[(0, b"")], HttpsRecordError::Value(0)),
        (&[(0, b"\0")], HttpsRecordError::Value(0)),
        (&[(1, b"")], HttpsRecordError::Value(1)),
        (&[(1, b"\0")], HttpsRecordError::Value(1)),
        (&[(1, b"\x03h3")], HttpsRecordError::Value(1)),
        (&[(1, b"\x02h3"), (2, b"x")], HttpsRecordError::Value(2)),
        (&[(2, b"")], HttpsRecordError::NoProtocol),
        (&[(3, b"\x01")], HttpsRecordError::Value(3)),
        (&[(3, b"\0\x01\0")], HttpsRecordError::Value(3)),
        (&[(4, b"")], HttpsRecordError::Value(4)),
        (&[(4, b"\xc0\0\x02")], HttpsRecordError::Value(4)),
        (&[(6, b"")], HttpsRecordError::Value(6)),
        (&[(6, &[0; 17])], HttpsRecordError::Value(6)),
    ] {
        assert_eq!(parse(1, params), Err(error), "{params:?}");
        let alias = parse(0, params);
        assert_eq!(
            alias.is_ok(),
            !matches!(error, HttpsRecordError::Order(_)),
            "{params:?}"
        );
    }
}

#[test]
fn names_are_bounded_and_whole() {
    let whole = rdata(1, &["foo", "example"], &[(1, b"\x02h3"), (3, b"\0\x01")]);
    for len in 0..whole.len() {
        let cut = HttpsRecord::parse(&whole[..len]);
        // Between two parameters nothing is missing.
        let short = cut == Err(HttpsRecordError::Short) || cut.is_ok();
        assert!(short, "{len}: {cut:?}");
    }
    let long = "a".repeat(63);
    let fits = rdata(1, &[&long, &long, &long, &long[..61]], &[]);
    assert_eq!(fits.len() - 2, 255);
    assert!(HttpsRecord::parse(&fits).is_ok());
    let upper = rdata(1, &["FOO", "_x-1"], &[]);
    let upper = HttpsRecord::parse(&upper).expect("a record");
    assert_eq!(upper.target.as_deref(), Some("foo._x-1"));
    for labels in [
        &[long.as_str(), &long, &long, &long[..62]][..],
        &["a.b"],
        &["a b"],
        &["\u{e4}"],
    ] {
        let found = HttpsRecord::parse(&rdata(1, labels, &[]));
        assert_eq!(found, Err(HttpsRecordError::Target), "{labels:?}");
    }
    // Compression is a length above 63.
    assert_eq!(
        HttpsRecord::parse(b"\0\x01\xc0\x0c"),
        Err(HttpsRecordError::Target)
    );
}
