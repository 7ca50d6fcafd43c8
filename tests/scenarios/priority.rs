//! Extensible priorities (RFC 9218).

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::priority::Priority;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, frame, headers, join, varint};
use aqueduct_tests::assert_closed;
use aqueduct_tests::wt::admit;
use http::StatusCode;

const CONTROL: StreamId = StreamId::new(Side::Client, Dir::Uni, 0);

fn update(id: u64, value: &str) -> Vec<u8> {
    frame(0xf0700, &join(&[&varint(id), value.as_bytes()]))
}

fn get(priority: &str) -> Vec<u8> {
    headers(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/"),
        ("priority", priority),
    ])
}

/// What the server's transport was told about the response on a stream.
fn priority(peer: &mut RawPeer, id: StreamId) -> i32 {
    peer.net
        .end(Side::Server)
        .priority(id)
        .expect("a stream that is sending")
}

/// Row A19: lower urgency numbers go first, 3 is the default, and what does not
/// parse in a field counts as absent.
#[test]
fn the_field_sets_the_urgency() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    // Within one urgency the earlier request goes first.
    let ids = ["u=0", "u=2, i", "u=3", "", "x=1", "u=8", "u=x", "u=4"];
    let ids = ids.map(|value| peer.request(&get(value)));
    let mut got: Vec<i32> = ids.map(|id| priority(&mut peer, id)).into();
    let plain = peer.request(&raw::get());
    got.push(priority(&mut peer, plain));
    let (low, default) = (got.remove(7), got.split_off(2));
    assert!(got[0] > got[1], "{got:?}");
    assert!(
        default.iter().all(|p| *p < got[1] && *p > low),
        "{default:?} between"
    );
}

/// Row A19: an update wins over the field, before and after the request.
#[test]
fn an_update_wins() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let first = peer.request(&get("u=5"));
    let before = priority(&mut peer, first);
    peer.write(CONTROL, &update(0, "u=0"));
    assert!(priority(&mut peer, first) > before);
    peer.write(CONTROL, &update(0, ""));
    assert!(
        priority(&mut peer, first) > before,
        "what is left out is the default again"
    );

    // The latest counts of those that overtake their request.
    peer.write(CONTROL, &update(4, "u=0"));
    peer.write(CONTROL, &update(4, "u=7"));
    let second = peer.request(&get("u=0"));
    assert!(priority(&mut peer, second) < before);
}

/// Cap `early_priorities`: updates for requests that may come are held, 64 of
/// them.
#[test]
fn held_updates_have_a_cap() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    for n in 0..70 {
        peer.write(CONTROL, &update(4 * n, "u=0"));
    }
    assert_eq!(peer.closed(), None, "{}", peer.story());
    let ids: Vec<_> = (0..70).map(|_| peer.request(&raw::get())).collect();
    let bound = peer.request(&get("u=1"));
    let bound = priority(&mut peer, bound);
    let urgent = ids
        .iter()
        .filter(|id| priority(&mut peer, **id) > bound)
        .count();
    assert_eq!(urgent, 64);
}

/// RFC 9218 section 7.2.
#[test]
fn updates_that_are_wrong() {
    let push = |id: u64| frame(0xf0701, &join(&[&varint(id), b"u=1"]));
    let cases = [
        (update(1, "u=1"), Code::H3_ID_ERROR),
        (update(2, "u=1"), Code::H3_ID_ERROR),
        (update(3, "u=1"), Code::H3_ID_ERROR),
        (push(0), Code::H3_ID_ERROR),
        (update(0, "u=\x01"), Code::H3_GENERAL_PROTOCOL_ERROR),
        (update(0, "???"), Code::H3_GENERAL_PROTOCOL_ERROR),
    ];
    for (bytes, code) in cases {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
        peer.write(CONTROL, &bytes);
        assert_closed(&mut peer, code, &format!("{bytes:x?}"));
    }
}

/// Row A19, end to end: of two large responses the urgent one is through first.
#[test]
fn the_urgent_response_comes_first() {
    let knobs = Knobs {
        max_chunk: 1_000,
        ..Knobs::default()
    };
    let mut pair = LoopbackPair::connected(knobs);
    let mut keys = Vec::new();
    for value in ["u=6", "u=1"] {
        let mut head = aqueduct_tests::get();
        head.headers
            .insert("priority", value.parse().expect("a value"));
        keys.push(aqueduct_tests::request(&mut pair, &head));
    }
    for (_, server) in &keys {
        let ok = ResponseHead::new(StatusCode::OK);
        pair.server()
            .respond(*server, &ok, End::More)
            .expect("an answer");
        pair.write_all(Side::Server, *server, vec![7; 60_000])
            .expect("room");
        pair.server()
            .send(*server)
            .expect("a stream")
            .finish()
            .expect("an end");
    }
    let mut done = Vec::new();
    let mut got = [0usize; 2];
    let mut out = [const { bytes::Bytes::new() }; 4];
    while done.len() < 2 {
        assert!(pair.step(), "{}", pair.story());
        for (n, (client, _)) in keys.iter().enumerate() {
            let mut access = pair.client();
            let Ok(mut recv) = access.recv(*client) else {
                continue;
            };
            if let Ok(read) = recv.read(usize::MAX, &mut out) {
                got[n] += read.bytes;
                if read.state == aqueduct_core::transport::ReadState::Finished {
                    done.push(n);
                }
            }
        }
    }
    assert_eq!(done, [1, 0], "{got:?}");
}

/// Row A19: our client announces a priority, our server can overrule it.
#[test]
fn ours() {
    let mut peer = RawPeer::greeted(Side::Client, Config::default(), &[]);
    let stream = peer
        .access()
        .request(&aqueduct_tests::get(), End::More)
        .expect("a request");
    let urgent = Priority::new(0, true);
    peer.access()
        .set_priority(stream, urgent)
        .expect("a request");
    peer.drive();
    let (_, control) = peer.uni_of_type(0).expect("a control stream");
    let sent = aqueduct_tests::frames(&control.bytes[1..]);
    assert_eq!(sent.last(), Some(&(0xf0700, b"\0u=0, i".to_vec())));

    let mut peer = RawPeer::greeted(Side::Server, Config::default(), &[]);
    let id = peer.request(&get("u=7"));
    let stream = expect_event!(peer, Side::Server, Event::Request { stream, .. } => stream);
    let before = priority(&mut peer, id);
    peer.access()
        .set_priority(stream, urgent)
        .expect("a request");
    assert!(priority(&mut peer, id) > before);
}

/// A session's streams have the urgency of its CONNECT request, and an order of
/// their own within it.
#[test]
fn streams_of_sessions() {
    let streams = ["u=1", "u=5"].map(|value| {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
        let connect = headers(&[
            (":method", "CONNECT"),
            (":protocol", "webtransport"),
            (":scheme", "https"),
            (":authority", "example.com"),
            (":path", "/wt"),
            ("priority", value),
        ]);
        let (_, session) = admit(&mut peer, &connect);
        let mut open = |order| {
            let mut access = peer.access();
            let stream = access
                .webtransport(session)
                .open_stream(Dir::Uni)
                .expect("a stream");
            access.send(stream).expect("a stream").set_send_order(order);
            priority(&mut peer, stream.id())
        };
        [open(5), open(0), open(i32::MIN)]
    });
    let sorted = streams.as_flattened().is_sorted_by(|a, b| a > b);
    assert!(sorted, "{streams:?}");
}
