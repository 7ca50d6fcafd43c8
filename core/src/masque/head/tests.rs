use super::*;

const TUNNELS: [Dialect; 4] = [
    Dialect::Udp,
    Dialect::Tcp12,
    Dialect::Tcp07,
    Dialect::Classic,
];

fn asking(dialect: Dialect, target: &str) -> OpenTunnel {
    let template = "https://proxy.example/{target_host}/{target_port}/";
    let template = Template::parse(template).expect("a template");
    OpenTunnel::new(dialect, target.parse().expect("a target"), template)
}

#[test]
fn a_request_names_proxy_and_target() {
    let cases = [
        (Dialect::Udp, Some("connect-udp")),
        (Dialect::Tcp12, Some("connect-tcp")),
        (Dialect::Tcp07, Some("connect-tcp-07")),
    ];
    for (dialect, token) in cases {
        let head = asking(dialect, "[2001:db8::1]:443").head().expect("a head");
        assert_eq!(head.method, Method::CONNECT);
        assert_eq!(head.protocol.as_ref().map(Protocol::as_str), token);
        let uri = "https://proxy.example/2001%3Adb8%3A%3A1/443/";
        assert_eq!(head.uri, uri, "{dialect:?}");
        assert_eq!(head.headers[CAPSULE_PROTOCOL], "?1");
    }
    let head = asking(Dialect::Classic, "[2001:db8::1]:443").head();
    let head = head.expect("a head");
    assert_eq!(head.uri, "[2001:db8::1]:443");
    assert_eq!((head.protocol, head.headers.len()), (None, 0));
}

/// Row C26: fields of the application's go along, and none of them is the machine's.
#[test]
fn fields_go_along() {
    let name = HeaderName::from_static("authorization");
    let open = asking(Dialect::Udp, "a.example:1")
        .header(name.clone(), HeaderValue::from_static("Bearer one"))
        .header(CAPSULE_PROTOCOL, HeaderValue::from_static("?0"));
    let head = open.head().expect("a head");
    assert_eq!(head.headers[name], "Bearer one");
    let said: Vec<_> = head.headers.get_all(CAPSULE_PROTOCOL).iter().collect();
    assert_eq!(said, ["?1"]);
    // Row C26: what would break a line is no value.
    assert!(HeaderValue::from_bytes(b"Bearer one\r\nx: y").is_err());
    assert!(HeaderValue::from_bytes(b"Bearer \0").is_err());
}

/// RFC 9297 section 3.4: a Boolean, once, whatever its parameters.
#[test]
fn capsules_are_spoken_of_by_one_boolean() {
    let cases: [(&[&str], bool); 9] = [
        (&["?1"], true),
        (&["?1;a=b"], true),
        (&[" ?1 "], true),
        (&["?0"], false),
        (&["1"], false),
        (&["?1, ?1"], false),
        (&["?1", "?1"], false),
        (&["\"?1\""], false),
        (&[], false),
    ];
    for (values, expected) in cases {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CAPSULE_PROTOCOL, value.parse().expect("a value"));
        }
        assert_eq!(speaks_capsules(&headers), expected, "{values:?}");
    }
}

/// Row C25: which answers open a tunnel.
#[test]
fn answers_open_or_do_not() {
    let answer = |status: u16, field: Option<(HeaderName, &'static str)>| {
        let mut head = ResponseHead::new(status.try_into().expect("a status"));
        if let Some((name, value)) = field {
            head.headers.insert(name, HeaderValue::from_static(value));
        }
        head
    };
    for dialect in TUNNELS {
        for status in [200, 201, 203, 299] {
            assert_eq!(is_opened(dialect, &answer(status, None)), Ok(true));
        }
        for status in [300, 307, 400, 401, 407, 503] {
            let head = answer(status, Some((CONTENT_LENGTH, "0")));
            assert_eq!(is_opened(dialect, &head), Ok(false), "{status}");
        }
        for status in [204, 205, 206] {
            let fault = Err(AnswerFault::Status(status));
            assert_eq!(is_opened(dialect, &answer(status, None)), fault);
        }
        for (name, value) in [
            (CONTENT_LENGTH, "0"),
            (CONTENT_TYPE, "text/plain"),
            (TRANSFER_ENCODING, "chunked"),
        ] {
            let fault = is_opened(dialect, &answer(200, Some((name.clone(), value))));
            assert!(matches!(fault, Err(AnswerFault::Field(of)) if of == name.as_str()));
        }
        let speaks = is_opened(dialect, &answer(200, Some((CAPSULE_PROTOCOL, "?1"))));
        assert_eq!(speaks.is_ok(), dialect != Dialect::Classic);
    }
}

#[test]
fn an_answer_may_say_where_it_leads() {
    let head = opening(Dialect::Udp, "proxy.example", None);
    assert_eq!(head.status, 200);
    assert_eq!(
        (head.headers.len(), &head.headers[CAPSULE_PROTOCOL]),
        (1, &true_item())
    );
    let to = "[2001:db8::1]:443".parse().expect("an address");
    let head = opening(Dialect::Classic, "proxy.example", Some(to));
    let said = "proxy.example;next-hop=\"[2001:db8::1]:443\"";
    assert_eq!(
        (head.headers.len(), &head.headers[PROXY_STATUS]),
        (1, &said.parse().expect("a value"))
    );
    let named = |name| opening(Dialect::Udp, name, Some(to)).headers[PROXY_STATUS].clone();
    assert!(named("a proxy").as_bytes().starts_with(b"\"a proxy\";"));
    assert!(named("").as_bytes().starts_with(b"masque;"));
    assert!(named("\u{fc}").as_bytes().starts_with(b"masque;"));
    for dialect in TUNNELS {
        assert_eq!(
            is_opened(dialect, &opening(dialect, "p", Some(to))),
            Ok(true)
        );
    }
}
