//! Time is an argument: late, early and repeated calls do no harm.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::time::Why;
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};

/// Row A2: one deadline, whose reason is told, and none when nothing waits.
#[test]
fn the_earliest_is_told() {
    let mut config = Config::default();
    config.limits.idle_timeout = Duration::MAX;
    let mut peer = RawPeer::greeted(Side::Server, config, raw::WEBTRANSPORT);
    assert_eq!(peer.connection().poll_timeout(), None);
    let now = peer.now();
    peer.request(&[]);
    peer.uni(&[0x40, 0x54, 0x00]);
    let early = peer.connection().poll_timeout().expect("a deadline");
    assert_eq!(
        (early.at, early.why),
        (now + Duration::from_secs(5), Why::EarlyArrivals)
    );
    peer.request(&raw::get());
    peer.access().drain(now + Duration::from_secs(2));
    let drain = peer.connection().poll_timeout().expect("a deadline");
    assert_eq!(
        (drain.at, drain.why),
        (now + Duration::from_secs(2), Why::Drain)
    );
}

/// Row A2: what is due is done once, however late and often it is asked for.
#[test]
fn late_and_repeated_calls() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    peer.request(&[]);
    let early = peer.uni(&[0x40, 0x54, 0x00]);
    for _ in 0..3 {
        peer.advance(Duration::ZERO);
        assert_eq!(peer.seen(early).stop, None);
    }
    for _ in 0..3 {
        peer.advance(Duration::from_secs(3_600));
        assert_eq!(
            peer.seen(early).stop,
            Some(Code::WT_BUFFERED_STREAM_REJECTED)
        );
    }
    assert_eq!(peer.access().stats().early_streams_rejected, 1);
    assert_eq!(peer.connection().poll_timeout(), None);
}

/// A limit without an end is one: no clock goes as far, and nothing fails for it.
#[test]
fn limits_may_be_endless() {
    let mut config = Config::default();
    config.limits.early_timeout = Duration::MAX;
    config.limits.close_timeout = Duration::MAX;
    config.limits.head_timeout = Duration::MAX;
    config.limits.section_timeout = Duration::MAX;
    config.limits.progress_window = Duration::MAX;
    config.limits.connect_timeout = Duration::MAX;
    config.limits.idle_timeout = Duration::MAX;
    let mut peer = RawPeer::greeted(Side::Server, config, raw::WEBTRANSPORT);
    let connect = peer.request(&[]);
    let early = peer.uni(&[0x40, 0x54, 0x00]);
    peer.advance(Duration::from_secs(86_400));
    assert_eq!(peer.seen(early).stop, None);
    peer.write(connect, &raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let mut access = peer.access();
    access
        .webtransport(session)
        .accept(&ConnectAnswer::default())
        .expect("asked for");
    access.webtransport(session).close(0, "").expect("open");
    peer.advance(Duration::from_secs(86_400));
    assert_eq!(peer.seen(connect).reset, None);
}

/// Row A2: nothing is due on a connection that is idle, or closed.
#[test]
fn nothing_is_due_when_nothing_waits() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    pair.session("https://example.com/wt");
    // Acknowledgments of field sections wait for something to go with.
    pair.advance(Duration::from_millis(10));
    assert_eq!(pair.next_timeout(), None);
    pair.advance(Duration::from_secs(1_000_000));
    assert!(pair.events(Side::Client).is_empty());
    let until = pair.now() + Duration::from_secs(9);
    pair.client().drain(until);
    assert_eq!(pair.next_timeout(), Some(until));
    pair.client().close(Code::H3_NO_ERROR, "");
    pair.drive();
    assert_eq!(pair.next_timeout(), None);
}
