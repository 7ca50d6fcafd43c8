//! Two applications that do anything at any time, within their rights. Whatever
//! they do: bytes that arrive were sent, in order; every session has one end; and
//! once all is let go, nothing is left in any table.

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, SessionKey, Side, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Rng};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use aqueduct_tests::{get, seeds};
use bytes::Bytes;
use http::StatusCode;

/// What one application knows.
#[derive(Default)]
struct App {
    streams: Vec<StreamKey>,
    requests: Vec<StreamKey>,
    asked: Vec<SessionKey>,
    sessions: Vec<SessionKey>,
    /// Ends told per session.
    ends: BTreeMap<SessionKey, u32>,
    /// Bytes written and read, per stream.
    sent: BTreeMap<StreamKey, u64>,
    read: BTreeMap<StreamKey, u64>,
}

/// The byte that stands at an offset of what a side sends on a stream.
fn byte(side: Side, stream: StreamKey, offset: u64) -> u8 {
    let seed = stream.id().wire() * 2 + side as u64;
    (seed.wrapping_mul(31) ^ offset ^ (offset >> 8)) as u8
}

/// For operations that may have come too late: what they say is of no interest.
fn whatever<T>(_: T) {}

struct World {
    pair: LoopbackPair,
    rng: Rng,
    seed: u64,
    client: App,
    server: App,
}

impl World {
    fn app(&mut self, side: Side) -> &mut App {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn pick<T: Copy>(&mut self, side: Side, list: impl Fn(&App) -> &Vec<T>) -> Option<T> {
        let len = list(self.app(side)).len() as u64;
        let at = self.rng.below(len) as usize;
        list(self.app(side)).get(at).copied()
    }

    /// Takes in what was told, checking what must hold.
    fn listen(&mut self, side: Side) {
        let seed = self.seed;
        while let Some(event) = self.pair.take(side, Ok) {
            let app = self.app(side);
            match event {
                Event::Request { stream, .. } => {
                    app.streams.push(stream);
                    app.requests.push(stream);
                }
                Event::WebTransport(key, event) => {
                    let ended = app.ends.get(&key).copied().unwrap_or(0);
                    assert_eq!(ended, 0, "{event:?} after the end, SEED={seed}");
                    match event {
                        SessionEvent::Requested(_) => app.asked.push(key),
                        SessionEvent::Established(_) => app.sessions.push(key),
                        SessionEvent::Opened { stream, .. } => app.streams.push(stream),
                        SessionEvent::Closed(_) | SessionEvent::Rejected { .. } => {
                            app.ends.insert(key, 1);
                        }
                        _ => {}
                    }
                }
                Event::Stream(stream, StreamEvent::Malformed(why)) => {
                    panic!("{stream:?}: {why}, SEED={seed}");
                }
                Event::Closed(reason) => panic!("{reason}, SEED={seed}"),
                _ => {}
            }
        }
    }

    fn write(&mut self, side: Side) {
        let Some(stream) = self.pick(side, |app| &app.streams) else {
            return;
        };
        let from = self.app(side).sent.get(&stream).copied().unwrap_or(0);
        let len = self.rng.below(3_000);
        let body: Vec<u8> = (from..from + len)
            .map(|at| byte(side, stream, at))
            .collect();
        let at = self.rng.below(len + 1) as usize;
        let mut chunks = [
            Bytes::copy_from_slice(&body[..at]),
            Bytes::copy_from_slice(&body[at..]),
        ];
        let mut access = self.pair.access(side);
        let taken = access.send(stream).map(|mut send| send.write(&mut chunks));
        if let Ok(Ok(taken)) = taken {
            let left: usize = chunks.iter().map(Bytes::len).sum();
            assert_eq!(taken + left, body.len(), "SEED={}", self.seed);
            *self.app(side).sent.entry(stream).or_default() += taken as u64;
        }
    }

    fn read(&mut self, side: Side) {
        let Some(stream) = self.pick(side, |app| &app.streams) else {
            return;
        };
        let mut out = [const { Bytes::new() }; 3];
        let max = self.rng.below(5_000) as usize;
        let mut access = self.pair.access(side);
        let Ok(Ok(read)) = access.recv(stream).map(|mut recv| recv.read(max, &mut out)) else {
            return;
        };
        let seed = self.seed;
        assert!(read.bytes <= max && read.chunks <= out.len(), "SEED={seed}");
        let mut at = self.app(side).read.get(&stream).copied().unwrap_or(0);
        let got = out[..read.chunks].iter().flatten().copied();
        assert_eq!(got.clone().count(), read.bytes, "SEED={seed}");
        for got in got {
            assert_eq!(
                got,
                byte(side.peer(), stream, at),
                "{stream:?} at {at}, SEED={seed}"
            );
            at += 1;
        }
        self.app(side).read.insert(stream, at);
        let (id, mut sent) = (stream.id(), 0);
        for (key, bytes) in &self.app(side.peer()).sent {
            if key.id() == id {
                sent = *bytes;
            }
        }
        assert!(at <= sent, "more than was sent, SEED={seed}");
        if read.state == ReadState::Finished {
            assert_eq!(at, sent, "an end too early, SEED={seed}");
        }
    }

    /// Something, possibly to no effect.
    fn act(&mut self) {
        let side = if self.rng.below(2) == 0 {
            Side::Client
        } else {
            Side::Server
        };
        let dir = if self.rng.below(2) == 0 {
            Dir::Bi
        } else {
            Dir::Uni
        };
        let code = self.rng.below(1 << 32);
        match self.rng.below(24) {
            0 => {
                let end = if dir == Dir::Bi { End::More } else { End::Fin };
                if let Ok(stream) = self.pair.access(side).request(&get(), end) {
                    self.app(side).streams.push(stream);
                }
            }
            1 => {
                let there = "https://example.com/wt".parse().expect("an address");
                if let Ok(key) = self
                    .pair
                    .access(side)
                    .open_session(&ConnectRequest::new(there))
                {
                    self.app(side).ends.insert(key, 0);
                }
            }
            2 | 3 => {
                let Some(stream) = self.pick(side, |app| &app.requests) else {
                    return;
                };
                let status = [StatusCode::EARLY_HINTS, StatusCode::OK][self.rng.below(2) as usize];
                let end = if dir == Dir::Bi { End::More } else { End::Fin };
                let head = ResponseHead::new(status);
                whatever(self.pair.access(side).respond(stream, &head, end));
            }
            4 | 5 => {
                let Some(key) = self.pick(side, |app| &app.asked) else {
                    return;
                };
                let yes = self.rng.below(4) > 0;
                if yes {
                    let answer = ConnectAnswer::default();
                    if self
                        .pair
                        .access(side)
                        .webtransport(key)
                        .accept(&answer)
                        .is_ok()
                    {
                        let app = self.app(side);
                        app.sessions.push(key);
                        app.ends.entry(key).or_default();
                    }
                } else {
                    whatever(
                        self.pair
                            .access(side)
                            .webtransport(key)
                            .reject(StatusCode::FORBIDDEN),
                    );
                }
            }
            6..=8 => {
                let Some(key) = self.pick(side, |app| &app.sessions) else {
                    return;
                };
                if let Ok(stream) = self.pair.access(side).webtransport(key).open_stream(dir) {
                    self.app(side).streams.push(stream);
                }
            }
            9..=12 => self.write(side),
            13..=16 => self.read(side),
            17 => {
                let Some(stream) = self.pick(side, |app| &app.streams) else {
                    return;
                };
                whatever(
                    self.pair
                        .access(side)
                        .send(stream)
                        .map(|mut send| send.finish()),
                );
            }
            18 => {
                let Some(stream) = self.pick(side, |app| &app.streams) else {
                    return;
                };
                whatever(
                    self.pair
                        .access(side)
                        .send(stream)
                        .map(|mut send| send.reset(code)),
                );
            }
            19 => {
                let Some(stream) = self.pick(side, |app| &app.streams) else {
                    return;
                };
                whatever(
                    self.pair
                        .access(side)
                        .recv(stream)
                        .map(|mut recv| recv.stop(code)),
                );
            }
            20 | 21 => {
                let Some(key) = self.pick(side, |app| &app.sessions) else {
                    return;
                };
                whatever(self.pair.access(side).send_datagram(key, b"datagram"));
                whatever(self.pair.access(side).recv_datagram(key));
            }
            22 => {
                let Some(key) = self.pick(side, |app| &app.sessions) else {
                    return;
                };
                if self.rng.below(3) == 0 {
                    whatever(self.pair.access(side).webtransport(key).close(7, "enough"));
                } else {
                    whatever(self.pair.access(side).webtransport(key).drain());
                }
            }
            _ => {
                for _ in 0..self.rng.below(40) {
                    self.pair.step();
                }
            }
        }
    }

    /// Lets go of everything.
    fn let_go(&mut self) {
        for side in [Side::Client, Side::Server] {
            self.listen(side);
            let app = self.app(side);
            let (streams, asked) = (app.streams.clone(), app.asked.clone());
            let sessions: Vec<_> = app.ends.keys().copied().collect();
            for key in asked {
                whatever(
                    self.pair
                        .access(side)
                        .webtransport(key)
                        .reject(StatusCode::GONE),
                );
            }
            for key in sessions {
                whatever(self.pair.access(side).webtransport(key).close(0, ""));
            }
            for stream in streams {
                whatever(
                    self.pair
                        .access(side)
                        .send(stream)
                        .map(|mut send| send.reset(0)),
                );
                whatever(
                    self.pair
                        .access(side)
                        .recv(stream)
                        .map(|mut recv| recv.stop(0)),
                );
            }
            self.pair.drive();
        }
    }
}

#[test]
fn nothing_is_lost_or_left() {
    let mut happened = (0, 0, 0);
    for seed in seeds(150) {
        let knobs = Knobs {
            datagram_loss: 20,
            bi_streams: 12,
            uni_streams: 12,
            ..Knobs::adversarial(seed)
        };
        // A third of the runs with limits in the sessions as well.
        let limited = || match seed % 3 {
            0 => super::wt_flow::limits(2_000, 4),
            _ => Config::default(),
        };
        let knobs = Knobs {
            reliable_reset: seed % 3 == 0,
            ..knobs
        };
        let mut pair = LoopbackPair::new(limited(), limited(), knobs);
        pair.connect();
        let idle = |pair: &mut LoopbackPair| {
            [Side::Client, Side::Server].map(|side| {
                let (conn, end) = pair.connection(side);
                (conn.live_streams(), end.live_streams())
            })
        };
        let before = idle(&mut pair);
        let rng = Rng::new(seed);
        let mut world = World {
            pair,
            rng,
            seed,
            client: App::default(),
            server: App::default(),
        };
        for _ in 0..300 {
            world.act();
            world.listen(Side::Client);
            world.listen(Side::Server);
        }
        // What was on the way may still introduce something.
        for _ in 0..3 {
            world.let_go();
            world.pair.advance(Duration::from_secs(6));
        }
        let after = idle(&mut world.pair);
        assert_eq!(after, before, "streams are left, SEED={seed}");
        for side in [Side::Client, Side::Server] {
            world.listen(side);
            let app = world.app(side);
            let without: Vec<_> = app.ends.iter().filter(|(_, ends)| **ends != 1).collect();
            assert!(
                without.is_empty(),
                "{side:?} {without:?} have no end, SEED={seed}"
            );
            happened.0 += app.streams.len();
            happened.1 += app.ends.len();
            happened.2 += app.read.values().sum::<u64>();
        }
    }
    // Were the operations refused for the most part, this would prove little.
    assert!(
        happened.0 > 10 && happened.1 > 2 && happened.2 > 100,
        "{happened:?}"
    );
}
