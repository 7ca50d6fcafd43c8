//! Row A14: stream types that the application claims for protocols of its own.

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::error::{PeerCode, ReadError};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::webtransport::OpenStreamError;
use aqueduct_tests::{assert_closed, assert_refused, config, get, request, seeds};
use bytes::Bytes;
use http::StatusCode;

const UNI: u64 = 0x1f0;
const BIDI: u64 = 0x1f1;

fn claiming() -> Config {
    config(|c| {
        c.claimed_uni = vec![UNI];
        c.claimed_bidi = vec![BIDI];
    })
}

fn opened(pair: &mut LoopbackPair, by: Side, dir: Dir, ty: u64) -> (StreamKey, StreamKey) {
    let ours = pair.access(by).open_claimed(dir, ty).expect("a stream");
    let (theirs, told) = expect_event!(
        pair, by.peer(), Event::Claimed { stream, ty } => (stream, ty)
    );
    assert_eq!((told, theirs.id()), (ty, ours.id()));
    (ours, theirs)
}

/// A GET, a session, and a claimed type with datagrams, on one connection: both ends open
/// streams of it, and what is on them, and in datagrams, goes to whom it is for.
#[test]
fn a_protocol_of_its_own_beside_a_session_and_a_request() {
    for seed in seeds(40) {
        // What arrives must be all, and in what order is anybody's guess.
        let knobs = Knobs {
            datagram_loss: 0,
            ..Knobs::adversarial(seed)
        };
        let mut pair = LoopbackPair::new(claiming(), claiming(), knobs);
        pair.connect();
        let (session, session_there) = pair.session("https://example.com/wt");
        let (plain, plain_there) = request(&mut pair, &get());
        let (ours, theirs) = opened(&mut pair, Side::Client, Dir::Bi, BIDI);
        for (side, stream) in [(Side::Client, ours), (Side::Server, theirs)] {
            let enabled = pair.access(side).enable_datagrams(stream);
            enabled.expect("may have datagrams");
        }
        for (from, own, of_session) in [
            (Side::Client, (ours, theirs), (session, session_there)),
            (Side::Server, (theirs, ours), (session_there, session)),
        ] {
            let sessions = (of_session.0.stream(), of_session.1.stream());
            for ((here, _), payload) in [(own, "its own"), (sessions, "the session's")] {
                let sent = pair.access(from).send_datagram(here, payload.as_bytes());
                sent.expect("room");
            }
            pair.drive();
            for ((_, there), payload) in [(own, "its own"), (sessions, "the session's")] {
                let mut access = pair.access(from.peer());
                let arrived = access.recv_datagram(there);
                assert_eq!(arrived.as_deref(), Some(payload.as_bytes()), "SEED={seed}");
                assert_eq!(access.recv_datagram(there), None, "SEED={seed}");
            }
        }
        for from in [Side::Client, Side::Server] {
            for (dir, ty) in [(Dir::Uni, UNI), (Dir::Bi, BIDI)] {
                let (ours, theirs) = opened(&mut pair, from, dir, ty);
                let raw = b"raw \x00\x41\x54";
                assert_eq!(pair.transfer(from, ours, theirs, raw), raw, "SEED={seed}");
                if dir == Dir::Bi {
                    assert_eq!(pair.transfer(from.peer(), theirs, ours, b"back"), b"back");
                }
            }
        }
        // The one with datagrams carries bytes as well, and the request has its answer.
        pair.write_all(Side::Client, ours, "t").expect("room");
        let mut read = Vec::new();
        let ended = pair.read_some(Side::Server, theirs, &mut read);
        assert_eq!((ended, &read[..]), (Ok(false), &b"t"[..]), "SEED={seed}");
        pair.events(Side::Server).clear();
        pair.write_all(Side::Client, ours, "t").expect("room");
        expect_event!(
            pair, Side::Server,
            Event::Stream(key, StreamEvent::Readable) if key == theirs => ()
        );
        assert_eq!(pair.transfer(Side::Client, ours, theirs, b"o"), b"to");
        assert_eq!(pair.transfer(Side::Server, theirs, ours, b"fro"), b"fro");
        let ok = ResponseHead::new(StatusCode::OK);
        let answered = pair.server().respond(plain_there, &ok, End::More);
        answered.expect("an answer");
        let content = pair.transfer(Side::Server, plain_there, plain, b"answer");
        assert_eq!(content, b"answer", "SEED={seed}");
        assert!(pair.server().webtransport(session_there).drain().is_ok());
    }
}

/// Datagrams wait for a claimed stream, and for the application to want them; those of a
/// server's stream have no number to go by.
#[test]
fn datagrams_that_come_before_they_are_wanted() {
    let mut peer = RawPeer::greeted(Side::Server, claiming(), raw::WEBTRANSPORT);
    peer.datagram(&[0, b'a']);
    let id = peer.request(&raw::varint(BIDI));
    let stream = expect_event!(peer, Side::Server, Event::Claimed { stream, .. } => stream);
    assert_eq!(stream.id(), id);
    peer.datagram(&[0, b'b']);
    assert_eq!(peer.access().recv_datagram(stream), None);
    peer.access().enable_datagrams(stream).expect("may have");
    let mut taken = Vec::new();
    while let Some(datagram) = peer.access().recv_datagram(stream) {
        taken.push(datagram[0]);
    }
    assert_eq!(taken, b"ab");
    let ours = peer.access().open_claimed(Dir::Bi, BIDI).expect("a stream");
    assert!(peer.access().enable_datagrams(ours).is_err());
    assert_eq!(peer.closed(), None);
}

#[test]
fn codes_of_claimed_streams_are_the_protocols() {
    let mut pair = LoopbackPair::new(claiming(), claiming(), Knobs::default());
    pair.connect();
    let (ours, theirs) = opened(&mut pair, Side::Client, Dir::Bi, BIDI);
    let mut access = pair.client();
    access
        .send(ours)
        .expect("open")
        .reset(0x1234)
        .expect("open");
    access.recv(ours).expect("open").stop(0x5678).expect("open");
    let code = expect_event!(
        pair, Side::Server,
        Event::Stream(key, StreamEvent::Stopped(code)) if key == theirs => code
    );
    assert_eq!(code, PeerCode::http(0x5678));
    pair.drive();
    let read = pair.read_to_end(Side::Server, theirs);
    assert_eq!(read, Err(ReadError::Reset(PeerCode::http(0x1234))));
}

/// What nobody claims is refused as ever, and what is HTTP/3's or WebTransport's cannot be
/// claimed.
#[test]
fn other_types_are_not_the_applications() {
    let mut peer = RawPeer::greeted(Side::Server, claiming(), raw::WEBTRANSPORT);
    let other = peer.uni(&raw::varint(UNI + 1));
    assert_refused(&peer, other, Code::H3_STREAM_CREATION_ERROR, "unknown");
    let types: Vec<u64> = vec![0x00, 0x01, 0x03, 0x54, 0x41, 0x21, 0x0d, UNI];
    let greedy = config(|c| {
        c.claimed_uni.clone_from(&types);
        c.claimed_bidi.clone_from(&types);
    });
    let mut peer = RawPeer::greeted(Side::Server, greedy, raw::WEBTRANSPORT);
    for ty in types {
        for dir in [Dir::Uni, Dir::Bi] {
            let opened = peer.access().open_claimed(dir, ty).map(drop);
            let free = match dir {
                Dir::Uni => matches!(ty, 0x41 | 0x0d | UNI),
                Dir::Bi => matches!(ty, 0x54 | UNI),
            };
            let wanted = if free {
                Ok(())
            } else {
                Err(OpenStreamError::NotClaimed)
            };
            assert_eq!(opened, wanted, "{dir:?} {ty:#x}");
        }
    }
    assert_eq!(peer.closed(), None);
}

/// Without WebTransport a server may open what the client claims, before its SETTINGS and
/// after, and nothing else.
#[test]
fn a_server_opens_what_its_client_claims_and_nothing_else() {
    let mut peer = RawPeer::new(Side::Client, claiming());
    let typed = |ty: u64| raw::join(&[&raw::varint(ty), b"content"]);
    for greeted in [false, true] {
        if greeted {
            peer.control(&raw::settings(&[]));
        }
        let id = peer.request(&typed(BIDI));
        let stream = expect_event!(peer, Side::Client, Event::Claimed { stream, .. } => stream);
        assert_eq!(stream.id(), id);
    }
    assert_eq!(peer.closed(), None);
    peer.request(&typed(BIDI + 1));
    assert_eq!(peer.closed(), Some(Code::H3_STREAM_CREATION_ERROR));
}

/// Streams of a claimed type that are taken back are a nuisance like those of a session.
#[test]
fn streams_that_are_taken_back_are_a_nuisance() {
    for (way, tolerated) in [("reset", 52), ("stop", 26), ("uni", 52)] {
        let mut limited = claiming();
        limited.limits.nuisance = 50;
        let knobs = Knobs {
            bi_streams: 10_000,
            uni_streams: 10_000,
            ..Knobs::default()
        };
        let net = Loopback::new(knobs);
        let mut peer = RawPeer::greeted_over(Side::Server, limited, net, &[]);
        let mut times = 0;
        while peer.closed().is_none() {
            times += 1;
            // The application of the last ones reads what there is.
            for event in peer.events() {
                if let Event::Claimed { stream, .. } = event
                    && let Ok(mut recv) = peer.access().recv(stream)
                {
                    recv.read(9, &mut [Bytes::new()]).ok();
                }
            }
            let cancelled = Code::H3_REQUEST_CANCELLED;
            if way == "uni" {
                let id = peer.uni(&[0x41, 0xf0]);
                peer.reset(id, cancelled);
            } else {
                let id = peer.request(&[0x41, 0xf1]);
                if way == "stop" {
                    peer.stop(id, cancelled);
                }
                peer.reset(id, cancelled);
            }
        }
        assert_closed(&mut peer, Code::H3_EXCESSIVE_LOAD, way);
        assert_eq!(times, tolerated, "{way}");
    }
}
