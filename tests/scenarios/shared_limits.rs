//! Limits on what all requests and sessions of a connection hold together, and what is
//! given back when they end.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::id::{Side, StreamId};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_tests::config;

/// A head of so many bytes, by the measure of RFC 9114 §4.2.2.
fn head(size: usize) -> Vec<u8> {
    let fixed = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
    ];
    let size_of = |(name, value): &(&str, &str)| name.len() + value.len() + 32;
    let rest: usize = fixed.iter().map(size_of).sum();
    let filler = "x".repeat(size - rest - 33);
    raw::headers(&[&fixed[..], &[("a", &filler)]].concat())
}

/// Limit `head_bytes`: what fits is asked about, what does not may be sent again.
#[test]
fn heads_of_all_requests() {
    let limits = config(|c| c.limits.head_bytes = 3_000);
    let mut peer = RawPeer::greeted(Side::Server, limits, &[]);
    let rejected =
        |peer: &RawPeer, id: StreamId| peer.seen(id).reset == Some(Code::H3_REQUEST_REJECTED);
    let (first, second) = (peer.request(&head(1_000)), peer.request(&head(2_000)));
    let third = peer.request(&head(300));
    assert_eq!(
        [first, second, third].map(|id| rejected(&peer, id)),
        [false, false, true]
    );
    assert_eq!(peer.access().stats().requests_rejected, 1);
    let asked = |event| match event {
        Event::Request { stream, .. } => Some(stream),
        _ => None,
    };
    let told: Vec<_> = peer.events().into_iter().filter_map(asked).collect();
    assert_eq!(told.len(), 2);

    // One ends, and there is room again.
    peer.reset(first, Code::H3_REQUEST_CANCELLED);
    peer.stop(first, Code::H3_REQUEST_CANCELLED);
    let mut access = peer.access();
    let mut recv = access.recv(told[0]).expect("a request");
    recv.read(1, &mut [bytes::Bytes::new()])
        .expect_err("a reset");
    peer.drive();
    let (fourth, fifth) = (peer.request(&head(1_000)), peer.request(&head(300)));
    assert_eq!([fourth, fifth].map(|id| rejected(&peer, id)), [false, true]);
}

/// Limit `head_bytes`, to the byte: of heads, and of sections that have not all come.
#[test]
fn the_last_byte_of_heads() {
    let (whole, half) = (head(2_000), head(1_000));
    // Their frames are a type, two bytes of length, and the section.
    let declared = whole.len() - 3 + half.len() - 3;
    for (first, second, most) in [
        (&whole[..], &half[..], 3_000),
        (&whole[..100], &half[..100], declared),
    ] {
        for (most, rejected) in [(most, false), (most - 1, true)] {
            let limits = config(|c| c.limits.head_bytes = most);
            let mut peer = RawPeer::greeted(Side::Server, limits, &[]);
            peer.request(first);
            let second = peer.request(second);
            let reset = peer.seen(second).reset;
            assert_eq!(
                reset,
                rejected.then_some(Code::H3_REQUEST_REJECTED),
                "{most}"
            );
            let counted = peer.access().stats().requests_rejected;
            assert_eq!(counted, u64::from(rejected), "{most}");
        }
    }
}

/// Limit `head_bytes`: what is kept of a section before it is decoded counts by its
/// declared length, whether it comes slowly or waits for insertions.
#[test]
fn sections_under_way() {
    let whole = head(2_000);
    // An insertion is required that has not come.
    let blocked = raw::frame(0x01, &[&[0x02, 0x00, 0x80][..], &[0x80; 1_900]].concat());
    for kept in [&whole[..1_000], &blocked] {
        let limits = config(|c| c.limits.head_bytes = 3_000);
        let mut peer = RawPeer::greeted(Side::Server, limits, &[]);
        let rejected =
            |peer: &RawPeer, id: StreamId| peer.seen(id).reset == Some(Code::H3_REQUEST_REJECTED);
        let first = peer.request(kept);
        let (second, third) = (peer.request(&whole[..1_000]), peer.request(&head(2_000)));
        assert_eq!(
            [first, second, third].map(|id| rejected(&peer, id)),
            [false, true, true]
        );
        let (_, decoder) = peer.uni_of_type(3).expect("a decoder stream");
        assert_eq!(
            decoder.bytes,
            [0x03, 0x44, 0x48],
            "those are not waited for"
        );
        // What is given up makes room.
        peer.reset(first, Code::H3_REQUEST_CANCELLED);
        let fourth = peer.request(&head(2_000));
        assert!(!rejected(&peer, fourth));
        assert_eq!(peer.closed(), None);
    }
}

/// Limit `head_bytes`: a section that has been decoded counts as decoded, once.
#[test]
fn a_section_that_came_in_parts_counts_once() {
    let limits = config(|c| c.limits.head_bytes = 3_000);
    let mut peer = RawPeer::greeted(Side::Server, limits, &[]);
    let whole = head(2_000);
    let id = peer.request(&whole[..1_000]);
    peer.write(id, &whole[1_000..]);
    let fits = peer.request(&head(1_000));
    for id in [id, fits] {
        assert_eq!(peer.seen(id).reset, None);
    }
}

/// Limit `all_datagram_bytes`: the rings of all sessions together.
#[test]
fn datagrams_of_all_sessions() {
    let mut pair = {
        let server = config(|c| c.limits.all_datagram_bytes = 10 * (100 + 64));
        LoopbackPair::new(Config::default(), server, Knobs::default())
    };
    pair.connect();
    let [one, two] = [0, 1].map(|_| pair.session("https://example.com/wt"));
    let send = |pair: &mut LoopbackPair, session, count| {
        for n in 0..count {
            pair.client()
                .send_datagram(session, &[n; 100])
                .expect("room");
            pair.drive();
        }
    };
    let taken = |pair: &mut LoopbackPair, session| -> Vec<u8> {
        let taken = std::iter::from_fn(|| pair.server().recv_datagram(session));
        taken.map(|payload| payload[0]).collect()
    };
    send(&mut pair, one.0, 6);
    send(&mut pair, two.0, 5);
    // The oldest of whoever got one too many went.
    assert_eq!(pair.server().stats().datagrams_overflowed, 1);
    assert_eq!(taken(&mut pair, two.1), [1, 2, 3, 4]);
    // What is taken makes room, and so does a session that ends.
    send(&mut pair, two.0, 4);
    assert_eq!(pair.server().stats().datagrams_overflowed, 1);
    pair.client()
        .webtransport(one.0)
        .close(0, "")
        .expect("open");
    pair.drive();
    send(&mut pair, two.0, 6);
    assert_eq!(pair.server().stats().datagrams_overflowed, 1);
    assert_eq!(taken(&mut pair, two.1).len(), 10);
}

/// Limit `all_datagram_bytes`, to the byte.
#[test]
fn the_last_byte_of_datagrams() {
    for (most, dropped) in [(10 * (100 + 64), 0), (10 * (100 + 64) - 1, 1)] {
        let server = config(|c| c.limits.all_datagram_bytes = most);
        let mut pair = LoopbackPair::new(Config::default(), server, Knobs::default());
        pair.connect();
        let (session, _) = pair.session("https://example.com/wt");
        for _ in 0..10 {
            let mut client = pair.client();
            client.send_datagram(session, &[7; 100]).expect("room");
            pair.drive();
        }
        assert_eq!(pair.server().stats().datagrams_overflowed, dropped);
    }
}

/// Limit `head_bytes`: the head of a request that is over counts for as long as the
/// application works on it.
#[test]
fn the_head_of_what_is_held() {
    let limits = config(|c| c.limits.head_bytes = 3_000);
    let mut peer = RawPeer::greeted(Side::Server, limits, &[]);
    let first = peer.request(&head(2_000));
    let stream = aqueduct_core::expect_event!(
        peer, Side::Server, Event::Request { stream, .. } => stream
    );
    peer.access().hold(stream);
    peer.reset(first, Code::H3_REQUEST_CANCELLED);
    peer.stop(first, Code::H3_REQUEST_CANCELLED);
    let mut access = peer.access();
    let mut recv = access.recv(stream).expect("a request");
    recv.read(1, &mut [bytes::Bytes::new()])
        .expect_err("a reset");
    peer.drive();
    for (releases, reset) in [(false, Some(Code::H3_REQUEST_REJECTED)), (true, None)] {
        if releases {
            peer.access().release(stream);
        }
        let next = peer.request(&head(2_000));
        assert_eq!(peer.seen(next).reset, reset, "{releases}");
    }
}
