//! What a peer sends and nobody reads, and what nobody takes of it.

use std::time::Duration;

use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{Shutdown, Start};
use bytes::Bytes;

use super::talk::Talk;

/// As many datagrams as the peer likes, one in a packet, and one that waits for an answer.
#[test]
fn datagrams_that_nobody_reads_are_in_nobodys_way() {
    for size in [0, 1, 1000] {
        let mut talk = Talk::with(|options, _| options.record = false);
        for _ in 0..4_000 {
            let datagram = Bytes::from(vec![7; size]);
            let _ = talk.act(Side::Client, |access| access.send_datagram(datagram));
            talk.pair.advance(Duration::from_micros(200));
        }
        talk.pair.drive();
        let stats = talk.pair.server.endpoint.stats();
        assert_eq!(stats.closed_hoarding, 0);
        let memory = talk.end(Side::Server).info().memory();
        assert!(memory.received < memory.promised, "{memory:?}");
        let [_, theirs] = talk.stream(Side::Client, Dir::Bi);
        assert!(talk.act(Side::Server, |access| access.has_stream(theirs)));
    }
}

/// Both directions full, and then everybody gone.
#[test]
fn closing_while_all_is_blocked_leaves_nothing() {
    for (who, silent) in [
        (Side::Client, false),
        (Side::Server, false),
        (Side::Client, true),
    ] {
        let mut talk = Talk::with(|options, _| options.record = false);
        for side in [Side::Client, Side::Server] {
            for _ in 0..150 {
                let key = talk.act(side, |access| access.start(Dir::Bi, Start::new()));
                let key = key.expect("begins or waits");
                let mut chunks = [Bytes::from(vec![7; 1 << 20])];
                let _ = talk.act(side, |access| access.write(key, &mut chunks));
            }
        }
        talk.pair.drive();
        talk.pair.client.link.down = silent;
        talk.pair.server.link.down = silent;
        talk.close(who, 9, b"enough");
        talk.pair.advance(Duration::from_millis(1));
        assert!(super::talk::reason(&talk.told(who)).is_some());
        talk.pair.advance(Duration::from_secs(60));
        for side in [Side::Client, Side::Server] {
            talk.told(side);
        }
        talk.pair.advance(Duration::from_secs(5));
        assert!(talk.pair.client.endpoint.is_idle(), "{who:?} {silent}");
        assert!(talk.pair.server.endpoint.is_idle(), "{who:?} {silent}");
    }
}

/// Ten thousand streams that are abandoned as soon as they exist, both ways, to an
/// application that is never there.
#[test]
fn streams_that_are_abandoned_at_once_are_bounded_by_what_is_taken() {
    let mut talk = Talk::untaken(|options, quic| {
        options.record = false;
        quic.server.pull_events = true;
        quic.server.open_streams = 50;
    });
    for _ in 0..10_000 {
        if let Ok(key) = talk.act(Side::Client, |it| {
            it.start(Dir::Bi, Start::new().fail_blocked())
        }) {
            talk.shutdown(Side::Client, key, Shutdown::Abort(1));
        }
        talk.pair.advance(Duration::from_micros(100));
        talk.told(Side::Client);
    }
    talk.pair.drive();
    let mut events = 0;
    while talk.end(Side::Server).poll_event().is_some() {
        events += 1;
    }
    assert!((50..=50 * 7).contains(&events), "{events}");
    assert!(talk.live(Side::Server) <= 50);
}
