use super::*;
use crate::transport::{DatagramRefused, ReadState, StreamGone, Transport};

/// Everything there is to move moves; what each side would hear, in order.
fn settle(net: &mut Loopback) -> Vec<(Side, TransportEvent)> {
    let mut heard = Vec::new();
    while net.step(&mut heard) {}
    heard
}

fn connected(knobs: Knobs) -> Loopback {
    let mut net = Loopback::new(knobs);
    settle(&mut net);
    net
}

/// What can be read at once, and how it ended.
fn read(end: &mut End, id: StreamId) -> (Vec<u8>, Result<ReadState, StreamGone>) {
    let mut all = Vec::new();
    loop {
        let mut out = [const { Bytes::new() }; 3];
        match end.read(id, 100, &mut out) {
            Ok(read) => {
                all.extend(out.iter().take(read.chunks).flatten());
                if read.state != ReadState::Open {
                    return (all, Ok(read.state));
                }
            }
            Err(gone) => return (all, Err(gone)),
        }
    }
}

#[test]
fn both_sides_connect_before_anything_else() {
    let mut net = Loopback::new(Knobs::default());
    assert_eq!(net.end(Side::Client).open(Dir::Bi), None);
    let heard = settle(&mut net);
    assert!(matches!(
        heard[..],
        [
            (
                Side::Client,
                TransportEvent::Connected {
                    early: EarlyData::None
                }
            ),
            (
                Side::Server,
                TransportEvent::Connected {
                    early: EarlyData::None
                }
            )
        ]
    ));
    assert!(net.end(Side::Client).open(Dir::Bi).is_some());
}

/// Streams of all kinds, both ways, more than the windows hold: every byte
/// arrives in order on every kind of network, and no stream is left over.
#[test]
fn bytes_arrive_whole_whatever_the_network_does() {
    for seed in 0..60 {
        let mut net = connected(Knobs {
            bi_streams: 2,
            ..Knobs::adversarial(seed)
        });
        let body: Bytes = (0..3_000u32).map(|n| n as u8).collect::<Vec<_>>().into();
        let mut writers = Vec::new();
        let mut readers: BTreeMap<StreamId, Vec<u8>> = BTreeMap::new();
        let (mut opened, mut done) = (0, 0);
        let mut heard = Vec::new();
        while done < 6 {
            if opened < 6 {
                let dir = if opened % 2 == 0 { Dir::Bi } else { Dir::Uni };
                if let Some(id) = net.end(Side::Client).open(dir) {
                    opened += 1;
                    writers.push((id, [body.clone()]));
                    if dir == Dir::Bi {
                        net.end(Side::Client).stop(id, 9);
                    }
                }
            }
            let client = net.end(Side::Client);
            writers.retain_mut(|(id, chunks)| {
                client
                    .write(*id, chunks)
                    .expect("a stream that takes bytes");
                if chunks[0].is_empty() {
                    client.finish(*id);
                }
                !chunks[0].is_empty()
            });
            let moved = (0..20).any(|_| net.step(&mut heard));
            let server = net.end(Side::Server);
            for dir in [Dir::Bi, Dir::Uni] {
                while let Some(id) = server.accept(dir) {
                    readers.insert(id, Vec::new());
                }
            }
            for (id, all) in &mut readers {
                let (bytes, state) = read(server, *id);
                all.extend(bytes);
                if state == Ok(ReadState::Finished) {
                    assert_eq!(all, &body, "SEED={seed}");
                    done += 1;
                    server.reset(*id, 5, &[]);
                }
            }
            assert!(moved || done == 6 || opened < 6, "stuck, SEED={seed}");
        }
        heard.extend(settle(&mut net));
        let finished = |(side, event): &&(Side, TransportEvent)| {
            *side == Side::Client && matches!(event, TransportEvent::Finished(_))
        };
        assert_eq!(heard.iter().filter(finished).count(), 6, "SEED={seed}");
        for side in [Side::Client, Side::Server] {
            assert_eq!(net.end(side).live_streams(), 0, "SEED={seed}");
        }
    }
}

#[test]
fn a_reset_discards_what_was_not_read() {
    for reliable_reset in [false, true] {
        let mut net = connected(Knobs {
            reliable_reset,
            ..Knobs::default()
        });
        let id = net.end(Side::Client).open(Dir::Uni).expect("credit");
        net.end(Side::Client)
            .write(id, &mut [Bytes::from_static(b"header, body")])
            .expect("room");
        settle(&mut net);
        net.end(Side::Client).reset(id, 7, b"header");
        settle(&mut net);
        let kept: &[u8] = if reliable_reset { b"header" } else { b"" };
        let server = net.end(Side::Server);
        assert_eq!(
            read(server, id),
            (
                kept.to_vec(),
                Err(StreamGone::Reset {
                    code: 7,
                    final_size: None
                })
            )
        );
        assert_eq!(read(server, id), (vec![], Err(StreamGone::Unknown)));
        assert_eq!(server.live_streams(), 0);
        assert_eq!(net.end(Side::Client).live_streams(), 0);
    }
}

#[test]
fn a_stopped_stream_fails_writes_until_it_is_reset() {
    let mut net = connected(Knobs::default());
    let id = net.end(Side::Client).open(Dir::Uni).expect("credit");
    net.end(Side::Client)
        .write(id, &mut [Bytes::from_static(b"x")])
        .expect("room");
    settle(&mut net);
    net.end(Side::Server).stop(id, 3);
    let heard = settle(&mut net);
    assert!(
        matches!(heard[..], [(Side::Client, TransportEvent::Stopped(_, 3))]),
        "{heard:?}"
    );
    let client = net.end(Side::Client);
    for _ in 0..2 {
        let taken = client.write(id, &mut [Bytes::from_static(b"y")]);
        assert_eq!(taken, Err(StreamGone::Stopped(3)));
    }
    client.reset(id, 3, &[]);
    assert_eq!(
        client.write(id, &mut [Bytes::new()]),
        Err(StreamGone::Unknown)
    );
    settle(&mut net);
    assert_eq!(net.end(Side::Server).live_streams(), 0);
}

#[test]
fn a_new_stream_is_told_by_opened_alone_and_opens_the_lower_ones() {
    let mut net = connected(Knobs::default());
    let client = net.end(Side::Client);
    let ids = [client.open(Dir::Bi), client.open(Dir::Bi)].map(|id| id.expect("credit"));
    client
        .write(ids[1], &mut [Bytes::from_static(b"x")])
        .expect("room");
    let heard = settle(&mut net);
    assert!(
        matches!(heard[..], [(Side::Server, TransportEvent::Opened(Dir::Bi))]),
        "{heard:?}"
    );
    assert_eq!(net.end(Side::Server).accept(Dir::Bi), Some(ids[0]));
    assert_eq!(net.end(Side::Server).accept(Dir::Bi), Some(ids[1]));
    assert_eq!(net.end(Side::Server).accept(Dir::Bi), None);
}

#[test]
fn a_window_blocks_until_the_reader_reads() {
    let mut net = connected(Knobs {
        stream_window: 4,
        ..Knobs::default()
    });
    let id = net.end(Side::Client).open(Dir::Uni).expect("credit");
    let mut rest = [Bytes::from_static(b"123456")];
    assert_eq!(net.end(Side::Client).write(id, &mut rest), Ok(4));
    assert_eq!(net.end(Side::Client).write(id, &mut rest), Ok(0));
    let told = |heard: &[(Side, TransportEvent)]| {
        heard
            .iter()
            .any(|(_, event)| matches!(event, TransportEvent::Writable(_)))
    };
    assert!(!told(&settle(&mut net)));
    assert_eq!(
        read(net.end(Side::Server), id),
        (b"1234".to_vec(), Ok(ReadState::Blocked))
    );
    assert!(told(&settle(&mut net)));
    assert_eq!(net.end(Side::Client).write(id, &mut rest), Ok(2));
}

#[test]
fn a_stream_limit_rises_when_streams_are_over() {
    let mut net = connected(Knobs {
        uni_streams: 1,
        ..Knobs::default()
    });
    let client = net.end(Side::Client);
    let id = client.open(Dir::Uni).expect("credit");
    assert_eq!(client.open(Dir::Uni), None);
    client.finish(id);
    settle(&mut net);
    assert_eq!(
        read(net.end(Side::Server), id),
        (vec![], Ok(ReadState::Finished))
    );
    let heard = settle(&mut net);
    assert!(matches!(
        heard[..],
        [(Side::Client, TransportEvent::Available(Dir::Uni))]
    ));
    assert!(net.end(Side::Client).open(Dir::Uni).is_some());
}

#[test]
fn datagrams_are_refused_for_the_right_reason() {
    let knobs = Knobs {
        datagram_queue: 1,
        path_datagram_size: 10,
        ..Knobs::default()
    };
    let mut net = connected(knobs);
    let client = net.end(Side::Client);
    let small = Bytes::from_static(b"x");
    assert_eq!(
        client.send_datagram(vec![0; 11].into()),
        Err(DatagramRefused::TooLarge)
    );
    assert_eq!(client.send_datagram(small.clone()), Ok(()));
    assert_eq!(
        client.send_datagram(small.clone()),
        Err(DatagramRefused::Blocked(small.clone()))
    );
    let heard = settle(&mut net);
    assert!(matches!(
        heard[..],
        [
            (Side::Server, TransportEvent::Datagrams),
            (Side::Client, TransportEvent::DatagramsUnblocked)
        ]
    ));
    assert_eq!(net.end(Side::Server).recv_datagram(), Some(small.clone()));

    let none = Knobs {
        datagram_size: None,
        ..Knobs::default()
    };
    let mut net = Loopback::with_ends(Knobs::default(), none);
    settle(&mut net);
    assert_eq!(
        net.end(Side::Client).send_datagram(small),
        Err(DatagramRefused::Disabled)
    );
}

#[test]
fn a_close_overtakes_everything_and_is_told_to_the_peer_alone() {
    let mut net = connected(Knobs::default());
    let id = net.end(Side::Client).open(Dir::Uni).expect("credit");
    net.end(Side::Client)
        .write(id, &mut [Bytes::from_static(b"lost")])
        .expect("room");
    net.end(Side::Client).close(0x100, "bye".into());
    let heard = settle(&mut net);
    let [(Side::Server, TransportEvent::Closed(reason))] = &heard[..] else {
        panic!("{heard:?}");
    };
    let expected = CloseReason::Remote {
        code: Code::H3_NO_ERROR,
        reason: Bytes::from_static(b"bye"),
    };
    assert_eq!(reason, &expected);
    assert_eq!(net.end(Side::Server).accept(Dir::Uni), None);
}
