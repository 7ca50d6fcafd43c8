//! Application error codes: 32 bits for the application, a range of HTTP/3 codes
//! on the wire.

use aqueduct_core::code::{self, Code};
use aqueduct_core::error::{PeerCode, ReadError, ResetError, WriteError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Rng};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::RawPeer;
use aqueduct_tests::{get, seeds, stream_events};
use bytes::Bytes;

use super::wt_streams::{opened, server};

/// The published examples: application code and wire code.
const PAIRS: &[(u32, u64)] = &[
    (0, 0x52e4_a40f_a8db),
    (0x1c, 0x52e4_a40f_a8f7),
    (0x1d, 0x52e4_a40f_a8f8),
    (0x1e, 0x52e4_a40f_a8fa),
    (0x3b, 0x52e4_a40f_a917),
    (0x3c, 0x52e4_a40f_a919),
    (0xff, 0x52e4_a40f_a9e2),
    (0x100, 0x52e4_a40f_a9e3),
    (0xffff, 0x52e4_a410_b162),
    (0x7fff_ffff, 0x52e5_2853_ed1e),
    (u32::MAX, 0x52e5_ac98_3162),
];

/// Row B13: what we send.
#[test]
fn ours_on_the_wire() {
    for (app, wire) in PAIRS {
        let (mut peer, _) = server();
        let session = peer.session.expect("a session");
        let stream = peer
            .access()
            .webtransport(session)
            .open_stream(Dir::Bi)
            .expect("a stream");
        peer.drive();
        let code = u64::from(*app);
        peer.access()
            .send(stream)
            .expect("a stream")
            .reset(code)
            .expect("a code");
        peer.access()
            .recv(stream)
            .expect("a stream")
            .stop(code)
            .expect("a code");
        peer.drive();
        let seen = peer.seen(stream.id());
        assert_eq!(seen.reset, Some(Code::new(*wire)), "{app:x}");
        assert_eq!(seen.stop, Some(Code::new(*wire)), "{app:x}");
    }
}

/// Row B13: what the peer sends, inside and outside the range.
#[test]
fn theirs_for_the_application() {
    let outside = [
        0x52e4_a40f_a8f9,
        0x52e4_a40f_a918,
        0x52e4_a40f_a8da,
        0x52e5_ac98_3163,
        0x10c,
        0x3994_bd84,
        0x170d_7b68,
    ];
    let none = outside.iter().map(|wire| (None, *wire));
    for (app, wire) in PAIRS
        .iter()
        .map(|(app, wire)| (Some(*app), *wire))
        .chain(none)
    {
        let (mut peer, _) = server();
        let session = peer.session.expect("a session");
        let stream = peer
            .access()
            .webtransport(session)
            .open_stream(Dir::Bi)
            .expect("a stream");
        peer.drive();
        peer.reset(stream.id(), Code::new(wire));
        let expected = PeerCode::webtransport(wire);
        assert_eq!(expected.app, app, "{wire:x}");
        expect_event!(
            peer, Side::Server, Event::Stream(key, StreamEvent::Readable) if key == stream => ()
        );
        assert_eq!(reset(&mut peer, stream), expected);
        peer.stop(stream.id(), Code::new(wire));
        let stopped = StreamEvent::Stopped(expected);
        expect_event!(
            peer, Side::Server, Event::Stream(key, event) if key == stream && event == stopped => ()
        );
    }
}

/// The code a read gives.
#[track_caller]
fn reset(peer: &mut RawPeer, stream: StreamKey) -> PeerCode {
    let mut out = [const { Bytes::new() }; 2];
    match peer.access().recv(stream).map(|mut r| r.read(9, &mut out)) {
        Ok(Err(ReadError::Reset(code))) => code,
        other => panic!("{other:?}"),
    }
}

/// Rows B13, B14: any code, end to end; repeating it changes nothing.
#[test]
fn end_to_end() {
    for seed in seeds(100) {
        let mut rng = Rng::new(seed);
        let (app, stop) = (rng.bits() as u32, rng.bits() as u32);
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let (session, _) = pair.session("https://example.com/wt");
        let here = pair
            .client()
            .webtransport(session)
            .open_stream(Dir::Bi)
            .expect("a stream");
        pair.write_all(Side::Client, here, "x").expect("room");
        let there = opened(&mut pair, Side::Server);
        pair.client()
            .send(here)
            .expect("a stream")
            .reset(app.into())
            .expect("a code");
        if let Ok(mut send) = pair.client().send(here) {
            let again = send.reset(1);
            assert!(
                matches!(again, Ok(()) | Err(ResetError::Gone)),
                "SEED={seed}"
            );
        }
        pair.client()
            .recv(here)
            .expect("a stream")
            .stop(stop.into())
            .expect("a code");
        let stopped: Vec<_> = stream_events(&pair.events(Side::Server), there)
            .into_iter()
            .filter_map(|event| match event {
                StreamEvent::Stopped(code) => Some(code.app),
                _ => None,
            })
            .collect();
        assert_eq!(stopped, [Some(stop)], "SEED={seed}");
        let mut all = Vec::new();
        match pair.read_some(Side::Server, there, &mut all) {
            Err(ReadError::Reset(code)) => assert_eq!(code.app, Some(app), "SEED={seed}"),
            other => panic!("{other:?} SEED={seed}"),
        }
        pair.drive();
        assert_eq!(
            pair.net.end(Side::Client).live_streams(),
            pair.net.end(Side::Server).live_streams()
        );
    }
}

/// Reads and writes fail with the peer's code.
#[test]
fn calls_fail_with_the_code() {
    let (mut peer, _) = server();
    let session = peer.session.expect("a session");
    let stream = peer
        .access()
        .webtransport(session)
        .open_stream(Dir::Bi)
        .expect("a stream");
    peer.drive();
    let wire = PAIRS[3].1;
    peer.stop(stream.id(), Code::new(wire));
    let code = PeerCode::webtransport(wire);
    let write = peer
        .access()
        .send(stream)
        .map(|mut s| s.write(&mut ["x".into()]));
    assert_eq!(write, Ok(Err(WriteError::Stopped(code))));
    peer.reset(stream.id(), Code::new(wire));
    assert_eq!(reset(&mut peer, stream), code);
}

/// Row B13: codes that do not fit.
#[test]
fn codes_out_of_range() {
    let (mut peer, _) = server();
    let session = peer.session.expect("a session");
    let stream = peer
        .access()
        .webtransport(session)
        .open_stream(Dir::Bi)
        .expect("a stream");
    let too_large = peer.access().send(stream).expect("a stream").reset(1 << 32);
    assert_eq!(too_large, Err(ResetError::CodeOutOfRange));
    let too_large = peer.access().recv(stream).expect("a stream").stop(u64::MAX);
    assert_eq!(too_large, Err(ResetError::CodeOutOfRange));

    let mut peer = RawPeer::greeted(Side::Client, aqueduct_core::config::Config::default(), &[]);
    let stream = peer
        .access()
        .request(&get(), aqueduct_core::head::End::More)
        .expect("a request");
    let too_large = peer.access().send(stream).expect("a stream").reset(1 << 62);
    assert_eq!(too_large, Err(ResetError::CodeOutOfRange));
    peer.access()
        .send(stream)
        .expect("a stream")
        .reset(0x10c)
        .expect("a code");
    peer.drive();
    assert_eq!(
        peer.seen(stream.id()).reset,
        Some(Code::H3_REQUEST_CANCELLED)
    );
}

/// The wire code of an application code, by the words of the draft: count up from
/// the first, leaving out every value that is reserved.
fn by_the_draft(app: u32) -> u64 {
    let first = 0x52e4_a40f_a8db_u64;
    first + u64::from(app) + u64::from(app) / 30
}

fn is_reserved(wire: u64) -> bool {
    (wire - 0x21).is_multiple_of(0x1f)
}

/// Row B13: codes at both edges, around each change of the offset, and anywhere:
/// there and back is the same, reserved values are never used and mean nothing,
/// and neighbours keep their order.
#[test]
fn the_map_of_codes() {
    let mut rng = Rng::new(13);
    let random = std::iter::from_fn(|| Some(rng.bits() as u32)).take(200_000);
    let near = |app: u32| (0..=2).flat_map(move |d| [app.saturating_sub(d), app.saturating_add(d)]);
    let edges = [
        0,
        29,
        30,
        59,
        60,
        1 << 8,
        1 << 16,
        1 << 31,
        u32::MAX - 30,
        u32::MAX,
    ];
    let steps = (0..2_000)
        .map(|n| n * 30)
        .chain((0..2_000).map(|n| u32::MAX - n * 30));
    for app in random.chain(edges.into_iter().chain(steps).flat_map(near)) {
        let wire = code::app_to_http(app);
        assert_eq!(wire, by_the_draft(app), "{app:#x}");
        assert!(!is_reserved(wire), "{app:#x}");
        assert_eq!(code::http_to_app(wire), Some(app));
        for neighbour in [wire - 1, wire + 1] {
            match code::http_to_app(neighbour) {
                Some(other) => assert_eq!(u64::from(other) + wire, u64::from(app) + neighbour),
                None => assert!(
                    is_reserved(neighbour)
                        || (app == 0 && neighbour < wire)
                        || (app == u32::MAX && neighbour > wire),
                    "{neighbour:#x}"
                ),
            }
        }
    }
    for wire in [
        0,
        0x10c,
        0x52e4_a40f_a8da,
        0x52e5_ac98_3163,
        (1 << 62) - 1,
        u64::MAX,
    ] {
        assert_eq!(code::http_to_app(wire), None, "{wire:#x}");
    }
}
