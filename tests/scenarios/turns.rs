//! Limit `work`: what a connection does in one turn is bounded, and the rest is due at
//! once, so that others have their turn between.

use aqueduct_core::event::Event;
use aqueduct_core::id::Side;
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::raw::{self, RawPeer, data, frame};
use aqueduct_core::time::Why;
use aqueduct_tests::{config, wt};

const WORK: u32 = 10;

fn server() -> RawPeer {
    let config = config(|c| c.limits.work = WORK);
    RawPeer::greeted_over(
        Side::Server,
        config,
        Loopback::new(Knobs::default()),
        raw::WEBTRANSPORT,
    )
}

/// What a connection had to be called for again.
fn more_turns(peer: &mut RawPeer) -> u64 {
    peer.access().stats().turns_cut_short
}

#[test]
fn frames_of_a_request_take_turns() {
    let mut peer = server();
    let id = peer.request(&raw::get());
    let before = more_turns(&mut peer);
    peer.write(id, &frame(0x21, b"").repeat(10 * WORK as usize));
    let turns = more_turns(&mut peer) - before;
    assert_eq!(turns, 10);
    assert_eq!(peer.access().stats().unknown_frames, 100, "all were seen");
}

/// Instructions come in pieces of at most 1,024 bytes.
#[test]
fn instructions_take_turns() {
    let mut peer = server();
    let id = peer.uni(&[0x02]);
    let before = more_turns(&mut peer);
    peer.write(id, &[0x20; 10 * 1_024]);
    let turns = more_turns(&mut peer) - before;
    assert_eq!(turns, 10);
    assert_eq!(peer.closed(), None);
}

#[test]
fn capsules_take_turns_and_none_is_lost() {
    let mut peer = server();
    let (id, key) = wt::admit(&mut peer, &raw::connect());
    let before = more_turns(&mut peer);
    let capsules: Vec<u8> = (0..100).flat_map(|n| frame(0x00, &[n])).collect();
    peer.write(id, &data(&capsules));
    let turns = more_turns(&mut peer) - before;
    assert_eq!(turns, 12);
    let taken = std::iter::from_fn(|| peer.access().recv_datagram(key.stream()));
    let taken: Vec<u8> = taken.map(|payload| payload[0]).collect();
    assert_eq!(taken, (0..100).collect::<Vec<u8>>(), "in order");
}

/// The rest is due at the very time of the turn, and is told as work.
#[test]
fn the_rest_is_due_at_once() {
    let mut peer = server();
    peer.going_on = false;
    let id = peer.request(&raw::get());
    peer.advance(std::time::Duration::from_secs(1));
    peer.write(id, &frame(0x21, b"").repeat(2 * WORK as usize));
    let due = peer.connection().poll_timeout().expect("a deadline");
    assert_eq!((due.at, due.why), (peer.now(), Why::Work));
    let seen = peer.access().stats().unknown_frames;
    assert_eq!(seen, u64::from(WORK));
    peer.advance(std::time::Duration::ZERO);
    assert!(peer.access().stats().unknown_frames > seen);
}

/// Streams that the peer opens are work, whatever comes on them: none is left out.
#[test]
fn streams_take_turns() {
    let config = config(|c| c.limits.work = WORK);
    let mut peer =
        RawPeer::greeted_over(Side::Server, config, Loopback::new(Knobs::default()), &[]);
    peer.going_on = false;
    for _ in 0..8 {
        peer.request(&raw::get());
    }
    let asked = |peer: &mut RawPeer| {
        let events = peer.events().into_iter();
        events
            .filter(|event| matches!(event, Event::Request { .. }))
            .count()
    };
    let at_first = asked(&mut peer);
    assert!(at_first < 3, "{at_first}");
    peer.going_on = true;
    assert_eq!(at_first + asked(&mut peer), 8);
}

/// A head that is too large is work as well: as many fields as are allowed.
#[test]
fn heads_that_are_too_large_take_turns() {
    let many = raw::headers(&[("a", ""); 60]);
    // Whether two of them are dealt with in one turn.
    let is_enough = |work, fields| {
        let config = config(|c| (c.limits.work, c.limits.fields) = (work, fields));
        let mut peer =
            RawPeer::greeted_over(Side::Server, config, Loopback::new(Knobs::default()), &[]);
        peer.advance(std::time::Duration::from_secs(1));
        peer.going_on = false;
        peer.request(&many);
        peer.request(&many);
        peer.access().stats().sections_too_large == 2
    };
    let least = |fields| (1..200).find(|work| is_enough(*work, fields));
    let (few, more) = (least(10).expect("enough"), least(50).expect("enough"));
    assert_eq!(more - few, 40);
}
