//! Sessions, other extended CONNECT protocols and plain requests share one
//! connection; each stream goes to whom it belongs.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, Protocol, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::{fields_on, get, request, seeds};
use http::{Method, StatusCode};

/// Rows A14, B4, B34.
#[test]
fn three_kinds_on_one_connection() {
    for seed in seeds(60) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let (session, there) = pair.session("https://example.com/wt");
        let mut head = get();
        head.method = Method::CONNECT;
        head.protocol = Some(Protocol::new("connect-udp"));
        let tunnel = pair.client().request(&head, End::More).expect("a tunnel");
        let (tunnel_there, head) = expect_event!(
            pair, Side::Server, Event::Request { stream, head, .. } => (stream, head)
        );
        assert_eq!(
            head.protocol,
            Some(Protocol::new("connect-udp")),
            "SEED={seed}"
        );
        let ok = ResponseHead::new(StatusCode::OK);
        pair.server()
            .respond(tunnel_there, &ok, End::More)
            .expect("an answer");
        let (plain, plain_there) = request(&mut pair, &get());
        pair.server()
            .respond(plain_there, &ok, End::More)
            .expect("an answer");

        let uni = pair
            .client()
            .webtransport(session)
            .open_stream(Dir::Uni)
            .expect("a stream");
        let opened = {
            pair.write_all(Side::Client, uni, "s").expect("room");
            expect_event!(
                pair, Side::Server,
                Event::WebTransport(key, SessionEvent::Opened { stream, .. }) if key == there => stream
            )
        };
        assert_eq!(
            pair.transfer(Side::Client, uni, opened, b"ession"),
            b"session"
        );
        assert_eq!(
            pair.transfer(Side::Client, tunnel, tunnel_there, b"tunnel"),
            b"tunnel"
        );
        assert_eq!(
            pair.transfer(Side::Server, plain_there, plain, b"answer"),
            b"answer"
        );
    }
}

/// Row B34: the handler of requests accepts the session too, by the path it is asked for,
/// and answers what is beside it.
#[test]
fn one_handler_answers_requests_and_accepts_sessions() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    let (session, plain) = (peer.request(&raw::connect()), peer.request(&raw::get()));
    for event in peer.events() {
        let (mut access, ok) = (peer.access(), ResponseHead::new(StatusCode::OK));
        match event {
            Event::WebTransport(key, SessionEvent::Requested(request)) => {
                let answer = ConnectAnswer::new();
                match request.uri.path() {
                    "/wt" => access.webtransport(key).accept(&answer).expect("accepts"),
                    _ => access
                        .webtransport(key)
                        .reject(StatusCode::NOT_FOUND)
                        .expect("rejects"),
                }
            }
            Event::Request { stream, .. } => {
                access.respond(stream, &ok, End::Fin).expect("an answer");
            }
            _ => {}
        }
    }
    peer.drive();
    for (id, ended) in [(session, false), (plain, true)] {
        assert!(fields_on(&peer, id, 0).starts_with(":status: 200"), "{id}");
        assert_eq!(peer.seen(id).fin, ended, "{id}");
    }
}
