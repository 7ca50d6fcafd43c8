//! Without RESET_STREAM_AT a reset takes bytes and streams away that the sender
//! has counted. Nobody is left without credit for them.

use aqueduct_core::code::Code;
use aqueduct_core::config::Limits;
use aqueduct_core::error::ReadError;
use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, Side, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::raw::RawPeer;
use aqueduct_core::transport::Transport;
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{ConnectAnswer, OpenStreamError, SessionEvent};
use aqueduct_tests::wt::{
    DATA_BLOCKED, MAX_DATA, MAX_STREAMS_UNI, STREAMS_BLOCKED_UNI, admit, connect_with, limited,
    limited_over, limited_pair, limits, numbers, open_raw, opened_raw, read_raw, send_capsule,
    settings_15, speaking,
};
use bytes::Bytes;

/// Bytes that a reset took away, whether the peer says that it is blocked before
/// it or after.
#[test]
fn bytes_of_a_reset_stream() {
    for told_before in [false, true] {
        let (mut peer, id, _) = limited(limits(10, 9, 9), limits(9, 9, 9));
        // One stream lives on and must not matter.
        let idle = open_raw(&mut peer, Dir::Bi, id, b"");
        let idle = opened_raw(&mut peer, idle);
        assert_eq!(read_raw(&mut peer, idle), (vec![], false));
        let raw = open_raw(&mut peer, Dir::Uni, id, &[0; 10]);
        let key = opened_raw(&mut peer, raw);
        if told_before {
            send_capsule(&mut peer, id, DATA_BLOCKED, 10);
            assert_eq!(numbers(&peer, id), [], "they may be read yet");
        }
        peer.reset(raw, Code::H3_REQUEST_CANCELLED);
        // Some came with the header.
        read_to_reset(&mut peer, key);
        if !told_before {
            send_capsule(&mut peer, id, DATA_BLOCKED, 10);
        }
        peer.drive();
        let granted = numbers(&peer, id);
        assert_eq!(granted.last(), Some(&(MAX_DATA, 20)), "{told_before}");
    }
}

/// Reads what is left of a stream that was reset.
fn read_to_reset(peer: &mut RawPeer, key: StreamKey) {
    let mut out = [const { Bytes::new() }; 2];
    let mut recv = || peer.access().recv(key).map(|mut r| r.read(99, &mut out));
    while let Ok(Ok(_)) = recv() {}
    assert!(peer.access().recv(key).is_err());
    peer.drive();
}

/// Bytes of a stream that the application does not want.
#[test]
fn bytes_of_a_stopped_stream() {
    let (mut peer, id, _) = limited(limits(10, 9, 9), limits(9, 9, 9));
    let raw = open_raw(&mut peer, Dir::Bi, id, &[0; 10]);
    let key = opened_raw(&mut peer, raw);
    send_capsule(&mut peer, id, DATA_BLOCKED, 10);
    peer.access()
        .recv(key)
        .expect("a stream")
        .stop(0)
        .expect("stops");
    peer.drive();
    assert_eq!(numbers(&peer, id), [(MAX_DATA, 20)]);
}

/// What waits for the application is not lost: it holds the peer back.
#[test]
fn unread_bytes_are_no_loss() {
    let (mut peer, id, _) = limited(limits(10, 9, 9), limits(9, 9, 9));
    let lost = open_raw(&mut peer, Dir::Uni, id, &[0; 4]);
    let lost = opened_raw(&mut peer, lost);
    peer.access()
        .recv(lost)
        .expect("a stream")
        .stop(0)
        .expect("stops");
    let raw = open_raw(&mut peer, Dir::Uni, id, &[0; 6]);
    let key = opened_raw(&mut peer, raw);
    send_capsule(&mut peer, id, DATA_BLOCKED, 10);
    assert_eq!(numbers(&peer, id), []);
    assert_eq!(read_raw(&mut peer, key).0.len(), 6);
    assert_eq!(numbers(&peer, id), [(MAX_DATA, 16)], "what was read");
    peer.write(raw, &[0; 6]);
    send_capsule(&mut peer, id, DATA_BLOCKED, 16);
    assert_eq!(numbers(&peer, id).len(), 1, "unread");
    assert_eq!(read_raw(&mut peer, key).0.len(), 6);
    assert_eq!(numbers(&peer, id).last(), Some(&(MAX_DATA, 22)));
}

/// Streams that were reset before their headers arrived.
#[test]
fn streams_without_a_header() {
    for told_before in [false, true] {
        let (mut peer, id, _) = limited(limits(9, 9, 4), limits(9, 9, 9));
        let alive = open_raw(&mut peer, Dir::Uni, id, b"");
        opened_raw(&mut peer, alive);
        if told_before {
            send_capsule(&mut peer, id, STREAMS_BLOCKED_UNI, 4);
        }
        for _ in 0..3 {
            let lost = peer.end().open(Dir::Uni).expect("credit");
            peer.reset(lost, Code::H3_REQUEST_CANCELLED);
        }
        if !told_before {
            send_capsule(&mut peer, id, STREAMS_BLOCKED_UNI, 4);
        }
        if told_before {
            // Each notice is answered by what was lost until then.
            assert_eq!(numbers(&peer, id), [(MAX_STREAMS_UNI, 5)]);
            send_capsule(&mut peer, id, STREAMS_BLOCKED_UNI, 5);
        }
        let last = numbers(&peer, id).pop();
        assert_eq!(last, Some((MAX_STREAMS_UNI, 7)), "{told_before}");
        // Nobody is punished when one of them comes after all.
        for _ in 0..3 {
            let late = open_raw(&mut peer, Dir::Uni, id, b"");
            opened_raw(&mut peer, late);
        }
    }
}

/// Both sides of ours: streams that are reset at once, hundreds of times, over
/// small limits and any network.
#[test]
fn resets_without_end() {
    for seed in aqueduct_tests::seeds(20) {
        let few = limits(50, 3, 3);
        let knobs = Knobs::adversarial(seed);
        let mut pair = limited_pair(few, few, knobs);
        let (client, _) = pair.session("https://example.com/wt");
        let mut opened = 0;
        for round in 0..400 {
            match pair.client().webtransport(client).open_stream(Dir::Uni) {
                Ok(stream) => {
                    opened += 1;
                    let mut access = pair.client();
                    let mut send = access.send(stream).expect("a stream");
                    send.write(&mut [Bytes::from(vec![0; 30])]).expect("takes");
                    send.reset(1).expect("resets");
                }
                Err(OpenStreamError::StreamLimit | OpenStreamError::Blocked) => {}
                Err(other) => panic!("{other} SEED={seed}"),
            }
            pair.drive();
            read_everything(&mut pair);
            assert!(opened * 4 > round, "stuck after {opened} SEED={seed}");
        }
    }
}

/// Reads all that the server was told of.
fn read_everything(pair: &mut aqueduct_core::testing::loopback_pair::LoopbackPair) {
    use aqueduct_core::event::Event;
    use aqueduct_core::webtransport::SessionEvent;
    for event in pair.events(Side::Server) {
        if let Event::WebTransport(_, SessionEvent::Opened { stream, .. }) = event {
            let mut all = Vec::new();
            let read = pair.read_some(Side::Server, stream, &mut all);
            assert!(matches!(read, Ok(_) | Err(ReadError::Reset(_))), "{read:?}");
            let mut access = pair.server();
            if let Ok(mut recv) = access.recv(stream) {
                recv.stop(0).expect("stops");
            }
        }
        assert!(
            !matches!(event, Event::WebTransport(_, SessionEvent::Closed(_))),
            "{event:?}"
        );
    }
    pair.drive();
}

/// A stream that was lost is forgiven to the sessions it may have been of, and to none
/// that begins when every CONNECT of its time has come.
#[test]
fn a_lost_stream_is_forgotten_in_time() {
    for late in [false, true] {
        let (mut peer, first, _) = limited(limits(9, 9, 4), limits(9, 9, 9));
        let lost = peer.end().open(Dir::Uni).expect("credit");
        peer.reset(lost, Code::H3_REQUEST_CANCELLED);
        let time = Limits::default().early_timeout;
        peer.advance(if late {
            time
        } else {
            time - std::time::Duration::from_millis(1)
        });
        let (second, _) = admit(&mut peer, &connect_with("webtransport-h3", &[]));
        send_capsule(&mut peer, second, STREAMS_BLOCKED_UNI, 4);
        let forgiven = if late {
            vec![]
        } else {
            vec![(MAX_STREAMS_UNI, 5)]
        };
        assert_eq!(numbers(&peer, second), forgiven, "{late}");
        send_capsule(&mut peer, first, STREAMS_BLOCKED_UNI, 4);
        assert_eq!(numbers(&peer, first), [(MAX_STREAMS_UNI, 5)], "{late}");
    }
}

/// A stream that named its session concerns no other.
#[test]
fn a_lost_stream_that_named_its_session_concerns_no_other() {
    let mut config = speaking(Dialects::SET_B, Some(limits(9, 9, 4)));
    config.limits.early_streams = 0;
    let mut peer = RawPeer::greeted(Side::Server, config, &settings_15(limits(9, 9, 9)));
    let (first, _) = admit(&mut peer, &connect_with("webtransport-h3", &[]));
    let second = peer.request(&connect_with("webtransport-h3", &[]));
    let requested = peer.take(Side::Server, |event| match event {
        Event::WebTransport(session, SessionEvent::Requested(_)) => Ok(session),
        other => Err(other),
    });
    open_raw(&mut peer, Dir::Uni, second, b"early");
    let accepted = ConnectAnswer::default();
    let session = requested.expect("a session");
    peer.access()
        .webtransport(session)
        .accept(&accepted)
        .expect("accepts");
    for (id, forgiven) in [(first, vec![]), (second, vec![(MAX_STREAMS_UNI, 5)])] {
        send_capsule(&mut peer, id, STREAMS_BLOCKED_UNI, 4);
        assert_eq!(numbers(&peer, id), forgiven);
    }
}

/// Where the transport tells how long a stream was, its loss is counted exactly, and
/// nothing waits for the peer to say that it is stuck.
#[test]
fn a_final_size_ends_the_guessing() {
    for (sent, granted) in [(11, vec![(MAX_DATA, 31)]), (9, vec![])] {
        let knobs = Knobs {
            final_sizes: true,
            ..Knobs::default()
        };
        let (mut peer, id, _) = limited_over(knobs, limits(20, 9, 9), limits(9, 9, 9));
        let raw = open_raw(&mut peer, Dir::Uni, id, &vec![0; sent]);
        let key = opened_raw(&mut peer, raw);
        peer.reset(raw, Code::H3_REQUEST_CANCELLED);
        read_to_reset(&mut peer, key);
        assert_eq!(numbers(&peer, id), granted, "{sent}");
    }
}
