//! Each stream belongs to the session its header names.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::{Knobs, Rng};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer, join, varint};
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_tests::{assert_closed, get, request, seeds};

use aqueduct_tests::wt::{admit, read_raw, stream_head};

use super::wt_streams::opened;

/// Row B8: several sessions, requests between them, streams in any order.
#[test]
fn sessions_never_cross() {
    for seed in seeds(100) {
        let mut rng = Rng::new(seed);
        let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
        let mut sessions = Vec::new();
        for _ in 0..4 {
            for _ in 0..rng.below(3) {
                request(&mut pair, &get());
            }
            sessions.push(pair.session("https://example.com/wt"));
        }
        for _ in 0..20 {
            let (client, server) = sessions[rng.below(4) as usize];
            let from = if rng.below(2) == 0 {
                Side::Client
            } else {
                Side::Server
            };
            let dir = if rng.below(2) == 0 { Dir::Bi } else { Dir::Uni };
            let (here, there) = if from == Side::Client {
                (client, server)
            } else {
                (server, client)
            };
            let stream = pair
                .access(from)
                .webtransport(here)
                .open_stream(dir)
                .expect("a stream");
            let (session, key) = expect_event!(
                pair, from.peer(),
                Event::WebTransport(session, SessionEvent::Opened { stream, .. }) => (session, stream)
            );
            assert_eq!((session, key.id()), (there, stream.id()), "SEED={seed}");
            let name = session.id().to_string();
            assert_eq!(
                pair.transfer(from, stream, key, name.as_bytes()),
                name.as_bytes()
            );
            if rng.below(8) == 0 {
                let at = sessions
                    .iter()
                    .position(|s| s.0 == client)
                    .expect("one of them");
                pair.client()
                    .webtransport(client)
                    .close(0, "")
                    .expect("closes");
                sessions[at] = pair.session("https://example.com/wt");
            }
        }
    }
}

/// Row B9: only a request's id can name a session.
#[test]
fn ids_that_name_no_request() {
    for id in [1u64, 2, 3, 5, 6, 7, (1 << 62) - 1] {
        for (dir, ty) in [(Dir::Bi, 0x41), (Dir::Uni, 0x54)] {
            for side in [Side::Client, Side::Server] {
                let mut peer = RawPeer::greeted(side, Config::default(), raw::WEBTRANSPORT);
                let bytes = join(&[&[0x40, ty], &varint(id)]);
                if dir == Dir::Bi {
                    peer.request(&bytes)
                } else {
                    peer.uni(&bytes)
                };
                assert_closed(
                    &mut peer,
                    Code::H3_ID_ERROR,
                    &format!("{side:?} {bytes:x?}"),
                );
            }
        }
    }
}

/// Stream ids that are large: the header grows, nothing else changes.
#[test]
fn late_sessions() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    for _ in 0..40 {
        let (client, server) = request(&mut pair, &get());
        let head = aqueduct_core::head::ResponseHead::new(http::StatusCode::OK);
        pair.server()
            .respond(server, &head, aqueduct_core::head::End::Fin)
            .expect("an answer");
        pair.read_to_end(Side::Client, client).expect("an end");
        pair.read_to_end(Side::Server, server).expect("an end");
    }
    let (client, _) = pair.session("https://example.com/wt");
    assert_eq!(client.id().wire(), 160);
    let here = pair
        .client()
        .webtransport(client)
        .open_stream(Dir::Bi)
        .expect("a stream");
    let there = opened(&mut pair, Side::Server);
    assert_eq!(pair.transfer(Side::Client, here, there, b"x"), b"x");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..proptest::prelude::ProptestConfig::default()
    })]

    /// Row B8: streams of two sessions and of requests between them, whatever their
    /// ids and in whatever order their bytes come, one byte at a time.
    #[test]
    fn two_interleaved_sessions(
        before in 0..20u64,
        between in 1..20u64,
        streams in proptest::collection::vec((0..2usize, proptest::bool::ANY, 0..4u8), 1..40),
        order in proptest::collection::vec(proptest::prelude::any::<proptest::sample::Index>(), 400),
    ) {
        let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
        for _ in 0..before {
            peer.request(&raw::get());
        }
        let first = admit(&mut peer, &raw::connect());
        for _ in 0..between {
            peer.request(&raw::get());
        }
        let sessions = [first, admit(&mut peer, &raw::connect())];
        // Each stream says in its body which session it is for.
        let mut rest = Vec::new();
        for (session, bi, len) in streams {
            let dir = if bi { Dir::Bi } else { Dir::Uni };
            let id = if bi { peer.request(&[]) } else { peer.uni(&[]) };
            let body = vec![session as u8; usize::from(len)];
            let mut bytes = [stream_head(dir, sessions[session].0), body].concat();
            bytes.reverse();
            rest.push((id, session, usize::from(len), bytes));
        }
        let expected: Vec<_> = rest.iter().map(|(id, session, len, _)| (*id, *session, *len)).collect();
        let mut order = order.into_iter().cycle();
        while !rest.is_empty() {
            let at = order.next().map_or(0, |index| index.index(rest.len()));
            let (id, _, _, bytes) = &mut rest[at];
            match bytes.pop() {
                Some(byte) => peer.write(*id, &[byte]),
                None => {
                    peer.finish(*id);
                    rest.remove(at);
                }
            }
        }
        let mut seen = 0;
        for event in peer.events() {
            let Event::WebTransport(key, SessionEvent::Opened { stream, .. }) = event else {
                continue;
            };
            let told = sessions.iter().position(|(_, session)| *session == key);
            let mine = expected.iter().find(|(id, ..)| *id == stream.id());
            let (_, session, len) = mine.expect("one of them");
            assert_eq!(told, Some(*session));
            assert_eq!(read_raw(&mut peer, stream), (vec![*session as u8; *len], true));
            seen += 1;
        }
        assert_eq!(seen, expected.len());
    }
}
