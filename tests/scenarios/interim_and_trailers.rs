//! Interim responses, the final one, content, trailers: in this order.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::{InvalidHead, SendError};
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, frame, headers, join};
use aqueduct_tests::{assert_closed, bidi, get, request, seeds};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

/// Row A8, on unpleasant networks, in both directions.
#[test]
fn all_parts_of_a_message_arrive() {
    for seed in seeds(100) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let mut head = get();
        head.method = Method::POST;
        let client = pair.client().request(&head, End::More).expect("a request");
        pair.write_all(Side::Client, client, "question")
            .expect("content");
        let mut trailers = HeaderMap::new();
        trailers.append("x-sum", HeaderValue::from_static("1"));
        trailers.append("x-sum", HeaderValue::from_static("2"));
        pair.client().trailers(client, &trailers).expect("trailers");

        let server = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
        assert_eq!(
            pair.read_to_end(Side::Server, server),
            Ok(b"question".to_vec()),
            "SEED={seed}"
        );
        let got = expect_event!(
            pair, Side::Server, Event::Trailers { stream, trailers } if stream == server => trailers
        );
        assert_eq!(got.headers, trailers, "SEED={seed}");

        for status in [100, 103, 103] {
            let head = ResponseHead::new(StatusCode::from_u16(status).expect("a status"));
            pair.server()
                .respond(server, &head, End::More)
                .expect("an interim response");
        }
        let head = ResponseHead::new(StatusCode::OK);
        pair.server()
            .respond(server, &head, End::More)
            .expect("the final response");
        pair.write_all(Side::Server, server, "answer")
            .expect("content");
        pair.server().trailers(server, &trailers).expect("trailers");
        assert_eq!(
            pair.read_to_end(Side::Client, client),
            Ok(b"answer".to_vec()),
            "SEED={seed}"
        );
        let order: Vec<u16> = pair
            .events(Side::Client)
            .iter()
            .filter_map(|event| match event {
                Event::Interim { head, .. } | Event::Response { head, .. } => {
                    Some(head.status.as_u16())
                }
                Event::Trailers { trailers, .. } => {
                    assert_eq!(trailers.headers.get_all("x-sum").iter().count(), 2);
                    Some(0)
                }
                _ => None,
            })
            .collect();
        assert_eq!(order, [100, 103, 103, 200, 0], "SEED={seed}");
    }
}

/// Row A8: what our side refuses to send.
#[test]
fn our_own_messages_keep_the_order() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (_, server) = request(&mut pair, &get());
    let ok = ResponseHead::new(StatusCode::OK);
    let trailers = HeaderMap::new();
    assert_eq!(
        pair.server().trailers(server, &trailers),
        Err(SendError::WrongState)
    );
    let upgrade = ResponseHead::new(StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(
        pair.server().respond(server, &upgrade, End::More),
        Err(SendError::InvalidHead(InvalidHead::new(
            ":status",
            "is 101, and there is no upgrade"
        )))
    );
    assert_eq!(pair.server().respond(server, &ok, End::More), Ok(()));
    assert_eq!(
        pair.server().respond(server, &ok, End::More),
        Err(SendError::WrongState)
    );
    assert_eq!(pair.server().trailers(server, &trailers), Ok(()));
    assert!(pair.server().trailers(server, &trailers).is_err());
}

/// Row A8, RFC 9114 section 4.4: a tunnel carries DATA and has no trailers.
#[test]
fn tunnels_have_no_trailers() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let mut head = get();
    head.method = Method::CONNECT;
    head.uri = "example.com:443".parse().expect("an authority");
    let client = pair.client().request(&head, End::More).expect("a tunnel");
    let server = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
    let ok = ResponseHead::new(StatusCode::OK);
    pair.server()
        .respond(server, &ok, End::More)
        .expect("an answer");
    expect_event!(pair, Side::Client, Event::Response { .. } => ());
    let trailers = HeaderMap::new();
    assert_eq!(
        pair.client().trailers(client, &trailers),
        Err(SendError::WrongState)
    );
    assert_eq!(
        pair.server().trailers(server, &trailers),
        Err(SendError::WrongState)
    );
    assert_eq!(pair.transfer(Side::Client, client, server, b"up"), b"up");
    assert_eq!(
        pair.transfer(Side::Server, server, client, b"down"),
        b"down"
    );

    for wrong in [headers(&[("x", "y")]), frame(0x05, &[0, 0, 0])] {
        let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
        peer.access().request(&head, End::More).expect("a tunnel");
        peer.drive();
        peer.write(bidi(0), &join(&[&raw::status(200), &wrong]));
        assert_closed(
            &mut peer,
            Code::H3_FRAME_UNEXPECTED,
            "only DATA in a tunnel",
        );
    }
}
