//! UDP through tunnels: in datagrams, in capsules, and to the end.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::datagram::ContextId;
use aqueduct_core::fault::Violation;
use aqueduct_core::head::End;
use aqueduct_core::id::Side;
use aqueduct_core::masque::{
    Dialect, MAX_UDP_PAYLOAD, TunnelClose, TunnelEvent, TunnelFault, TunnelKey, TunnelSendError,
    TunnelStats, TunnelsConfig,
};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{frame, varint};
use aqueduct_tests::tunnels::{TunnelPair, asking};
use aqueduct_tests::{config, seeds, stream_events};

const SIDES: [Side; 2] = [Side::Client, Side::Server];

fn stats(pair: &TunnelPair, side: Side, key: TunnelKey) -> TunnelStats {
    pair.tunnels(side).stats(key).expect("a tunnel")
}

/// A pair of which one side has no datagrams.
fn without_datagrams(side: Side, knobs: Knobs) -> TunnelPair {
    let off = config(|config| config.datagrams = false);
    let on = config(|_| {});
    let (client, server) = match side {
        Side::Client => (off, on),
        Side::Server => (on, off),
    };
    let mut pair = LoopbackPair::new(client, server, knobs);
    pair.connect();
    TunnelPair::over(pair, TunnelsConfig::default(), TunnelsConfig::default())
}

/// A request for a UDP tunnel that no machine of the client's knows of, accepted.
fn by_hand(pair: &mut TunnelPair) -> (aqueduct_core::id::StreamKey, TunnelKey) {
    let head = asking(Dialect::Udp).head().expect("a head");
    let sent = pair.pair.client().request(&head, End::More);
    let client = sent.expect("a request is sent");
    let (server, _) = pair.requested().expect("a tunnel is asked for");
    pair.accept(server);
    pair.drive();
    (client, server)
}

/// Row C11: payloads of all sizes that the path takes go both ways, the empty one too.
#[test]
fn payloads_go_both_ways() {
    let knobs = Knobs {
        path_datagram_size: 65_535,
        ..Knobs::default()
    };
    let mut pair = TunnelPair::connected(knobs);
    let (client, server) = pair.tunnel(Dialect::Udp);
    for (from, key, to, there) in [
        (Side::Client, client, Side::Server, server),
        (Side::Server, server, Side::Client, client),
    ] {
        for len in [0, 1, 1200, MAX_UDP_PAYLOAD] {
            let payload = vec![7; len];
            assert_eq!(pair.send(from, key, &payload), Ok(()));
            assert_eq!(pair.told(to, there), [TunnelEvent::Datagrams]);
            assert_eq!(pair.recv(to, there), [&payload[..]]);
        }
        let larger = vec![7; MAX_UDP_PAYLOAD + 1];
        let refused = pair.send(from, key, &larger);
        assert_eq!(refused, Err(TunnelSendError::TooLarge));
        assert_eq!(stats(&pair, from, key).drops.too_large, 1);
        assert_eq!(stats(&pair, from, key).sent, 4);
        assert_eq!(stats(&pair, to, there).received, 4);
        let bytes = (1201 + MAX_UDP_PAYLOAD) as u64;
        assert_eq!(stats(&pair, to, there).bytes_received, bytes);
    }
}

/// Row C11: what is of no context that is known here is dropped, and counted.
#[test]
fn other_contexts_are_dropped() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    let stream = client.stream();
    let mut access = pair.pair.client();
    let other = ContextId::from_u32(2);
    let sent = access.send_datagram_in(stream, other, b"other");
    sent.expect("room");
    access.send_datagram(stream, b"").expect("room");
    access.send_datagram(stream, b"\x40").expect("room");
    pair.send(Side::Client, client, b"udp").expect("room");
    assert_eq!(pair.recv(Side::Server, server), [&b"udp"[..]]);
    let drops = stats(&pair, Side::Server, server).drops;
    assert_eq!((drops.unknown_context, drops.no_context), (1, 2));
}

/// Row C11: what the path does not take is not sent, and not put into a capsule either.
#[test]
fn what_is_larger_than_the_path_is_dropped() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    let most = pair.with(Side::Client, |tunnels, access, _| {
        tunnels.max_payload(access, client)
    });
    let most = most.expect("datagrams");
    assert_eq!(most, 1198, "the path's 1200, without stream and context");
    assert_eq!(pair.send(Side::Client, client, &vec![0; most]), Ok(()));
    let larger = pair.send(Side::Client, client, &vec![0; most + 1]);
    assert_eq!(larger, Err(TunnelSendError::TooLarge));
    assert_eq!(pair.recv(Side::Server, server).len(), 1);
    assert_eq!(stats(&pair, Side::Client, client).drops.too_large, 1);
}

/// Row C11: a payload of more than 65,527 bytes ends the tunnel with H3_DATAGRAM_ERROR.
#[test]
fn a_larger_payload_ends_the_tunnel() {
    let knobs = Knobs {
        path_datagram_size: 65_535,
        ..Knobs::default()
    };
    let mut pair = TunnelPair::connected(knobs);
    let (client, server) = pair.tunnel(Dialect::Udp);
    let larger = vec![0; MAX_UDP_PAYLOAD + 1];
    let mut access = pair.pair.client();
    let sent = access.send_datagram_in(client.stream(), ContextId::ZERO, &larger);
    sent.expect("the path takes it");
    assert!(pair.recv(Side::Server, server).is_empty());
    let fault = TunnelClose::Fault(TunnelFault::PayloadTooLarge);
    assert_eq!(pair.closed(Side::Server, server), fault);
    let reset = TunnelClose::Reset(Code::H3_DATAGRAM_ERROR);
    assert_eq!(pair.closed(Side::Client, client), reset);
}

/// Row C12: when either side has no datagrams payloads go in capsules, of any size; on
/// unpleasant networks too, in order and without loss.
#[test]
fn capsules_where_there_are_no_datagrams() {
    for seed in seeds(16) {
        let knobs = Knobs::adversarial(seed);
        let side = SIDES[seed as usize % 2];
        let mut pair = without_datagrams(side, knobs);
        let (client, server) = pair.tunnel(Dialect::Udp);
        for (from, key, to, there) in [
            (Side::Client, client, Side::Server, server),
            (Side::Server, server, Side::Client, client),
        ] {
            let mut expected = Vec::new();
            let mut came = Vec::new();
            for len in [0, 1, 3, 200, 1500] {
                let payload = vec![len as u8; len];
                while pair.send(from, key, &payload).is_err() {
                    came.extend(pair.recv(to, there));
                    let mut told = pair.told(from, key);
                    told.retain(|event| *event != TunnelEvent::Datagrams);
                    assert_eq!(told, [TunnelEvent::DatagramsUnblocked], "SEED={seed}");
                }
                expected.push(payload);
            }
            came.extend(pair.recv(to, there));
            assert_eq!(came, expected, "SEED={seed}");
        }
    }
}

/// Row C12: the largest payload, and none that is larger, fits into a capsule.
#[test]
fn a_capsule_takes_the_largest_payload() {
    let mut pair = without_datagrams(Side::Server, Knobs::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    let most = pair.with(Side::Client, |tunnels, access, _| {
        tunnels.max_payload(access, client)
    });
    assert_eq!(most, Some(MAX_UDP_PAYLOAD));
    let payload = vec![7; MAX_UDP_PAYLOAD];
    assert_eq!(pair.send(Side::Client, client, &payload), Ok(()));
    assert_eq!(pair.recv(Side::Server, server), [payload]);
    let larger = pair.send(Side::Client, client, &[7; MAX_UDP_PAYLOAD + 1]);
    assert_eq!(larger, Err(TunnelSendError::TooLarge));
}

/// Row C12: who does not read holds the sender back, whose payloads are dropped and
/// counted; nothing grows, and all goes on when it reads.
#[test]
fn a_reader_that_stalls_holds_the_sender_back() {
    let knobs = Knobs {
        stream_window: 16 * 1024,
        send_buffer: 16 * 1024,
        ..Knobs::default()
    };
    let mut pair = without_datagrams(Side::Client, knobs);
    let (client, server) = pair.tunnel(Dialect::Udp);
    let payload = [7; 1000];
    let mut sent = 0;
    for _ in 0..5000 {
        match pair.send(Side::Server, server, &payload) {
            Ok(()) => sent += 1,
            Err(error) => assert_eq!(error, TunnelSendError::Blocked),
        }
        pair.drive();
    }
    // The queue of 256 KiB, the windows, and what is owed.
    assert!((200..400).contains(&sent), "{sent}");
    let drops = stats(&pair, Side::Server, server).drops;
    assert_eq!(drops.blocked, 5000 - sent);
    assert_eq!(pair.told(Side::Client, client), [TunnelEvent::Datagrams]);
    assert_eq!(pair.told(Side::Server, server), []);
    let mut came = 0;
    while came < sent {
        came += pair.recv(Side::Client, client).len() as u64;
    }
    let told = pair.told(Side::Server, server);
    assert_eq!(told, [TunnelEvent::DatagramsUnblocked]);
    pair.send(Side::Server, server, &payload)
        .expect("room again");
    assert_eq!(pair.recv(Side::Client, client).len(), 1);
}

/// Row C12: both ways to carry a payload may be used side by side.
#[test]
fn capsules_beside_datagrams() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = by_hand(&mut pair);
    let mut access = pair.pair.client();
    access.enable_datagrams(client).expect("a stream");
    let sent = access.send_datagram_in(client, ContextId::ZERO, b"datagram");
    sent.expect("room");
    pair.write_raw(Side::Client, client, &frame(0, b"\0capsule"));
    let told = pair.told(Side::Server, server);
    assert_eq!(told, [TunnelEvent::Datagrams], "once for both");
    let mut all = pair.recv(Side::Server, server);
    all.sort();
    assert_eq!(all, [&b"capsule"[..], b"datagram"]);
}

/// Row C13: each way in which capsules can be wrong has its code.
#[test]
fn wrong_capsules_end_the_tunnel() {
    let message = Code::H3_MESSAGE_ERROR;
    let large = [varint(0), varint(70_000)].concat();
    let just = [
        varint(0),
        varint(MAX_UDP_PAYLOAD as u64 + 2),
        vec![0; MAX_UDP_PAYLOAD + 2],
    ];
    let cases = [
        ("no context id", frame(0, b""), false, message),
        ("half a context id", frame(0, b"\x40"), false, message),
        (
            "cut in the value",
            frame(0, b"\0udp")[..4].to_vec(),
            true,
            message,
        ),
        ("cut in the type", vec![0x40], true, message),
        ("cut in an unknown one", vec![0x17, 5, 1], true, message),
        ("announces too much", large, false, Code::H3_DATAGRAM_ERROR),
        ("is too much", just.concat(), false, Code::H3_DATAGRAM_ERROR),
    ];
    for (what, bytes, fin, code) in cases {
        let mut pair = TunnelPair::connected(Knobs::default());
        let (client, server) = by_hand(&mut pair);
        pair.write_raw(Side::Client, client, &bytes);
        if fin {
            pair.finish_raw(Side::Client, client);
        }
        let why = pair.closed(Side::Server, server);
        assert!(matches!(why, TunnelClose::Fault(_)), "{what}: {why:?}");
        let events = stream_events(&pair.others(Side::Client), client);
        let text = format!("{events:?}");
        assert!(
            text.contains(&format!("Reset({code:?}")) || text.contains(&format!("{code}")),
            "{what}: {text}"
        );
        assert_eq!(pair.pair.server().open_requests(), 0, "{what}");
    }
}

/// Row C13: capsules of other types are passed over, however long, and hold nothing.
#[test]
fn unknown_capsules_are_passed_over() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = by_hand(&mut pair);
    let long = [varint(0x1717), varint(1 << 40)].concat();
    let flood: Vec<u8> = std::iter::repeat_n(frame(0x17, b""), 20_000)
        .flatten()
        .collect();
    for bytes in [
        &flood[..],
        &frame(0, b"\0udp"),
        &frame(0x1717, &[1; 3000]),
        &long,
    ] {
        pair.write_raw(Side::Client, client, bytes);
    }
    assert_eq!(pair.recv(Side::Server, server), [&b"udp"[..]]);
    for _ in 0..20 {
        let taken = pair.write_raw(Side::Client, client, &vec![7; 1 << 18]);
        assert_eq!(taken, 1 << 18, "all of it is read");
    }
    assert_eq!(pair.told(Side::Server, server), [TunnelEvent::Datagrams]);
    pair.finish_raw(Side::Client, client);
    let why = pair.closed(Side::Server, server);
    assert!(
        matches!(why, TunnelClose::Fault(TunnelFault::Capsule(_))),
        "{why:?}"
    );
}

/// Row C14: either side's end ends the tunnel in order, and what was sent before is not
/// lost, whichever way it went.
#[test]
fn an_end_comes_after_what_was_sent() {
    for seed in seeds(40) {
        for from in SIDES {
            let knobs = Knobs::adversarial(seed);
            let mut pair = if seed % 2 == 0 {
                without_datagrams(Side::Client, knobs)
            } else {
                TunnelPair::connected(Knobs {
                    reorder: false,
                    ..knobs
                })
            };
            let (client, server) = pair.tunnel(Dialect::Udp);
            let (key, there) = match from {
                Side::Client => (client, server),
                Side::Server => (server, client),
            };
            let to = from.peer();
            pair.send(from, key, b"last words").expect("room");
            if seed % 2 == 1 {
                // Datagrams may be later than the end of a stream.
                pair.drive();
            }
            pair.close(from, key);
            let mut told = pair.told(to, there);
            told.retain(|event| *event != TunnelEvent::Datagrams);
            let ended = TunnelEvent::Closed(TunnelClose::Finished);
            assert_eq!(told, [ended], "SEED={seed} {from:?}");
            assert_eq!(pair.recv(to, there), [&b"last words"[..]], "SEED={seed}");
            assert_eq!(pair.told(from, key), [], "who closes knows");
            let sent = pair.send(from, key, b"no");
            assert_eq!(sent, Err(TunnelSendError::Gone));
            for side in SIDES {
                assert!(
                    pair.tunnels(side).is_empty(),
                    "SEED={seed}; {}",
                    pair.story()
                );
                assert_eq!(pair.others(side), [], "SEED={seed}");
            }
            assert_eq!(pair.pair.server().open_requests(), 0);
        }
    }
}

/// Row C14: an end comes after capsules that the stream has yet to take.
#[test]
fn an_end_comes_after_what_is_owed() {
    let knobs = Knobs {
        stream_window: 1024,
        send_buffer: 1024,
        ..Knobs::default()
    };
    for from in SIDES {
        let mut pair = without_datagrams(Side::Server, knobs.clone());
        let (client, server) = pair.tunnel(Dialect::Udp);
        let (key, there) = match from {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        for n in 0..2 {
            pair.send(from, key, &[n; 5000]).expect("owed");
        }
        let third = pair.send(from, key, b"");
        assert_eq!(third, Err(TunnelSendError::Blocked));
        pair.close(from, key);
        assert_eq!(pair.closed(from.peer(), there), TunnelClose::Finished);
        let came = pair.recv(from.peer(), there);
        assert_eq!(came, [vec![0; 5000], vec![1; 5000]]);
        assert!(pair.tunnels(from).is_empty());
    }
}

/// Row C14: both ends at once.
#[test]
fn ends_cross() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    pair.close(Side::Client, client);
    pair.close(Side::Server, server);
    for (side, key) in [(Side::Client, client), (Side::Server, server)] {
        assert_eq!(pair.told(side, key), []);
        assert!(pair.tunnels(side).is_empty());
    }
}

/// RFC 9114 section 4.1: a proxy that ends may want no more of what is sent to it; its
/// last words count all the same.
#[test]
fn a_calm_stop_is_no_reset() {
    let knobs = Knobs::default();
    for mut pair in [
        TunnelPair::connected(knobs.clone()),
        without_datagrams(Side::Client, knobs),
    ] {
        let (client, server) = pair.tunnel(Dialect::Udp);
        let stream = server.stream();
        let mut access = pair.pair.server();
        let mut recv = access.recv(stream).expect("a stream");
        recv.stop(Code::H3_NO_ERROR.value()).expect("stops");
        assert_eq!(pair.told(Side::Client, client), []);
        let sent = pair.send(Side::Client, client, b"no");
        assert_eq!(sent, Err(TunnelSendError::Gone));
        pair.write_raw(Side::Server, stream, &frame(0, b"\0last"));
        pair.finish_raw(Side::Server, stream);
        assert_eq!(pair.closed(Side::Client, client), TunnelClose::Finished);
        assert_eq!(pair.recv(Side::Client, client), [&b"last"[..]]);
    }
}

/// The same without an end: half a tunnel has less time.
#[test]
fn a_calm_stop_without_an_end() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = pair.tunnel(Dialect::Udp);
    let mut access = pair.pair.server();
    let mut recv = access.recv(server.stream()).expect("a stream");
    recv.stop(Code::H3_NO_ERROR.value()).expect("stops");
    pair.advance(Duration::from_millis(29_999));
    assert_eq!(pair.told(Side::Client, client), []);
    pair.advance(Duration::from_millis(1));
    assert_eq!(pair.closed(Side::Client, client), TunnelClose::Idle);
}

/// A message that is malformed as HTTP has the code of its rule.
#[test]
fn wrong_frames_are_the_connections_affair() {
    let net = Loopback::new(Knobs::default());
    let pair = LoopbackPair::over(config(|_| {}), config(|_| {}), 1, net);
    let mut pair = TunnelPair::over(pair, TunnelsConfig::default(), TunnelsConfig::default());
    pair.drive();
    let (client, server) = pair.tunnel(Dialect::Udp);
    let id = client.id();
    let (_, end) = pair.pair.connection(Side::Client);
    let mut chunks = [bytes::Bytes::from(frame(1, &[0, 0]))];
    aqueduct_core::transport::Transport::write(end, id, &mut chunks).expect("taken");
    let why = pair.closed(Side::Server, server);
    let TunnelClose::Connection(why) = why else {
        panic!("{why:?}")
    };
    let text = format!("{why:?}");
    assert!(
        text.contains(&format!("{:?}", Violation::FrameUnexpected)),
        "{text}"
    );
}
