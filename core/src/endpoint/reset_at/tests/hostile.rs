//! A peer that wants to do harm with resets.

use super::*;
use crate::code::Code;
use crate::mix::Mix;

/// QUIC's codes (RFC 9000 section 20.1).
const FLOW_CONTROL: u64 = 0x03;

const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// The first stream of the client's that is no part of HTTP/3.
const FIRST: u64 = 0x12;

/// A session's code 0.
const CODE: u64 = 0x52e4_a40f_a8db;

/// A frame of these integers.
fn frame(ty: u64, ints: &[u64]) -> Vec<u8> {
    let mut frame = Vec::new();
    for int in [&[ty], ints].concat() {
        crate::wire::varint::put(&mut frame, int).expect("in range");
    }
    frame
}

impl Net {
    /// Makes a side send these frames in its next packet, and lets that arrive.
    fn forge(&mut self, side: Side, frames: Vec<u8>) {
        let shared = self.shared(side);
        shared.with(|ledger| ledger.forged = frames);
        shared.note();
        self.state(side).quic.ping();
        self.at(side);
        self.pair.advance(Duration::from_millis(40));
        if self.is_there(side) {
            self.shared(side).note();
        }
    }

    /// Reads what there is; whether the side's connection has ended.
    fn hear(&mut self, side: Side) -> bool {
        let events = match side {
            Side::Client => self.pair.client.take(self.keys[0]),
            Side::Server => self.pair.server.take(self.keys[1]),
        };
        for event in events {
            if !self.is_there(side) {
                return true;
            }
            match event {
                Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                    self.heard[side as usize].insert(stream.id().wire(), Default::default());
                    self.read(side, stream);
                }
                Event::Stream(stream, _) => self.read(side, stream),
                Event::Closed(_) => return true,
                _ => {}
            }
        }
        !self.is_there(side)
    }

    fn is_there(&mut self, side: Side) -> bool {
        let (end, key) = match side {
            Side::Client => (&mut self.pair.client, self.keys[0]),
            Side::Server => (&mut self.pair.server, self.keys[1]),
        };
        state_of(&mut end.endpoint.slots, key).is_some()
    }

    /// The code for which the server has closed on its own.
    fn error(&mut self) -> Option<u64> {
        match self.closed()? {
            CloseReason::Transport(TransportFailure::Error { code, .. }) => Some(code),
            reason => panic!("{reason:?}"),
        }
    }
}

fn narrow() -> Net {
    let mut options = Options::default();
    options.transport.initial_receive_window = 100_000;
    options.transport.receive_window = 100_000;
    options.transport.stream_receive_window = 60_000;
    Net::new(options)
}

/// That of the connection's 100,000 bytes there are no more: two streams end beyond it.
fn assert_no_credit_beyond(mut net: Net, next: u64, why: &str) {
    assert_eq!(net.error(), None, "{why}");
    let beyond = [next, next + 4].map(|id| frame(0x24, &[id, CODE, 55_000, 3]));
    net.forge(Side::Client, beyond.concat());
    assert_eq!(net.error(), Some(FLOW_CONTROL), "{why}");
}

/// Row B37: whichever resets there are of a stream, what it takes of the connection's credit
/// comes back once.
#[test]
fn credit_is_given_back_once() {
    for (why, last) in [
        ("lowered to nothing", &[0x24, 0][..]),
        ("a plain one", &[0x04]),
        ("twice", &[0x24, 3]),
    ] {
        let mut net = narrow();
        let mut next = FIRST;
        for _ in 0..10 {
            // Its header comes in the same packet, behind the resets.
            let stream = net.open(Side::Client, Dir::Uni).expect("room");
            let ints = [stream.id().wire(), CODE, 40_000];
            let first = frame(0x24, &[&ints[..], &[3]].concat());
            let end = frame(last[0], &[&ints, &last[1..]].concat());
            net.forge(Side::Client, [first, end].concat());
            net.listen();
            next = ints[0] + 4;
        }
        assert_no_credit_beyond(net, next, why);
    }
}

/// Row B37: nor does a plain reset make credit out of nothing, whose stream is then stopped.
#[test]
fn credit_of_a_stream_that_is_stopped_is_given_back_once() {
    let mut net = narrow();
    let mut id = FIRST;
    for _ in 0..5 {
        let stream = net.open(Side::Client, Dir::Uni).expect("room");
        assert_eq!(stream.id().wire(), id);
        net.write(Side::Client, stream, &[7; 40_000]);
        net.pair.advance(Duration::from_millis(300));
        net.forge(Side::Client, frame(0x04, &[id, CODE, 40_003]));
        let events = net.pair.server.take(net.keys[1]);
        let opened = events.into_iter().find_map(|event| match event {
            Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => Some(stream),
            _ => None,
        });
        let mut connection = net.at(Side::Server);
        let mut access = connection.access();
        let mut recv = access
            .recv(opened.expect("its header came"))
            .expect("unread");
        recv.stop(4).expect("stops");
        net.pair.advance(Duration::from_millis(40));
        id += 4;
    }
    assert_no_credit_beyond(net, id, "stopped");
}

fn one(luck: &mut Mix, choice: &[u64]) -> u64 {
    choice[(luck.next() % choice.len() as u64) as usize]
}

/// HTTP/3's, sessions' and nobody's, of both ends.
const STREAMS: [u64; 14] = [
    0,
    1,
    2,
    3,
    4,
    6,
    9,
    14,
    18,
    19,
    398,
    402,
    4 << 20,
    (1 << 62) - 2,
];

/// Frames of streams, some of which agree; now and then one that may not be.
fn frenzy(luck: &mut Mix, streams: &[u64]) -> Vec<u8> {
    let strange = streams.is_empty() || luck.next().is_multiple_of(12);
    let mut of = |usual: &[u64], unusual: &[u64]| one(luck, if strange { unusual } else { usual });
    // Of sessions' streams, of HTTP/3's, and of those of nobody, of either end.
    let id = of(streams, &STREAMS);
    let size = of(&[100], &[0, 1, 2, 3, 8, 60_000, 1 << 30, (1 << 62) - 1]);
    let code = of(&[CODE], &[CODE + 1, 0x10c]);
    let reliable = of(&[0, 3, 5, 8, 100], &[0, 3, size, size + 1]).min((1 << 62) - 1);
    match of(&[0x24, 0x24, 0x04, 0x0f, 0x0e], &[0x24, 0x24, 0x04, 0x05]) {
        0x24 => frame(0x24, &[id, code, size, reliable]),
        0x04 => frame(0x04, &[id, code, size]),
        0x05 => frame(0x05, &[id, code]),
        0x0f => frame(0x0f, &[id, size, 0]),
        _ => [&frame(0x0a, &[id, 6])[..], &[0x40, 0x54, 0, 7, 7, 7]].concat(),
    }
}

/// Frames that a peer may send of a stream that it sends on, whose header or more has come.
fn legal(luck: &mut Mix, id: u64) -> Vec<u8> {
    let mut frames = Vec::new();
    for _ in 0..1 + luck.next() % 3 {
        frames.extend(match one(luck, &[0x24, 0x24, 0x24, 0x04, 0x0f]) {
            0x24 => {
                let reliable = one(luck, &[0, 1, 2, 3, 5, 8, 50, 100]);
                frame(0x24, &[id, CODE, 100, reliable])
            }
            0x04 => frame(0x04, &[id, CODE, 100]),
            _ => frame(0x0f, &[id, 100, 0]),
        });
    }
    frames
}

fn narrow_in_streams(seed: u64) -> Net {
    let mut options = Options {
        seed,
        record: false,
        ..Options::default()
    };
    options.transport.max_streams_uni = 20;
    options.transport.max_streams_bidi = 20;
    Net::new(options)
}

/// Row B37: whatever a peer sends of resets, nothing breaks, and no more is noted than there
/// are streams.
#[test]
fn any_frames_in_any_order_do_no_harm() {
    let mut turns = 0;
    for seed in 0..weather::seeds() {
        let mut luck = Mix(seed);
        let mut net = narrow_in_streams(seed);
        let mut streams = [vec![], vec![]];
        let mut over = false;
        while !over {
            turns += 1;
            let side = SIDES[(luck.next() % 2) as usize];
            let dir = [Dir::Bi, Dir::Uni][(luck.next() % 2) as usize];
            let streams = &mut streams[side as usize];
            if let Some(stream) = net.open(side, dir) {
                streams.push(stream.id().wire());
                match luck.next() % 4 {
                    0 => net.write(side, stream, b"hello"),
                    1 => net.reset(side, stream, 0),
                    _ => {}
                }
            }
            let frames = (0..3).flat_map(|_| frenzy(&mut luck, streams));
            net.forge(side, frames.collect());
            over = SIDES.map(|side| net.hear(side)).contains(&true);
            for side in SIDES {
                if net.is_there(side) {
                    let noted = net.shared(side).with(|ledger| ledger.noted());
                    assert!(noted <= 80, "seed {seed}: {noted}");
                }
            }
        }
        net.pair.advance(Duration::from_secs(40));
        let left = SIDES.map(|side| net.is_there(side));
        assert_eq!(left, [false; 2], "seed {seed}");
    }
    assert!(turns > 2 * weather::seeds(), "{turns}");
}

/// Row B37: resets that agree, in whichever order, end their streams and nothing else.
#[test]
fn frames_that_agree_close_nothing() {
    for seed in 0..weather::seeds().div_ceil(4) {
        let mut luck = Mix(seed);
        let mut net = narrow_in_streams(seed);
        let mut streams = Vec::new();
        for _ in 0..60 {
            let side = SIDES[(luck.next() % 2) as usize];
            let dir = [Dir::Bi, Dir::Uni][(luck.next() % 2) as usize];
            if let Some(stream) = net.open(side, dir) {
                if luck.next().is_multiple_of(2) {
                    net.write(side, stream, b"hello");
                }
                streams.push((side, stream.id().wire()));
            }
            let (side, id) = streams[(luck.next() % streams.len() as u64) as usize];
            net.forge(side, legal(&mut luck, id));
            assert_eq!(SIDES.map(|side| net.hear(side)), [false; 2], "seed {seed}");
        }
        // All that was opened, for there was room to the end.
        assert!(streams.len() > 40, "{}", streams.len());
        for (side, id) in streams {
            net.forge(side, frame(0x24, &[id, CODE, 100, 3]));
            assert_eq!(SIDES.map(|side| net.hear(side)), [false; 2], "seed {seed}");
        }
        net.settle();
        net.assert_over();
    }
}

/// Row B37: of a stream that may not end, it is no better than RESET_STREAM.
#[test]
fn streams_of_http3_may_not_be_reset_either() {
    for id in [2, 6, 10] {
        let mut net = Net::new(Options::default());
        // All that was sent of it arrives.
        net.forge(Side::Client, frame(0x24, &[id, CODE, 200, 1]));
        let closed = net.closed().expect("closes");
        let CloseReason::PeerMisbehaved { code, .. } = closed else {
            panic!("{id}: {closed:?}");
        };
        assert_eq!(code, Code::H3_CLOSED_CRITICAL_STREAM, "{id}");
    }
}

/// Row B37: a peer that opens streams to reset them at once, for ever, is held by the budget
/// for useless things.
#[test]
fn streams_that_are_reset_at_once_for_ever_are_too_many() {
    let mut net = Net::new(Options::default());
    let mut resets = 0;
    let closed = loop {
        while net.is_there(Side::Client)
            && let Some(stream) = net.open(Side::Client, Dir::Uni)
        {
            net.reset(Side::Client, stream, 3);
            resets += 1;
        }
        net.pair.advance(Duration::from_millis(20));
        let events = net.pair.server.take(net.keys[1]);
        let mut told = None;
        for event in events {
            match event {
                Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                    net.heard[1].insert(stream.id().wire(), Default::default());
                    if net.is_there(Side::Server) {
                        net.read(Side::Server, stream);
                    }
                }
                Event::Closed(reason) => told = Some(reason),
                _ => {}
            }
        }
        if let Some(reason) = told {
            break reason;
        }
        assert!(resets < 5_000, "for ever");
    };
    let CloseReason::PeerMisbehaved { code, .. } = *closed else {
        panic!("{closed:?}");
    };
    assert_eq!(code, Code::H3_EXCESSIVE_LOAD);
    assert!(resets > 1_000, "{resets}");
}

/// Row B37: as many as there may be at both ends at once, with losses.
#[test]
fn resets_of_both_ends_at_once_on_a_bad_path() {
    let mut options = Options::default();
    (
        options.transport.max_streams_uni,
        options.transport.max_streams_bidi,
    ) = (1_100, 1_100);
    for config in [&mut options.client, &mut options.server] {
        config.webtransport.flow = None;
    }
    let mut net = Net::new(options);
    net.weather(50, 50);
    for number in 0..900 {
        for side in SIDES {
            let dir = [Dir::Bi, Dir::Uni][number % 2];
            let stream = net.open(side, dir).expect("room");
            net.reset(side, stream, 3);
        }
    }
    let start = net.pair.now;
    let ended = |net: &Net, side: usize| {
        let heard = net.heard[side].values();
        heard.filter(|heard| heard.1 == Some(Err(3))).count()
    };
    while [0, 1].map(|side| ended(&net, side)) != [900, 900] {
        net.pair.advance(Duration::from_millis(10));
        net.listen();
        assert!(
            net.pair.now - start < Duration::from_secs(5),
            "took too long"
        );
    }
    net.weather(0, 0);
    net.settle();
    net.assert_over();
}
