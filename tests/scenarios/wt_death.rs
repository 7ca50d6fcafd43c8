//! What is left when things fail: nothing.

use aqueduct_core::code::Code;
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::webtransport::{ConnectRequest, SessionClose, SessionEvent};
use aqueduct_tests::seeds;
use http::StatusCode;

/// Row B36: each session ends once, with the transport's reason, before the
/// connection does.
#[test]
fn the_connection_dies() {
    for seed in seeds(60) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let sessions = [1, 2].map(|_| pair.session("https://example.com/wt"));
        for (client, server) in sessions {
            pair.client()
                .webtransport(client)
                .open_stream(Dir::Bi)
                .expect("a stream");
            pair.server()
                .webtransport(server)
                .open_stream(Dir::Uni)
                .expect("a stream");
        }
        for _ in 0..seed % 7 {
            pair.step();
        }
        pair.events(Side::Client);
        pair.events(Side::Server);
        let failure = TransportFailure::TimedOut;
        pair.fail(&failure);
        let reason = CloseReason::Transport(failure);
        for side in [Side::Client, Side::Server] {
            let events = pair.events(side);
            let mut ends = events.iter().filter_map(|event| match event {
                Event::WebTransport(key, SessionEvent::Closed(close)) => {
                    Some((*key, (**close).clone()))
                }
                _ => None,
            });
            let expected = SessionClose::Connection(reason.clone());
            for (client, server) in sessions {
                let key = if side == Side::Client { client } else { server };
                assert_eq!(ends.next(), Some((key, expected.clone())), "SEED={seed}");
                assert!(
                    pair.access(side).webtransport(key).stats().is_none(),
                    "SEED={seed}"
                );
            }
            assert_eq!(ends.next(), None, "SEED={seed}");
            assert!(
                matches!(events.last(), Some(Event::Closed(r)) if **r == reason),
                "SEED={seed}"
            );
        }
    }
}

/// Row B36: a session that never was leaves nothing behind, on either side.
#[test]
fn a_rejected_session() {
    for seed in seeds(60) {
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        pair.drive();
        let before = [Side::Client, Side::Server].map(|side| pair.net.end(side).live_streams());
        for status in [StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS] {
            let request =
                ConnectRequest::new("https://example.com/wt".parse().expect("an address"));
            let client = pair.client().open_session(&request).expect("asks");
            let server = expect_event!(
                pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
            );
            pair.server()
                .webtransport(server)
                .reject(status)
                .expect("rejects");
            let told = expect_event!(
                pair, Side::Client,
                Event::WebTransport(key, SessionEvent::Rejected { status, .. }) if key == client => status
            );
            assert_eq!(told, status, "SEED={seed}");
            assert!(
                pair.client().webtransport(client).stats().is_none(),
                "SEED={seed}"
            );
            assert!(
                pair.server().webtransport(server).stats().is_none(),
                "SEED={seed}"
            );
            pair.drive();
        }
        let after = [Side::Client, Side::Server].map(|side| pair.net.end(side).live_streams());
        assert_eq!(after, before, "SEED={seed}");
        for side in [Side::Client, Side::Server] {
            let ends = pair.events(side);
            let ends = ends
                .iter()
                .filter(|e| matches!(e, Event::WebTransport(_, SessionEvent::Closed(_))));
            assert_eq!(
                ends.count(),
                0,
                "a rejected session was never open, SEED={seed}"
            );
        }
    }
}

/// Row B36: a session asked for and not answered ends with the connection.
#[test]
fn a_pending_session() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let request = ConnectRequest::new("https://example.com/wt".parse().expect("an address"));
    let client = pair.client().open_session(&request).expect("asks");
    pair.drive();
    pair.server().close(Code::H3_INTERNAL_ERROR, "broken");
    let end = expect_event!(
        pair, Side::Client, Event::WebTransport(key, SessionEvent::Closed(end)) if key == client => end
    );
    assert!(
        matches!(*end, SessionClose::Connection(CloseReason::Remote { .. })),
        "{end:?}"
    );
}
