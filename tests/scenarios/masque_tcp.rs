//! TCP through tunnels, in all dialects.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::head::End;
use aqueduct_core::id::{Side, StreamKey};
use aqueduct_core::masque::{
    Dialect, TunnelClose, TunnelEvent, TunnelFault, TunnelIoError, TunnelKey, TunnelRead,
};
use aqueduct_core::testing::loopback::{Knobs, Rng};
use aqueduct_core::testing::raw::{frame, varint};
use aqueduct_tests::seeds;
use aqueduct_tests::tunnels::{TunnelPair, asking};
use bytes::Bytes;

const DIALECTS: [Dialect; 3] = [Dialect::Tcp12, Dialect::Tcp07, Dialect::Classic];
const SIDES: [Side; 2] = [Side::Client, Side::Server];
/// DATA and FINAL_DATA of draft 12.
const DATA: u64 = 0x2028_d7f2;
const FINAL_DATA: u64 = 0x2028_d7f3;

/// A request for a tunnel that no machine of the client's knows of, accepted.
fn by_hand(pair: &mut TunnelPair, dialect: Dialect) -> (StreamKey, TunnelKey) {
    let head = asking(dialect).head().expect("a head");
    let sent = pair.pair.client().request(&head, End::More);
    let client = sent.expect("a request is sent");
    let (server, _) = pair.requested().expect("a tunnel is asked for");
    pair.accept(server);
    pair.drive();
    (client, server)
}

fn ends(client: TunnelKey, server: TunnelKey) -> [(Side, TunnelKey, TunnelKey); 2] {
    [
        (Side::Client, client, server),
        (Side::Server, server, client),
    ]
}

fn nothing_is_left(pair: &mut TunnelPair, what: &str) {
    for side in SIDES {
        assert!(pair.tunnels(side).is_empty(), "{what}: {}", pair.story());
        assert_eq!(pair.others(side), [], "{what}");
    }
    assert_eq!(pair.pair.server().open_requests(), 0, "{what}");
}

/// Row C17: bytes go both ways, each way ends by itself, and both ends are the end.
#[test]
fn each_direction_ends_by_itself() {
    for dialect in DIALECTS {
        for first in SIDES {
            let mut pair = TunnelPair::connected(Knobs::default());
            let (client, server) = pair.tunnel(dialect);
            let mut both = ends(client, server);
            both.sort_by_key(|(side, ..)| *side != first);
            let [(from, key, there), (to, ..)] = both;
            let what = format!("{dialect:?} {first:?}");
            assert_eq!(pair.write(from, key, &mut ["ask".into()]), Ok(3));
            pair.finish(from, key).expect("ends");
            assert_eq!(pair.finish(from, key), Err(TunnelIoError::Finished));
            let late = pair.write(from, key, &mut ["more".into()]);
            assert_eq!(late, Err(TunnelIoError::Finished), "{what}");
            assert_eq!(pair.told(to, there), [TunnelEvent::Readable]);
            assert_eq!(pair.read_all(to, there), (b"ask".to_vec(), true));
            assert_eq!(pair.read(to, there, 9), Ok(TunnelRead::Blocked));
            pair.advance(Duration::from_secs(20));
            assert_eq!(pair.write(to, there, &mut ["answer".into()]), Ok(6));
            assert_eq!(pair.told(from, key), [TunnelEvent::Readable], "{what}");
            assert_eq!(pair.read_all(from, key), (b"answer".to_vec(), false));
            pair.finish(to, there).expect("ends");
            assert_eq!(pair.told(from, key), [TunnelEvent::Readable], "{what}");
            assert_eq!(pair.read_all(from, key), (vec![], true), "{what}");
            for (side, key, _) in both {
                assert_eq!(pair.closed(side, key), TunnelClose::Finished, "{what}");
            }
            nothing_is_left(&mut pair, &what);
        }
    }
}

/// Row C17: a proxy whose targets have all said their last is still sent to, by however
/// many: the connection does not take the tunnels for requests that nobody reads.
#[test]
fn many_halves_stay_open() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let all: Vec<_> = (0..30).map(|_| pair.tunnel(Dialect::Classic)).collect();
    for (_, server) in &all {
        pair.finish(Side::Server, *server).expect("ends");
    }
    pair.advance(Duration::from_secs(1));
    for (client, server) in all {
        assert_eq!(
            pair.write(Side::Client, client, &mut ["late".into()]),
            Ok(4)
        );
        pair.finish(Side::Client, client).expect("ends");
        assert_eq!(
            pair.read_all(Side::Server, server),
            (b"late".to_vec(), true)
        );
        assert_eq!(pair.closed(Side::Server, server), TunnelClose::Finished);
    }
}

/// Row C17: the last bytes are not lost on a reader that takes its time, though the peer
/// has nothing more to do with the tunnel.
#[test]
fn a_slow_reader_gets_the_last_bytes() {
    for dialect in DIALECTS {
        for first in SIDES {
            let mut pair = TunnelPair::connected(Knobs::default());
            let (client, server) = pair.tunnel(dialect);
            let (slow, key, there) = match first {
                Side::Client => (first, client, server),
                Side::Server => (first, server, client),
            };
            pair.finish(slow, key).expect("ends");
            let mut last = [Bytes::from(vec![7; 300_000])];
            let other = slow.peer();
            assert_eq!(pair.read_all(other, there), (vec![], true));
            assert_eq!(pair.write(other, there, &mut last), Ok(300_000));
            pair.finish(other, there).expect("ends");
            assert_eq!(pair.told(slow, key), [TunnelEvent::Readable]);
            pair.advance(Duration::from_secs(20));
            let (all, ended) = pair.read_all(slow, key);
            assert_eq!((all.len(), ended), (300_000, true), "{dialect:?} {first:?}");
            assert_eq!(pair.closed(slow, key), TunnelClose::Finished);
            nothing_is_left(&mut pair, &format!("{dialect:?} {first:?}"));
        }
    }
}

/// Row C17: an abort is one on the other side, at once, with H3_CONNECT_ERROR.
#[test]
fn an_abort_is_a_reset() {
    for dialect in DIALECTS {
        for from in SIDES {
            for half in [false, true] {
                let mut pair = TunnelPair::connected(Knobs::default());
                let (client, server) = pair.tunnel(dialect);
                let (key, there) = match from {
                    Side::Client => (client, server),
                    Side::Server => (server, client),
                };
                pair.write(from, key, &mut ["lost".into()]).expect("room");
                if half {
                    pair.finish(from, key).expect("ends");
                    pair.drive();
                }
                pair.with(from, |tunnels, access, now| {
                    tunnels.abort(access, now, key);
                });
                let reset = TunnelClose::Reset(Code::H3_CONNECT_ERROR);
                assert_eq!(
                    pair.closed(from.peer(), there),
                    reset,
                    "{dialect:?} {from:?}"
                );
                assert_eq!(pair.told(from, key), []);
                let gone = pair.read(from.peer(), there, 9);
                assert_eq!(gone, Err(TunnelIoError::Gone));
                nothing_is_left(&mut pair, &format!("{dialect:?} {from:?} {half}"));
            }
        }
    }
}

/// Row C17: a stream that ends before FINAL_DATA has come is an abort.
#[test]
fn an_end_without_final_data_is_a_reset() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = by_hand(&mut pair, Dialect::Tcp12);
    pair.write_raw(Side::Client, client, &frame(DATA, b"bytes"));
    pair.finish_raw(Side::Client, client);
    let bytes = pair.read(Side::Server, server, 99);
    assert_eq!(bytes, Ok(TunnelRead::Bytes("bytes".into())));
    let reset = pair.read(Side::Server, server, 99);
    assert_eq!(reset, Err(TunnelIoError::Reset));
    let reset = TunnelClose::Reset(Code::H3_CONNECT_ERROR);
    assert_eq!(pair.closed(Side::Server, server), reset);
    let text = format!("{:?}", pair.others(Side::Client));
    assert!(text.contains("H3_CONNECT_ERROR"), "{text}");
}

/// Row C17: nothing follows FINAL_DATA but the end and what is unknown, whether anybody
/// reads or not, and whenever it comes.
#[test]
fn data_after_the_final_data() {
    let final_data = frame(FINAL_DATA, b"last");
    for wrong in [frame(DATA, b"more"), frame(FINAL_DATA, b"")] {
        for together in [false, true] {
            let mut pair = TunnelPair::connected(Knobs::default());
            let (client, server) = by_hand(&mut pair, Dialect::Tcp12);
            pair.write_raw(Side::Client, client, &final_data);
            pair.write_raw(Side::Client, client, &frame(0x17, b"unknown"));
            if together {
                pair.write_raw(Side::Client, client, &wrong);
            }
            assert_eq!(
                pair.read_all(Side::Server, server),
                (b"last".to_vec(), true)
            );
            if !together {
                assert_eq!(pair.tunnels(Side::Server).live(), 1);
                pair.write_raw(Side::Client, client, &wrong);
            }
            let fault = TunnelClose::Fault(TunnelFault::DataAfterEnd);
            assert_eq!(pair.closed(Side::Server, server), fault, "{together}");
            let text = format!("{:?}", pair.others(Side::Client));
            assert!(text.contains("H3_MESSAGE_ERROR"), "{text}");
        }
    }
    // An end in order after it is none of these.
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = by_hand(&mut pair, Dialect::Tcp12);
    pair.write_raw(Side::Client, client, &final_data);
    pair.finish_raw(Side::Client, client);
    assert_eq!(
        pair.read_all(Side::Server, server),
        (b"last".to_vec(), true)
    );
    assert_eq!(pair.write(Side::Server, server, &mut ["on".into()]), Ok(2));
    pair.finish(Side::Server, server).expect("ends");
    assert_eq!(pair.closed(Side::Server, server), TunnelClose::Finished);
}

/// Row C17: a capsule that is cut short is malformed, one that is unknown is passed over.
#[test]
fn capsules_that_are_wrong_or_unknown() {
    let mut pair = TunnelPair::connected(Knobs::default());
    let (client, server) = by_hand(&mut pair, Dialect::Tcp12);
    let cut = [varint(DATA), varint(9), b"cut".to_vec()].concat();
    for bytes in [frame(0, b"\0udp"), frame(0x2028_d7f0, b"07"), cut] {
        pair.write_raw(Side::Client, client, &bytes);
    }
    pair.finish_raw(Side::Client, client);
    let bytes = pair.read(Side::Server, server, 99);
    assert_eq!(bytes, Ok(TunnelRead::Bytes("cut".into())));
    assert_eq!(
        pair.read(Side::Server, server, 99),
        Err(TunnelIoError::Reset)
    );
    let why = pair.closed(Side::Server, server);
    assert!(
        matches!(why, TunnelClose::Fault(TunnelFault::Capsule(_))),
        "{why:?}"
    );
    let text = format!("{:?}", pair.others(Side::Client));
    assert!(text.contains("H3_MESSAGE_ERROR"), "{text}");
}

/// Row C17: bytes that were offered are promised; an end without them is an abort.
#[test]
fn a_promise_is_kept_or_the_tunnel_reset() {
    let knobs = Knobs {
        stream_window: 64,
        send_buffer: 64,
        ..Knobs::default()
    };
    let mut pair = TunnelPair::connected(knobs);
    let (client, server) = pair.tunnel(Dialect::Tcp12);
    let mut chunks = [Bytes::from(vec![7; 100_000])];
    let taken = pair.write(Side::Client, client, &mut chunks).expect("room");
    assert!(taken < 100_000);
    pair.drive();
    assert_eq!(
        pair.finish(Side::Client, client),
        Err(TunnelIoError::Promised)
    );
    let reset = TunnelClose::Reset(Code::H3_CONNECT_ERROR);
    assert_eq!(pair.closed(Side::Server, server), reset);
}

/// Row C17: after less than was offered there is always a word when to go on, also when
/// what is offered then is more, or less, than was promised.
#[test]
fn a_write_that_was_cut_goes_on() {
    for seed in seeds(24) {
        let dialect = DIALECTS[seed as usize % 3];
        let mut pair = TunnelPair::connected(Knobs::adversarial(seed));
        let (client, server) = pair.tunnel(dialect);
        let mut rng = Rng::new(seed);
        let mut closed = Vec::new();
        for (from, key, there) in ends(client, server) {
            let to = from.peer();
            let data: Vec<u8> = (0..1000u32).map(|n| (n % 251) as u8).collect();
            let (mut sent, mut came, mut ended) = (0, Vec::new(), false);
            while !ended {
                while sent < data.len() {
                    // The rest and more of it in two chunks, or the next few bytes alone.
                    let left = &data[sent..];
                    let some = 1 + rng.below(left.len() as u64) as usize;
                    let half = some / 2;
                    let mut chunks = [
                        Bytes::copy_from_slice(&left[..half]),
                        Bytes::copy_from_slice(&left[half..some]),
                    ];
                    let taken = pair.write(from, key, &mut chunks).expect("open");
                    sent += taken;
                    if taken < some {
                        break;
                    }
                }
                let blocked = sent < data.len();
                if !blocked && pair.finish(from, key).is_ok() {
                    sent = data.len();
                }
                let (bytes, end) = pair.read_all(to, there);
                came.extend(bytes);
                ended = end;
                let mut told = pair.told(from, key);
                told.retain(|event| *event != TunnelEvent::Readable);
                closed.extend(told.extract_if(.., |event| matches!(event, TunnelEvent::Closed(_))));
                if blocked {
                    assert_eq!(told, [TunnelEvent::Writable], "SEED={seed} at {sent}");
                }
            }
            assert_eq!(came, data, "SEED={seed}");
        }
        for (side, key, _) in ends(client, server) {
            closed.extend(
                pair.told(side, key)
                    .into_iter()
                    .filter(|event| *event != TunnelEvent::Readable),
            );
        }
        let finished = TunnelEvent::Closed(TunnelClose::Finished);
        assert_eq!(closed, [finished.clone(), finished], "SEED={seed}");
        nothing_is_left(&mut pair, &format!("SEED={seed}"));
    }
}

/// Row C17: who closes when both directions have ended loses nothing of the end, which the
/// stream may not have taken yet.
#[test]
fn a_close_after_both_ends_is_in_order() {
    for seed in seeds(30) {
        let dialect = DIALECTS[seed as usize % 3];
        let mut pair = TunnelPair::connected(Knobs::adversarial(seed));
        let (client, server) = pair.tunnel(dialect);
        pair.finish(Side::Client, client).expect("ends");
        assert_eq!(pair.read_all(Side::Server, server), (vec![], true));
        pair.finish(Side::Server, server).expect("ends");
        pair.close(Side::Server, server);
        assert_eq!(
            pair.read_all(Side::Client, client),
            (vec![], true),
            "SEED={seed}"
        );
        let mut told = pair.told(Side::Client, client);
        told.retain(|event| *event != TunnelEvent::Readable);
        let finished = TunnelEvent::Closed(TunnelClose::Finished);
        assert_eq!(told, [finished], "SEED={seed}");
        nothing_is_left(&mut pair, &format!("SEED={seed}"));
    }
}

/// Row C34: a burst waits at the sender while nobody reads, and then all of it comes, in
/// order.
#[test]
fn a_burst_waits_for_its_reader() {
    for dialect in DIALECTS {
        let mut pair = TunnelPair::connected(Knobs::default());
        pair.pair.stop_recording();
        let (client, server) = pair.tunnel(dialect);
        let burst: Vec<u8> = (0..4u32 << 20).map(|n| (n >> 8) as u8 ^ n as u8).collect();
        let mut chunks = [Bytes::from(burst.clone())];
        pair.write(Side::Client, client, &mut chunks).expect("room");
        for _ in 0..10 {
            pair.advance(Duration::from_secs(2));
            pair.write(Side::Client, client, &mut chunks).expect("room");
        }
        // The window of the stream, and what the transport holds.
        let taken = burst.len() - chunks[0].len();
        assert!(taken < 3 << 20, "{taken}");
        let mut came = Vec::new();
        while came.len() < burst.len() {
            came.extend(pair.read_all(Side::Server, server).0);
            pair.write(Side::Client, client, &mut chunks).expect("room");
        }
        assert!(came == burst, "{dialect:?}");
    }
}
