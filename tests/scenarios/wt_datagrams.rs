//! Datagrams of sessions.

use aqueduct_core::error::DatagramError;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_tests::{config, seeds};

use super::wt_streams::{server, server_with};

/// Row B12: each session gets its own, in both directions, over any network: all that
/// was not lost on the way.
#[test]
fn they_never_cross() {
    for seed in seeds(60) {
        let knobs = Knobs {
            datagram_loss: (seed % 60) as u8,
            ..Knobs::adversarial(seed)
        };
        let mut pair = LoopbackPair::connected(knobs);
        let sessions = [1, 2, 3].map(|_| pair.session("https://example.com/wt"));
        for n in 0..30u8 {
            let (client, server) = sessions[usize::from(n % 3)];
            pair.client().send_datagram(client, &[n]).expect("room");
            pair.server().send_datagram(server, &[n]).expect("room");
            pair.step();
        }
        pair.drive();
        for side in [Side::Client, Side::Server] {
            let mut got = Vec::new();
            for (m, (client, server)) in sessions.into_iter().enumerate() {
                let key = [client, server][side as usize];
                while let Some(datagram) = pair.access(side).recv_datagram(key) {
                    assert_eq!(usize::from(datagram[0] % 3), m, "SEED={seed}");
                    got.push(datagram[0]);
                }
            }
            let lost = pair.net.end(side.peer()).datagrams_lost();
            assert_eq!(got.len() + lost, 30, "SEED={seed}");
            got.sort_unstable();
            got.dedup();
            assert_eq!(got.len() + lost, 30, "none twice, SEED={seed}");
        }
        assert_eq!(pair.client().stats().datagrams_sent, 30, "SEED={seed}");
    }
}

/// Told once until drained.
#[test]
fn the_event_is_a_hint() {
    let (mut peer, _) = server();
    let session = peer.session.expect("a session");
    let told = |peer: &mut super::wt_streams::Scripted| {
        let events = peer.events();
        let hints = events
            .iter()
            .filter(|e| matches!(e, Event::WebTransport(_, SessionEvent::Datagrams)));
        hints.count()
    };
    peer.events();
    peer.datagram(b"\0one");
    peer.datagram(b"\0two");
    assert_eq!(told(&mut peer), 1);
    assert!(peer.access().recv_datagram(session).is_some());
    assert!(peer.access().recv_datagram(session).is_some());
    assert_eq!(peer.access().recv_datagram(session), None);
    peer.datagram(b"\0three");
    assert_eq!(told(&mut peer), 1);
}

/// Cap `datagrams`: the oldest are dropped, and counted.
#[test]
fn the_ring_has_a_length() {
    let (mut peer, _) = server();
    let session = peer.session.expect("a session");
    for n in 0..1004u32 {
        let bytes = [&[0][..], &n.to_be_bytes()].concat();
        peer.datagram(&bytes);
    }
    let first = peer.access().recv_datagram(session).expect("a datagram");
    assert_eq!(&first[..], 4u32.to_be_bytes());
    let rest = std::iter::from_fn(|| peer.access().recv_datagram(session)).count();
    assert_eq!(rest, 999);
    assert_eq!(peer.access().stats().datagrams_overflowed, 4);
    let stats = peer
        .access()
        .webtransport(session)
        .stats()
        .expect("a session");
    assert_eq!(
        (stats.datagrams_overflowed, stats.datagrams_received),
        (4, 1000)
    );
}

/// Cap `datagram_bytes`.
#[test]
fn the_ring_has_a_size() {
    for (most, first) in [(5_000, 3), (4_999, 4)] {
        let (mut peer, _) = server_with(config(|c| c.limits.datagram_bytes = most));
        let session = peer.session.expect("a session");
        for n in 0..8u8 {
            peer.datagram(&[&[0, n][..], &[7; 999]].concat());
        }
        let held: Vec<_> = std::iter::from_fn(|| peer.access().recv_datagram(session))
            .map(|d| d[0])
            .collect();
        assert_eq!(held, (first..8).collect::<Vec<_>>(), "{most}");
        let dropped = peer.access().stats().datagrams_overflowed;
        assert_eq!(dropped, u64::from(first), "{most}");
    }
}

/// Row B12: sizes, and a full send buffer.
#[test]
fn refusals() {
    let knobs = Knobs {
        datagram_queue: 1,
        path_datagram_size: 1_000,
        ..Knobs::default()
    };
    let mut pair = LoopbackPair::connected(knobs);
    let (session, _) = pair.session("https://example.com/wt");
    let max = pair.client().max_datagram_size(session).expect("datagrams");
    assert_eq!(max, 999);
    let mut send = |len| pair.client().send_datagram(session, &vec![1; len]);
    assert_eq!(send(70_000), Err(DatagramError::TooLarge));
    assert_eq!(send(max + 1), Err(DatagramError::TooLargeForPath));
    assert_eq!(send(max), Ok(()));
    assert_eq!(send(max), Err(DatagramError::Blocked));
    expect_event!(
        pair, Side::Client,
        Event::WebTransport(key, SessionEvent::DatagramsUnblocked) if key == session => ()
    );
    pair.client()
        .webtransport(session)
        .close(0, "")
        .expect("closes");
    assert_eq!(
        pair.client().send_datagram(session, b"x"),
        Err(DatagramError::Gone)
    );
    assert_eq!(pair.client().recv_datagram(session), None);
    assert_eq!(pair.client().max_datagram_size(session), None);
}
