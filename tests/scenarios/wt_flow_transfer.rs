//! Much data through small windows, and nobody starves.

use std::collections::{BTreeMap, VecDeque};

use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::id::{Dir, SessionKey, Side, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_tests::wt::{limited_pair, limits};
use aqueduct_tests::{config, seeds};
use bytes::Bytes;

const MIB: u64 = 1 << 20;

/// One stream each way of thinking: what is sent, and what has arrived.
struct Transfer {
    session: SessionKey,
    from: StreamKey,
    sent: u64,
    arrived: u64,
    ended: bool,
}

/// Sends `size` bytes on one stream in each session, both sides driven by their
/// events alone, and gives what had arrived when the first was through.
struct Run {
    pair: LoopbackPair,
    sender: Side,
    size: u64,
    transfers: Vec<Transfer>,
    pattern: Bytes,
    first_through: Option<Vec<u64>>,
}

impl Run {
    fn new(mut pair: LoopbackPair, sender: Side, sessions: usize, size: u64) -> Self {
        let keys: Vec<_> = (0..sessions)
            .map(|_| pair.session("https://example.com/wt"))
            .collect();
        let transfers = keys
            .into_iter()
            .map(|(client, server)| {
                let session = if sender == Side::Client {
                    client
                } else {
                    server
                };
                let from = pair
                    .access(sender)
                    .webtransport(session)
                    .open_stream(Dir::Uni);
                Transfer {
                    session,
                    from: from.expect("a stream"),
                    sent: 0,
                    arrived: 0,
                    ended: false,
                }
            })
            .collect();
        // A period that divides nothing, so that bytes that move are noticed.
        let pattern = (0..65_521u32 * 2).map(|n| (n % 65_521) as u8 ^ ((n % 65_521) >> 8) as u8);
        Self {
            pair,
            sender,
            size,
            transfers,
            pattern: pattern.collect(),
            first_through: None,
        }
    }

    /// Up to `len` bytes of what every stream carries, from an offset.
    fn bytes(&self, offset: u64, len: u64) -> Bytes {
        let at = (offset % 65_521) as usize;
        let len = len.min(65_521) as usize;
        self.pattern.slice(at..at + len)
    }

    fn write(&mut self, n: usize) {
        loop {
            let Transfer { from, sent, .. } = self.transfers[n];
            if sent == self.size {
                let mut access = self.pair.access(self.sender);
                if let Ok(mut send) = access.send(from) {
                    // Writable may be told once more after the end.
                    let _ = send.finish();
                }
                return;
            }
            let mut chunks = [self.bytes(sent, self.size - sent)];
            let mut access = self.pair.access(self.sender);
            let mut send = access.send(from).expect("a stream");
            let taken = send.write(&mut chunks).expect("takes");
            self.transfers[n].sent += taken as u64;
            if !chunks[0].is_empty() {
                return;
            }
        }
    }

    fn read(&mut self, to: StreamKey) {
        let n = self.transfers.iter().position(|t| t.from.id() == to.id());
        let n = n.expect("one of them");
        loop {
            let mut out = [const { Bytes::new() }; 16];
            let mut access = self.pair.access(self.sender.peer());
            let Ok(mut recv) = access.recv(to) else {
                return;
            };
            let read = recv.read(usize::MAX, &mut out).expect("bytes");
            for mut chunk in out.into_iter().take(read.chunks) {
                while !chunk.is_empty() {
                    let at = self.transfers[n].arrived;
                    let expected = self.bytes(at, chunk.len() as u64);
                    assert!(chunk.split_to(expected.len()) == expected, "wrong at {at}");
                    self.transfers[n].arrived += expected.len() as u64;
                }
            }
            match read.state {
                ReadState::Open => {}
                ReadState::Blocked => return,
                ReadState::Finished => {
                    self.transfers[n].ended = true;
                    let now = self.transfers.iter().map(|t| t.arrived).collect();
                    self.first_through.get_or_insert(now);
                    return;
                }
            }
        }
    }

    fn run(&mut self) {
        let by_stream: BTreeMap<_, _> = self
            .transfers
            .iter()
            .enumerate()
            .map(|(n, t)| (t.from, n))
            .collect();
        for n in 0..self.transfers.len() {
            self.write(n);
        }
        let mut todo = VecDeque::new();
        while self.pair.step() || !todo.is_empty() {
            for side in [self.sender, self.sender.peer()] {
                todo.extend(std::iter::from_fn(|| self.pair.take(side, Ok)).map(|e| (side, e)));
            }
            match todo.pop_front() {
                Some((side, Event::Stream(key, StreamEvent::Writable))) if side == self.sender => {
                    self.write(by_stream[&key]);
                }
                Some((side, event)) if side != self.sender => match event {
                    Event::Stream(key, StreamEvent::Readable) => self.read(key),
                    Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                        self.read(stream);
                    }
                    Event::WebTransport(_, SessionEvent::Closed(why)) => panic!("{why}"),
                    _ => {}
                },
                Some((_, Event::Closed(why))) => panic!("{why}"),
                _ => {}
            }
        }
        for transfer in &self.transfers {
            assert!(
                transfer.ended,
                "stops at {} of {}",
                transfer.arrived, self.size
            );
            assert_eq!(transfer.arrived, self.size);
        }
    }
}

/// Row B23: 100 MiB through a window of 1 MiB, in either direction.
#[test]
fn a_hundred_mebibytes() {
    for sender in [Side::Client, Side::Server] {
        let window = limits(MIB, 10, 10);
        let pair = limited_pair(window, window, Knobs::default());
        let mut run = Run::new(pair, sender, 1, 100 * MIB);
        run.run();
        let session = run.transfers[0].session;
        let stats = run
            .pair
            .access(sender)
            .webtransport(session)
            .stats()
            .expect("a session");
        assert_eq!(stats.bytes_sent, 100 * MIB);
        let limit = stats.flow_control.expect("flow control").send_data;
        assert!((100 * MIB..=101 * MIB).contains(&limit), "{limit}");
    }
}

/// Row B23: 100 MiB in 8 sessions at once. When the first is through, none has
/// less than half of what would be its share.
#[test]
fn eight_sessions_fairly() {
    for connection_window in [128 << 10, 1 << 20, 1 << 24] {
        let knobs = Knobs {
            connection_window,
            send_buffer: connection_window / 2,
            max_chunk: 16_384,
            ..Knobs::default()
        };
        let window = limits(MIB, 10, 10);
        let pair = limited_pair(window, window, knobs);
        let mut run = Run::new(pair, Side::Client, 8, 100 * MIB / 8);
        run.run();
        let arrived = run.first_through.expect("one was first");
        let share = arrived.iter().sum::<u64>() / 8;
        let least = arrived.iter().min().expect("eight");
        assert!(*least >= share / 2, "{arrived:?}");
    }
}

/// Rows B23, B24: windows of a few bytes, thousands of times over, wherever
/// pieces are cut. Being blocked so often is no nuisance.
#[test]
fn tiny_windows() {
    for seed in seeds(10) {
        let knobs = Knobs::adversarial(seed);
        let pair = limited_pair(limits(9, 9, 9), limits(5, 9, 9), knobs);
        let mut run = Run::new(pair, Side::Client, 2, 6_000);
        run.run();
        let notices = 6_000 / 3;
        assert!(
            notices > config(|_| {}).limits.nuisance,
            "it would not show"
        );
    }
}
