//! Sessions, other extended CONNECT protocols and plain requests share one
//! connection; each stream goes to whom it belongs.

use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, Protocol, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_tests::{config, get, request, seeds};
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

/// Row B34: with WebTransport off, a CONNECT for it is the application's own.
#[test]
fn a_session_request_can_be_handled_by_hand() {
    let off = config(|c| c.webtransport.enabled = false);
    let mut peer = RawPeer::greeted(Side::Server, off, raw::WEBTRANSPORT);
    let id = peer.request(&raw::connect());
    let (stream, head) = expect_event!(
        peer, Side::Server, Event::Request { stream, head, .. } => (stream, head)
    );
    assert_eq!(head.protocol, Some(Protocol::new("webtransport")));
    let ok = ResponseHead::new(StatusCode::OK);
    peer.access()
        .respond(stream, &ok, End::More)
        .expect("an answer");
    peer.access()
        .send(stream)
        .expect("a stream")
        .write(&mut ["by hand".into()])
        .expect("room");
    peer.drive();
    assert_eq!(aqueduct_tests::content(&peer.seen(id).bytes), b"by hand");
}
