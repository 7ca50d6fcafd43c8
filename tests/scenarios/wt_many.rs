//! Many sessions on one connection.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_tests::config;

/// Row B12, cap `sessions`: a thousand sessions echo datagrams, each its own.
#[test]
fn a_thousand_sessions_echo() {
    let many = || {
        config(|c: &mut Config| {
            c.limits.sessions = 1_000;
            c.limits.open_requests = 1_000;
        })
    };
    let knobs = Knobs {
        bi_streams: 1_001,
        ..Knobs::default()
    };
    let mut pair = LoopbackPair::new(many(), many(), knobs);
    pair.connect();
    let sessions: Vec<_> = (0..1_000)
        .map(|_| pair.session("https://example.com/wt"))
        .collect();
    for round in 0..2u8 {
        for (n, (client, _)) in sessions.iter().enumerate() {
            let text = format!("{round} {n}");
            pair.client()
                .send_datagram(*client, text.as_bytes())
                .expect("room");
        }
        for event in pair.events(Side::Server) {
            let Event::WebTransport(key, SessionEvent::Datagrams) = event else {
                continue;
            };
            while let Some(datagram) = pair.server().recv_datagram(key) {
                pair.server().send_datagram(key, &datagram).expect("room");
            }
        }
        pair.drive();
        for (n, (client, _)) in sessions.iter().enumerate() {
            let echo = pair.client().recv_datagram(*client).expect("an echo");
            assert_eq!(echo, format!("{round} {n}"));
            assert_eq!(pair.client().recv_datagram(*client), None);
        }
    }
    let one_more = pair.client().open_session(&aqueduct_tests::wt::there());
    assert!(one_more.is_err(), "{one_more:?}");
    for (client, server) in sessions {
        pair.client()
            .webtransport(client)
            .close(0, "")
            .expect("closes");
        pair.drive();
        assert!(pair.server().webtransport(server).stats().is_none());
    }
    let (conn, _) = pair.connection(Side::Server);
    assert!(conn.live_streams() < 10, "{}", conn.live_streams());
}
