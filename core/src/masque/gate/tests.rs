use http::header::WWW_AUTHENTICATE;

use super::*;
use crate::head::Protocol;
use crate::masque::Rule;

fn shows(values: &[&str], credentials: &Credentials) -> bool {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(AUTHORIZATION, value.parse().expect("a value"));
    }
    credentials.are_shown(&headers)
}

/// Row C26: one field, of a scheme in any case, with one of the values, whichever.
#[test]
fn credentials_are_shown_whole_or_not() {
    let credentials = Credentials::new().bearer("one").basic("dTpw").bearer("two");
    for value in ["Bearer one", "bearer two", "BASIC dTpw", "Basic   dTpw"] {
        assert!(shows(&[value], &credentials), "{value}");
    }
    let wrong = [
        "",
        "Bearer",
        "Bearer ",
        "one",
        "Bearer on",
        "Bearer onee",
        "Bearer One",
        "Basic one",
        "Bearer dTpw",
        "Bearerone",
        "Bearer one two",
        "Bearer one,",
        "Digest one",
    ];
    for value in wrong {
        assert!(!shows(&[value], &credentials), "{value}");
    }
    assert!(!shows(&[], &credentials));
    assert!(!shows(&["Bearer one", "Bearer one"], &credentials), "twice");
    assert!(
        !shows(&["Bearer one"], &Credentials::new()),
        "nobody is let in"
    );
    assert!(!format!("{credentials:?}").contains("one"));
}

#[test]
fn each_scheme_is_asked_for_once() {
    let challenges = |credentials: Credentials| credentials.challenges().count();
    assert_eq!(challenges(Credentials::new()), 0);
    assert_eq!(challenges(Credentials::new().bearer("1").bearer("2")), 1);
    assert_eq!(challenges(Credentials::new().basic("1").bearer("2")), 2);
}

#[test]
fn what_is_compared_is_all_of_it() {
    assert!(is_same(b"", b""));
    assert!(is_same(b"abc", b"abc"));
    for other in [&b""[..], b"ab", b"abcd", b"xbc", b"abx"] {
        assert!(!is_same(b"abc", other) && !is_same(other, b"abc"));
    }
}

fn asks(protocol: Option<&'static str>, uri: &str) -> RequestHead {
    let mut head = RequestHead::new(Method::CONNECT, uri.parse().expect("an address"));
    head.protocol = protocol.map(Protocol::new);
    head
}

fn status(judged: Judged) -> u16 {
    match judged {
        Judged::Other => 0,
        Judged::Refused(refusal) => refusal.status().as_u16(),
        Judged::Asked(_) => 200,
    }
}

const UDP: &str = "https://proxy.example/.well-known/masque/udp/target.example/443/";
const TCP: &str = "https://proxy.example/.well-known/masque/tcp/target.example/443/";

/// What is not offered is the application's, as is all that is of no tunnel.
#[test]
fn what_is_no_tunnels_is_left_alone() {
    let mut gate = Gate::new(GateConfig {
        udp: None,
        classic: false,
        ..GateConfig::default()
    });
    let get = |uri: &str| RequestHead::new(Method::GET, uri.parse().expect("an address"));
    let cases = [
        (get("https://proxy.example/"), 0),
        (get(UDP), 0),
        (get(TCP), 405),
        (asks(None, "target.example:443"), 0),
        (asks(Some("webtransport"), "https://proxy.example/wt"), 0),
        (asks(Some("connect-udp"), UDP), 0),
        (asks(Some("connect-tcp"), TCP), 200),
        (asks(Some("connect-tcp-12"), TCP), 200),
        (asks(Some("connect-tcp-07"), TCP), 200),
        (asks(Some("websocket"), TCP), 501),
        (asks(Some("connect-tcp"), UDP), 404),
    ];
    for (head, expected) in cases {
        assert_eq!(status(gate.judge(&head)), expected, "{head:?}");
    }
    assert_eq!((gate.stats().asked, gate.stats().pending), (6, 3));
}

/// Rows C1, C4: the order of reasons, and that each way out gives its place back.
#[test]
fn places_are_given_back() {
    let denied: Rule = "denied.example".parse().expect("a rule");
    let mut gate = Gate::new(GateConfig {
        max_tunnels: 2,
        policy: TargetPolicy::default().deny(denied),
        ..GateConfig::default()
    });
    let (udp, classic) = (
        asks(Some("connect-udp"), UDP),
        asks(None, "target.example:443"),
    );
    let judge = |gate: &mut Gate, head| status(gate.judge(head));
    assert_eq!(judge(&mut gate, &udp), 200);
    assert_eq!(judge(&mut gate, &classic), 200);
    assert_eq!(judge(&mut gate, &udp), 503);
    let denied = asks(None, "denied.example:443");
    assert_eq!(judge(&mut gate, &denied), 403, "before it is counted");
    gate.opened();
    assert_eq!(judge(&mut gate, &udp), 503, "an open one has its place");
    for gives_back in [Gate::ended, Gate::refused, |gate: &mut Gate| {
        gate.given_up();
    }] {
        gives_back(&mut gate);
        assert_eq!(judge(&mut gate, &udp), 200);
        assert_eq!(judge(&mut gate, &udp), 503);
    }
    let stats = gate.stats();
    assert_eq!((stats.pending, stats.active), (2, 0));
    assert_eq!((stats.opened, stats.given_up), (1, 1));
    assert_eq!(stats.asked, 11);
    gate.set_draining(true);
    assert_eq!(judge(&mut gate, &denied), 503, "draining comes first");
    // Nothing is given back that was not taken.
    for _ in 0..5 {
        gate.ended();
        gate.given_up();
    }
    assert_eq!((gate.stats().pending, gate.stats().active), (0, 0));
}

/// Row C26: strangers are told how they can be known, and nothing else.
#[test]
fn strangers_learn_nothing() {
    let mut gate = Gate::new(GateConfig {
        credentials: Some(Credentials::new().bearer("secret")),
        ..GateConfig::default()
    });
    let bad = UDP.replace("443", "0");
    for uri in [UDP, TCP, &bad] {
        let Judged::Refused(refusal) = gate.judge(&asks(Some("connect-udp"), uri)) else {
            panic!("{uri}")
        };
        let head = refusal.head("proxy");
        assert_eq!(head.status, 401, "{uri}");
        assert_eq!(head.headers[WWW_AUTHENTICATE], "Bearer realm=\"proxy\"");
    }
}

/// RFC 9110 section 11.7: CONNECT asks a proxy.
#[test]
fn classic_connect_has_the_fields_of_proxies() {
    let mut gate = Gate::new(GateConfig {
        credentials: Some(Credentials::new().bearer("secret")),
        ..GateConfig::default()
    });
    let mut head = asks(None, "target.example:443");
    let Judged::Refused(refusal) = gate.judge(&head) else {
        panic!("nothing was shown")
    };
    let answer = refusal.head("proxy");
    assert_eq!(answer.status, 407);
    let asked = &answer.headers[http::header::PROXY_AUTHENTICATE];
    assert_eq!(asked, "Bearer realm=\"proxy\"");
    assert!(!answer.headers.contains_key(WWW_AUTHENTICATE));
    let secret = HeaderValue::from_static("Bearer secret");
    head.headers.insert(PROXY_AUTHORIZATION, secret.clone());
    assert_eq!(status(gate.judge(&head)), 200);
    // It is no credential for a resource.
    let mut udp = asks(Some("connect-udp"), UDP);
    udp.headers.insert(PROXY_AUTHORIZATION, secret);
    assert_eq!(status(gate.judge(&udp)), 401);
}

/// OPTIONS on the path of a tunnel: what CONNECT would come to, and nothing begins.
#[test]
fn whether_there_would_be_a_tunnel_can_be_asked() {
    let denied: Rule = "denied.example".parse().expect("a rule");
    let mut gate = Gate::new(GateConfig {
        credentials: Some(Credentials::new().bearer("secret")),
        policy: TargetPolicy::default().deny(denied),
        ..GateConfig::default()
    });
    let ask = |uri: &str, token: &'static str| {
        let mut head = RequestHead::new(Method::OPTIONS, uri.parse().expect("an address"));
        let token = HeaderValue::from_static(token);
        head.headers.insert(AUTHORIZATION, token);
        head
    };
    for uri in [UDP, TCP] {
        assert_eq!(status(gate.judge(&ask(uri, "Bearer secret"))), 0);
        assert_eq!(status(gate.judge(&ask(uri, "Bearer other"))), 401);
        let denied = uri.replace("target.", "denied.");
        assert_eq!(status(gate.judge(&ask(&denied, "Bearer secret"))), 403);
        let no_port = uri.replace("443", "0");
        assert_eq!(status(gate.judge(&ask(&no_port, "Bearer secret"))), 400);
    }
    let elsewhere = ask("https://proxy.example/", "Bearer other");
    assert_eq!(status(gate.judge(&elsewhere)), 0);
    let stats = gate.stats();
    assert_eq!(stats, GateStats::default());
    gate.set_draining(true);
    assert_eq!(status(gate.judge(&ask(UDP, "Bearer secret"))), 503);
}
