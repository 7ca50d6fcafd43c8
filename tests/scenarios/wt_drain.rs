//! Draining is advice: what runs goes on.

use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::error::RequestError;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, SessionKey, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, data, frame};
use aqueduct_core::webtransport::{OpenStreamError, SessionEvent};
use aqueduct_tests::wt::there;
use aqueduct_tests::{config, content, seeds};

use super::wt_streams::{opened, server};

fn drained(events: &[Event], session: SessionKey) -> usize {
    let told = |e: &&Event| matches!(e, Event::WebTransport(key, SessionEvent::Draining) if *key == session);
    events.iter().filter(told).count()
}

/// Row B20: everything still works, in both directions, until it ends.
#[test]
fn what_runs_goes_on() {
    for seed in seeds(60) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let (client, server) = pair.session("https://example.com/wt");
        let old = pair
            .client()
            .webtransport(client)
            .open_stream(Dir::Bi)
            .expect("a stream");
        let old_there = opened(&mut pair, Side::Server);
        pair.server()
            .webtransport(server)
            .drain()
            .expect("a session");
        pair.server()
            .webtransport(server)
            .drain()
            .expect("repeating is harmless");
        assert_eq!(
            drained(&pair.events(Side::Client), client),
            1,
            "SEED={seed}"
        );

        assert_eq!(
            pair.transfer(Side::Client, old, old_there, b"old"),
            b"old",
            "SEED={seed}"
        );
        for (from, key) in [(Side::Client, client), (Side::Server, server)] {
            let new = pair
                .access(from)
                .webtransport(key)
                .open_stream(Dir::Uni)
                .expect("a stream");
            let there = opened(&mut pair, from.peer());
            assert_eq!(
                pair.transfer(from, new, there, b"new"),
                b"new",
                "SEED={seed}"
            );
            pair.access(from).send_datagram(key, b"d").expect("room");
        }
        pair.drive();
        assert!(pair.client().recv_datagram(client).is_some(), "SEED={seed}");
        pair.client()
            .webtransport(client)
            .close(3, "")
            .expect("closes");
        expect_event!(pair, Side::Server, Event::WebTransport(_, SessionEvent::Closed(_)) => ());
    }
}

/// Row B20: what the peer winds down is told, and stands in the statistics.
#[test]
fn by_the_peer() {
    let (mut peer, id) = server();
    let session = peer.session.expect("a session");
    for draining in [false, true] {
        let mut access = peer.access();
        let stats = access.webtransport(session).stats();
        assert_eq!(stats.expect("a session").draining, draining);
        peer.write(id, &data(&frame(0x78ae, &[])));
    }
    assert_eq!(drained(&peer.events(), session), 1);
}

/// Row B20: the capsule, and that repeating it tells nothing new.
#[test]
fn on_the_wire() {
    let (mut peer, id) = server();
    let session = peer.session.expect("a session");
    peer.access()
        .webtransport(session)
        .drain()
        .expect("a session");
    peer.drive();
    let capsules = content(&peer.seen(id).bytes);
    assert!(
        capsules.ends_with(&[0x80, 0x00, 0x78, 0xae, 0x00]),
        "{capsules:x?}"
    );
    peer.events();
    for _ in 0..3 {
        peer.write(id, &data(&frame(0x78ae, &[])));
    }
    assert_eq!(drained(&peer.events(), session), 1);
    assert!(
        peer.access()
            .webtransport(session)
            .stats()
            .expect("a session")
            .draining
    );
}

/// Row B20: a policy can refuse new streams of our own.
#[test]
fn strict_draining() {
    let strict = config(|c| c.webtransport.strict_draining = true);
    let mut pair = LoopbackPair::new(strict, Config::default(), Knobs::default());
    pair.connect();
    let (client, server) = pair.session("https://example.com/wt");
    pair.server()
        .webtransport(server)
        .drain()
        .expect("a session");
    pair.drive();
    assert_eq!(
        pair.client().webtransport(client).open_stream(Dir::Bi),
        Err(OpenStreamError::SessionDraining)
    );
    let theirs = pair
        .server()
        .webtransport(server)
        .open_stream(Dir::Uni)
        .expect("the peer may");
    let there = opened(&mut pair, Side::Client);
    assert_eq!(pair.transfer(Side::Server, theirs, there, b"x"), b"x");
    assert_eq!(pair.client().send_datagram(client, b"d"), Ok(()));
}

/// Row B20: GOAWAY asks each session to wind down, and the last to end is the
/// end of the connection.
#[test]
fn a_connection_that_drains() {
    for seed in seeds(60) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let sessions = [1, 2].map(|_| pair.session("https://example.com/wt"));
        let until = pair.now() + Duration::from_secs(600);
        pair.server().drain(until);
        let events = pair.events(Side::Client);
        for (client, _) in sessions {
            assert_eq!(drained(&events, client), 1, "SEED={seed}");
        }
        let request = "https://example.com/wt".parse().expect("an address");
        let request = aqueduct_core::webtransport::ConnectRequest::new(request);
        assert_eq!(
            pair.client().open_session(&request),
            Err(RequestError::Draining.into())
        );
        for (client, _) in sessions {
            assert!(!pair.connection(Side::Server).0.is_closed(), "SEED={seed}");
            pair.client()
                .webtransport(client)
                .open_stream(Dir::Uni)
                .expect("still opens streams");
            pair.client()
                .webtransport(client)
                .close(0, "")
                .expect("closes");
            pair.drive();
        }
        pair.advance(Duration::from_secs(5));
        expect_event!(pair, Side::Server, Event::Closed(_) => ());
        expect_event!(pair, Side::Client, Event::Closed(_) => ());
    }
}

/// Row B20: a policy can end a drained session with its last stream.
#[test]
fn the_last_stream_ends_it() {
    let ending = config(|c| c.webtransport.end_drained_sessions = true);
    let mut pair = LoopbackPair::new(Config::default(), ending, Knobs::default());
    pair.connect();
    let (client, server) = pair.session("https://example.com/wt");
    let streams = [1, 2].map(|_| {
        let here = pair
            .client()
            .webtransport(client)
            .open_stream(Dir::Uni)
            .expect("a stream");
        (here, opened(&mut pair, Side::Server))
    });
    pair.server()
        .webtransport(server)
        .drain()
        .expect("a session");
    for (here, there) in streams {
        assert!(pair.server().webtransport(server).stats().is_some());
        pair.transfer(Side::Client, here, there, b"x");
    }
    expect_event!(
        pair, Side::Client, Event::WebTransport(key, SessionEvent::Closed(_)) if key == client => ()
    );
    assert!(!pair.connection(Side::Client).0.is_closed());
}

/// Row B20: the capsule and GOAWAY in either order, or before the answer, are one
/// event for each session.
#[test]
fn capsule_and_goaway_are_one_event() {
    let goaway = frame(0x07, &[0x08]);
    for order in ["capsule first", "GOAWAY first", "GOAWAY before the answer"] {
        let mut peer = RawPeer::new(Side::Client, Config::default());
        let control = peer.control(&raw::settings(raw::WEBTRANSPORT));
        let session = peer.access().open_session(&there()).expect("asks");
        peer.drive();
        let id = session.id();
        if order == "GOAWAY before the answer" {
            peer.write(control, &goaway);
        }
        peer.write(id, &raw::status(200));
        if order == "GOAWAY first" {
            peer.write(control, &goaway);
        }
        peer.write(id, &data(&frame(0x78ae, &[])));
        if order == "capsule first" {
            peer.write(control, &goaway);
        }
        let events = peer.events();
        assert_eq!(drained(&events, session), 1, "{order}");
        let established =
            |e: &Event| matches!(e, Event::WebTransport(_, SessionEvent::Established(_)));
        let draining = |e: &Event| matches!(e, Event::WebTransport(_, SessionEvent::Draining));
        assert!(events.iter().position(established) < events.iter().position(draining));
        assert_eq!(
            peer.access().open_session(&there()),
            Err(RequestError::Draining.into())
        );
        peer.access()
            .webtransport(session)
            .open_stream(Dir::Uni)
            .expect("goes on");
    }
}
