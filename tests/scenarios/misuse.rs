//! Keys of the wrong kind, side and time in every place where one is taken: an answer
//! follows, never a panic, and never the end of the connection.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::datagram::ContextId;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use aqueduct_core::priority::Priority;
use aqueduct_core::testing::loopback::{Knobs, Rng};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use aqueduct_tests::{get, seeds};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

fn either<T>(rng: &mut Rng, one: T, other: T) -> T {
    if rng.below(2) == 0 { one } else { other }
}

/// Does something with a key, whatever it is of, and gives the keys this makes.
fn use_key(rng: &mut Rng, pair: &mut LoopbackPair, key: StreamKey) -> Option<StreamKey> {
    let side = either(rng, Side::Client, Side::Server);
    let (session, mut access) = (SessionKey::new(key), pair.access(side));
    let chunks = &mut [Bytes::from("\x17\x05xyz")];
    match rng.below(22) {
        0 => _ = access.respond(key, &ResponseHead::new(StatusCode::OK), End::More),
        1 => _ = access.trailers(key, &HeaderMap::new()),
        2 => _ = access.set_priority(key, Priority::default()),
        3 => _ = access.enable_datagrams(key),
        4 => _ = access.send_datagram(key, b"x"),
        5 => _ = access.send_datagram_in(key, ContextId::ZERO, b"x"),
        6 => _ = access.recv_datagram(key),
        7 => _ = access.max_datagram_size(key),
        8 => _ = access.send(key).map(|mut half| half.write(chunks)),
        9 => _ = access.send(key).map(|mut half| half.finish()),
        10 => {
            _ = access
                .send(key)
                .map(|mut half| half.reset(1 << rng.below(64)));
        }
        11 => _ = access.send(key).map(|mut half| half.set_send_order(5)),
        12 => _ = access.recv(key).map(|mut half| half.read(9, chunks)),
        13 => {
            _ = access
                .recv(key)
                .map(|mut half| half.stop(1 << rng.below(64)));
        }
        14 => _ = access.webtransport(session).accept(&ConnectAnswer::new()),
        15 => _ = access.webtransport(session).reject(StatusCode::NOT_FOUND),
        16 => _ = access.webtransport(session).drain(),
        17 => _ = access.webtransport(session).close(1, "x"),
        18 | 19 => {
            let dir = either(rng, Dir::Bi, Dir::Uni);
            return access.webtransport(session).open_stream(dir).ok();
        }
        20 => return access.request(&get(), End::More).ok(),
        _ => {
            let request = ConnectRequest::new("https://a/".parse().expect("a URI"));
            return access.open_session(&request).map(SessionKey::stream).ok();
        }
    }
    None
}

#[test]
fn any_key_anywhere() {
    for seed in seeds(200) {
        let mut rng = Rng::new(seed);
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let mut keys: Vec<StreamKey> = Vec::new();
        for _ in 0..60 {
            let known = keys.get(rng.below(keys.len().max(1) as u64) as usize);
            let key = known
                .copied()
                .filter(|_| rng.below(4) > 0)
                .unwrap_or_else(|| {
                    let side = either(&mut rng, Side::Client, Side::Server);
                    let dir = either(&mut rng, Dir::Bi, Dir::Uni);
                    StreamKey::new(StreamId::new(side, dir, rng.below(6)), rng.below(8) as u32)
                });
            keys.extend(use_key(&mut rng, &mut pair, key));
            match rng.below(20) {
                0..6 => pair.drive(),
                6 => pair.advance(Duration::from_secs(rng.below(6))),
                _ => {}
            }
            for side in [Side::Client, Side::Server] {
                keys.extend(
                    pair.events(side)
                        .into_iter()
                        .filter_map(|event| match event {
                            Event::Request { stream, .. }
                            | Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                                Some(stream)
                            }
                            Event::WebTransport(session, _) => Some(session.stream()),
                            Event::Closed(why) => panic!("SEED={seed}: {why:?}"),
                            _ => None,
                        }),
                );
            }
        }
        pair.access(Side::Client).close(Code::H3_NO_ERROR, "");
        pair.drive();
        for key in keys {
            use_key(&mut rng, &mut pair, key);
            assert!(pair.server().send(key).is_err(), "SEED={seed}");
        }
    }
}

/// What takes no datagrams has no size for them.
#[test]
fn data_streams_have_no_datagrams() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (session, _) = pair.session("https://example.com/wt");
    let stream = pair.client().webtransport(session).open_stream(Dir::Bi);
    let stream = stream.expect("a stream");
    pair.drive();
    assert!(pair.client().send_datagram(stream, b"x").is_err());
    assert_eq!(pair.client().max_datagram_size(stream), None);
    assert!(pair.client().max_datagram_size(session).is_some());
}
