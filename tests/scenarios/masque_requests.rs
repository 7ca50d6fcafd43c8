//! How a proxy judges requests for tunnels, and what its clients hear.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, Protocol, RequestHead};
use aqueduct_core::id::Side;
use aqueduct_core::masque::{
    AnswerTunnelError, Credentials, Dialect, Refusal, Rule, TargetPolicy, TunnelClose, TunnelEvent,
    TunnelsConfig, proxy_error, refusal_in_words,
};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_tests::config;
use aqueduct_tests::tunnels::{TunnelPair, asking};
use http::{Method, StatusCode, header};

const PATH: &str = "/.well-known/masque/udp/target.example/443/";

fn request(method: Method, protocol: Option<&'static str>, path: &str) -> RequestHead {
    let uri = format!("https://proxy.example{path}");
    let mut head = RequestHead::new(method, uri.parse().expect("an address"));
    head.protocol = protocol.map(Protocol::new);
    head
}

/// The answer that a request gets: status, and error of Proxy-Status.
fn answer(pair: &mut TunnelPair, head: &RequestHead) -> (u16, Option<String>) {
    let sent = pair.pair.client().request(head, End::More);
    let stream = sent.expect("a request is sent");
    let heads = pair.others(Side::Client).into_iter();
    let mut heads = heads.filter_map(|event| match event {
        Event::Response { stream: of, head } if of == stream => Some(head),
        _ => None,
    });
    let Some(head) = heads.next() else {
        panic!("no answer; {}", pair.story());
    };
    (head.status.as_u16(), proxy_error(&head.headers))
}

/// Row C1: each thing that can be wrong has its status and its word, and is answered.
#[test]
fn every_wrong_request_has_its_answer() {
    let connect = Method::CONNECT;
    let udp = Some("connect-udp");
    let base = "/.well-known/masque/udp";
    let cases = [
        (Method::GET, None, PATH.to_owned(), 405),
        (connect.clone(), Some("connect-ip"), PATH.to_owned(), 501),
        (connect.clone(), udp, "/elsewhere/a/1/".to_owned(), 404),
        (
            connect.clone(),
            udp,
            format!("{base}/target.example/443"),
            404,
        ),
        (
            connect.clone(),
            udp,
            format!("{base}/target.example/0/"),
            400,
        ),
        (
            connect.clone(),
            udp,
            format!("{base}/target.example/65536/"),
            400,
        ),
        (connect.clone(), udp, format!("{base}/a%20b/443/"), 400),
        (connect.clone(), udp, format!("{base}/127.1/443/"), 400),
    ];
    let mut pair = TunnelPair::connected(Knobs::default());
    for (method, protocol, path, status) in cases {
        let told = answer(&mut pair, &request(method, protocol, &path));
        let error = Some("http_request_error".to_owned());
        assert_eq!(told, (status, error), "{path}");
    }
    let private = format!("{base}/127.0.0.1/443/");
    let told = answer(&mut pair, &request(connect, udp, &private));
    assert_eq!(told, (403, Some("destination_ip_prohibited".to_owned())));
    let (gate, _) = pair.tunnels(Side::Server).all_stats();
    assert_eq!((gate.asked, gate.refused, gate.pending), (9, 9, 0));
    assert_eq!(
        pair.others(Side::Server),
        [],
        "the application is not troubled"
    );
}

/// Row C1: draining, then who asks, then what for, then to where, then how many.
#[test]
fn the_first_reason_is_told() {
    let wrong = request(Method::CONNECT, Some("connect-udp"), "/elsewhere/");
    let denied = request(Method::CONNECT, Some("connect-udp"), PATH);
    let mut pair = TunnelPair::serving(|config| {
        config.gate.credentials = Some(Credentials::new().bearer("secret"));
        config.gate.max_tunnels = 0;
        let rule: Rule = "target.example".parse().expect("a rule");
        config.gate.policy = TargetPolicy::default().deny(rule);
    });
    let show = |mut head: RequestHead| {
        let value = "Bearer secret".parse().expect("a value");
        head.headers.insert(header::AUTHORIZATION, value);
        head
    };
    pair.with(Side::Server, |tunnels, _, _| tunnels.set_draining(true));
    assert_eq!(answer(&mut pair, &wrong).0, 503);
    pair.with(Side::Server, |tunnels, _, _| tunnels.set_draining(false));
    assert_eq!(answer(&mut pair, &wrong).0, 401);
    assert_eq!(answer(&mut pair, &denied).0, 401);
    assert_eq!(answer(&mut pair, &show(wrong)).0, 404);
    assert_eq!(answer(&mut pair, &show(denied.clone())).0, 403);
    let other = denied.uri.to_string().replace("target.", "other.");
    let mut other = RequestHead::new(Method::CONNECT, other.parse().expect("an address"));
    other.protocol = denied.protocol;
    assert_eq!(answer(&mut pair, &show(other)).0, 503);
}

/// Row C1: whatever the application says, the client hears status and word, and the
/// tunnel is over on both sides.
#[test]
fn refusals_reach_the_client() {
    let cases = [
        (
            Refusal::ResolutionFailed { rcode: None },
            "502 Bad Gateway (dns_error)",
        ),
        (
            Refusal::ResolutionTimeout,
            "504 Gateway Timeout (dns_timeout)",
        ),
        (Refusal::Refused, "502 Bad Gateway (connection_refused)"),
        (
            Refusal::Unroutable,
            "502 Bad Gateway (destination_ip_unroutable)",
        ),
        (
            Refusal::Unavailable,
            "503 Service Unavailable (destination_unavailable)",
        ),
        (
            Refusal::ConnectTimeout,
            "504 Gateway Timeout (connection_timeout)",
        ),
        (
            Refusal::LoopDetected,
            "508 Loop Detected (proxy_loop_detected)",
        ),
        (
            Refusal::Internal,
            "500 Internal Server Error (proxy_internal_error)",
        ),
        (Refusal::Other(StatusCode::OK), "502 Bad Gateway"),
    ];
    for dialect in [
        Dialect::Udp,
        Dialect::Tcp12,
        Dialect::Tcp07,
        Dialect::Classic,
    ] {
        let mut pair = TunnelPair::connected(Knobs::default());
        for (refusal, words) in &cases {
            let (client, server) = pair.ask(dialect);
            let refused = pair.with(Side::Server, |tunnels, access, now| {
                tunnels.refuse(access, now, server, refusal)
            });
            assert_eq!(refused, Ok(()));
            assert_eq!(refusal_in_words(&pair.refused(client)), *words);
            assert_eq!(pair.told(Side::Server, server), [], "who refuses knows");
        }
        for side in [Side::Client, Side::Server] {
            assert!(pair.tunnels(side).is_empty(), "{}", pair.story());
            assert_eq!(pair.others(side), [], "{dialect:?}");
        }
        assert_eq!(pair.pair.server().open_requests(), 0);
        assert_eq!(
            pair.pair.client().live_streams(),
            pair.pair.server().live_streams()
        );
    }
}

/// Row C26: who is not known is challenged, and asks again.
#[test]
fn a_challenge_is_met() {
    let mut pair = TunnelPair::serving(|config| {
        let credentials = Credentials::new().bearer("secret").basic("dTpw");
        config.gate.credentials = Some(credentials);
    });
    let refused = {
        let client = pair.open(&asking(Dialect::Udp));
        pair.refused(client)
    };
    assert_eq!(refused.status, 401);
    let challenges: Vec<_> = refused
        .headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .collect();
    assert_eq!(
        challenges,
        [
            "Bearer realm=\"proxy\"",
            "Basic realm=\"proxy\", charset=\"UTF-8\""
        ]
    );
    for (value, enough) in [
        ("Bearer wrong", false),
        ("basic dTpw", true),
        ("Bearer secret", true),
    ] {
        let value = value.parse().expect("a value");
        let open = asking(Dialect::Udp).header(header::AUTHORIZATION, value);
        let client = pair.open(&open);
        match pair.requested() {
            Some((server, request)) => {
                assert!(enough);
                assert!(request.headers.contains_key(header::AUTHORIZATION));
                pair.accept(server);
                let told = pair.told(Side::Client, client);
                assert!(matches!(told[..], [TunnelEvent::Opened(_)]), "{told:?}");
            }
            None => assert_eq!(
                (pair.refused(client).status, enough),
                (StatusCode::UNAUTHORIZED, false)
            ),
        }
    }
}

/// RFC 8470: what came as early data is not acted upon, and may be asked again.
#[test]
fn early_data_opens_nothing() {
    let mut pair = TunnelPair::connected(Knobs::default());
    pair.early = true;
    let client = pair.open(&asking(Dialect::Tcp12));
    assert_eq!(pair.refused(client).status, 425);
    let (gate, _) = pair.tunnels(Side::Server).all_stats();
    assert_eq!((gate.refused, gate.pending, gate.active), (1, 0, 0));
    pair.early = false;
    pair.tunnel(Dialect::Tcp12);
}

/// Row C1: always answered: a client that takes small heads alone is told the status
/// without the word, and one that takes none has its stream reset.
#[test]
fn small_heads_are_answered_too() {
    for (size, expected) in [(64, Some(502)), (40, None)] {
        let small = config(|config| config.limits.field_section = size);
        let mut pair = LoopbackPair::new(small, Config::default(), Knobs::default());
        pair.connect();
        let mut pair = TunnelPair::over(pair, TunnelsConfig::default(), TunnelsConfig::default());
        let (client, server) = pair.ask(Dialect::Udp);
        let refused = pair.with(Side::Server, |tunnels, access, now| {
            tunnels.refuse(access, now, server, &Refusal::Refused)
        });
        assert_eq!(refused, Ok(()));
        match (pair.told(Side::Client, client).pop(), expected) {
            (Some(TunnelEvent::Refused(head)), Some(status)) => assert_eq!(head.status, status),
            (Some(TunnelEvent::Closed(TunnelClose::Reset(code))), None) => {
                assert_eq!(code, Code::H3_REQUEST_REJECTED);
            }
            other => panic!("{other:?}"),
        }
        // The same of the answer that opens a tunnel, which has no smaller form.
        let (client, server) = pair.ask(Dialect::Udp);
        let accepted = pair.with(Side::Server, |tunnels, access, now| {
            let next_hop = "[2001:db8::1]:443".parse().ok();
            tunnels.accept(access, now, server, next_hop)
        });
        assert_eq!(accepted, Err(AnswerTunnelError::Gone));
        let reset = TunnelClose::Reset(Code::H3_REQUEST_CANCELLED);
        assert_eq!(pair.closed(Side::Client, client), reset);
        assert_eq!(pair.closed(Side::Server, server), reset);
        assert!(pair.tunnels(Side::Server).is_empty());
        let (gate, _) = pair.tunnels(Side::Server).all_stats();
        assert_eq!((gate.refused, gate.given_up, gate.pending), (1, 1, 0));
    }
}
