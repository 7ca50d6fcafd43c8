//! Two real connections, both applications doing anything: bytes arrive as a
//! prefix of what was sent, ends are honest, datagrams are never doubled, and
//! nothing is left when both are done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use http::{Method, StatusCode, Uri};

use crate::application::Ledger;

/// More operations show nothing that fewer would not.
const MAX_OPS: usize = 200;
/// Control, QPACK encoder and decoder streams of both sides, and two reserved.
const STANDING: usize = 8;

/// What one application, or the network, does next. Numbers choose among what
/// there is.
#[derive(Arbitrary, Debug)]
enum Op {
    Request,
    OpenSession,
    Respond(u8, bool),
    Accept(u8),
    Reject(u8),
    CloseSession(bool, u8, u32),
    DrainSession(bool, u8),
    OpenStream(bool, u8, bool),
    Write(bool, u8, u16),
    Finish(bool, u8),
    Reset(bool, u8, u16),
    Stop(bool, u8, u16),
    Read(bool, u8, u16),
    SendDatagram(bool, u8, u8),
    ReceiveDatagrams(bool, u8),
    Steps(u8),
    Rest,
    Advance(u8),
    Drain(bool),
}

/// Runs a list of operations derived from the input.
pub fn target(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let seed = source.arbitrary::<u8>().unwrap_or_default();
    let knobs = if seed < 64 {
        Knobs::default()
    } else {
        Knobs::adversarial(seed.into())
    };
    aqueduct_tests::replayed::replay_all();
    let mut run = Run {
        pair: LoopbackPair::new(Config::default(), Config::default(), knobs),
        sides: [Application::default(), Application::default()],
        halves: BTreeMap::new(),
        datagrams: BTreeSet::new(),
        next_datagram: 0,
    };
    run.pair.connect();
    for _ in 0..MAX_OPS {
        let Ok(op) = source.arbitrary() else { break };
        run.apply(op);
        run.hear();
        if source.is_empty() {
            break;
        }
    }
    run.wind_down();
}

#[derive(Debug, Default)]
struct Application {
    ledger: Ledger,
    streams: Vec<StreamKey>,
    sessions: Vec<SessionKey>,
}

/// One direction of a stream: what was taken and what came out.
#[derive(Debug, Default)]
struct Half {
    sent: u64,
    finished: bool,
    received: u64,
    ended: bool,
}

struct Run {
    pair: LoopbackPair,
    sides: [Application; 2],
    /// By stream and sender.
    halves: BTreeMap<(StreamId, Side), Half>,
    /// Datagrams on their way.
    datagrams: BTreeSet<u64>,
    next_datagram: u64,
}

const fn side(server: bool) -> Side {
    if server { Side::Server } else { Side::Client }
}

fn pick<T: Copy>(things: &[T], at: u8) -> Option<T> {
    things.get(usize::from(at) % things.len().max(1)).copied()
}

/// Byte `at` of everything `sender` sends on `stream`.
const fn pattern(stream: StreamId, sender: Side, at: u64) -> u8 {
    (at.wrapping_mul(131) ^ (at >> 8) ^ stream.wire().wrapping_mul(7) ^ sender as u64) as u8
}

impl Run {
    fn app(&mut self, side: Side) -> &mut Application {
        let [client, server] = &mut self.sides;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    fn stream(&mut self, server: bool, at: u8) -> Option<(Side, StreamKey)> {
        let side = side(server);
        Some((side, pick(&self.app(side).streams, at)?))
    }

    fn session(&mut self, server: bool, at: u8) -> Option<(Side, SessionKey)> {
        let side = side(server);
        Some((side, pick(&self.app(side).sessions, at)?))
    }

    fn apply(&mut self, op: Op) -> Option<()> {
        match op {
            Op::Request => {
                let uri = Uri::from_static("https://example.com/");
                let head = RequestHead::new(Method::POST, uri);
                let key = self.pair.client().request(&head, End::More).ok()?;
                self.app(Side::Client).streams.push(key);
            }
            Op::OpenSession => {
                let request = ConnectRequest::new(Uri::from_static("https://example.com/wt"));
                let key = self.pair.client().open_session(&request).ok()?;
                self.app(Side::Client).ledger.opened(key);
                self.app(Side::Client).sessions.push(key);
            }
            Op::Respond(at, interim) => {
                let (_, key) = self.stream(true, at)?;
                let status = if interim {
                    StatusCode::EARLY_HINTS
                } else {
                    StatusCode::OK
                };
                let head = ResponseHead::new(status);
                self.pair.server().respond(key, &head, End::More).ok()?;
            }
            Op::Accept(at) => {
                let (_, key) = self.session(true, at)?;
                self.pair
                    .server()
                    .webtransport(key)
                    .accept(&ConnectAnswer::default())
                    .ok()?;
            }
            Op::Reject(at) => {
                let (_, key) = self.session(true, at)?;
                self.pair
                    .server()
                    .webtransport(key)
                    .reject(StatusCode::FORBIDDEN)
                    .ok()?;
                self.app(Side::Server).ledger.rejected(key);
            }
            Op::CloseSession(server, at, code) => {
                let (side, key) = self.session(server, at)?;
                self.pair
                    .access(side)
                    .webtransport(key)
                    .close(code, "done")
                    .ok()?;
            }
            Op::DrainSession(server, at) => {
                let (side, key) = self.session(server, at)?;
                self.pair.access(side).webtransport(key).drain().ok()?;
            }
            Op::OpenStream(server, at, uni) => {
                let (side, session) = self.session(server, at)?;
                let dir = if uni { Dir::Uni } else { Dir::Bi };
                let key = self
                    .pair
                    .access(side)
                    .webtransport(session)
                    .open_stream(dir)
                    .ok()?;
                self.app(side).streams.push(key);
            }
            Op::Write(server, at, len) => {
                let (side, key) = self.stream(server, at)?;
                self.write(side, key, u64::from(len % 5_000))?;
            }
            Op::Finish(server, at) => {
                let (side, key) = self.stream(server, at)?;
                self.pair.access(side).send(key).ok()?.finish().ok()?;
                self.half(key, side).finished = true;
            }
            Op::Reset(server, at, code) => {
                let (side, key) = self.stream(server, at)?;
                self.pair
                    .access(side)
                    .send(key)
                    .ok()?
                    .reset(code.into())
                    .ok()?;
            }
            Op::Stop(server, at, code) => {
                let (side, key) = self.stream(server, at)?;
                self.pair
                    .access(side)
                    .recv(key)
                    .ok()?
                    .stop(code.into())
                    .ok()?;
            }
            Op::Read(server, at, max) => {
                let (side, key) = self.stream(server, at)?;
                self.read(side, key, max.into())?;
            }
            Op::SendDatagram(server, at, len) => {
                let (side, key) = self.session(server, at)?;
                let number = self.next_datagram;
                let filler = vec![number as u8; len.into()];
                let payload = [&number.to_be_bytes()[..], &filler].concat();
                self.pair.access(side).send_datagram(key, &payload).ok()?;
                self.datagrams.insert(number);
                self.next_datagram += 1;
            }
            Op::ReceiveDatagrams(server, at) => {
                let (side, key) = self.session(server, at)?;
                self.receive_datagrams(side, key);
            }
            Op::Steps(n) => return (0..n).all(|_| self.pair.step()).then_some(()),
            Op::Rest => self.pair.drive(),
            Op::Advance(n) => self.pair.advance(Duration::from_millis(u64::from(n) * 50)),
            Op::Drain(server) => {
                let until = self.pair.now() + Duration::from_secs(3);
                self.pair.access(side(server)).drain(until);
            }
        }
        Some(())
    }

    fn half(&mut self, key: StreamKey, sender: Side) -> &mut Half {
        self.halves.entry((key.id(), sender)).or_default()
    }

    fn write(&mut self, side: Side, key: StreamKey, len: u64) -> Option<()> {
        let start = self.half(key, side).sent;
        let bytes: Vec<u8> = (start..start + len)
            .map(|at| pattern(key.id(), side, at))
            .collect();
        let mut chunks = [Bytes::from(bytes)];
        let taken = self
            .pair
            .access(side)
            .send(key)
            .ok()?
            .write(&mut chunks)
            .ok()? as u64;
        assert_eq!(taken + chunks[0].len() as u64, len);
        let half = self.half(key, side);
        assert!(
            !half.finished || taken == 0,
            "{key:?} takes bytes after its end"
        );
        half.sent += taken;
        Some(())
    }

    fn read(&mut self, side: Side, key: StreamKey, max: usize) -> Option<()> {
        let mut out = [const { Bytes::new() }; 3];
        let read = self
            .pair
            .access(side)
            .recv(key)
            .ok()?
            .read(max, &mut out)
            .ok()?;
        let half = self.half(key, side.peer());
        assert!(!half.ended, "{key:?} was read to its end, and {read:?}");
        for byte in out.iter().take(read.chunks).flatten() {
            let expected = pattern(key.id(), side.peer(), half.received);
            assert_eq!(*byte, expected, "byte {} of {key:?}", half.received);
            half.received += 1;
        }
        assert!(
            half.received <= half.sent,
            "{key:?} gives more than was sent"
        );
        if read.state == ReadState::Finished {
            half.ended = true;
            assert!(
                half.finished && half.received == half.sent,
                "{key:?}: {half:?}"
            );
        }
        Some(())
    }

    fn receive_datagrams(&mut self, side: Side, key: SessionKey) {
        while let Some(datagram) = self.pair.access(side).recv_datagram(key) {
            let (number, filler) = datagram.split_first_chunk().expect("as it was sent");
            let number = u64::from_be_bytes(*number);
            assert!(self.datagrams.remove(&number), "datagram {number} twice");
            assert!(filler.iter().all(|byte| *byte == number as u8));
        }
    }

    /// Takes the events there are, without letting anything move.
    fn hear(&mut self) {
        for side in [Side::Client, Side::Server] {
            while let Some(event) = self.pair.take(side, Ok) {
                let app = self.app(side);
                app.ledger.hear(&event);
                match event {
                    Event::Request { stream, .. } => app.streams.push(stream),
                    Event::WebTransport(session, SessionEvent::Requested(_)) => {
                        app.sessions.push(session);
                    }
                    Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                        app.streams.push(stream);
                    }
                    _ => {}
                }
            }
        }
    }

    fn wind_down(mut self) {
        for side in [Side::Client, Side::Server] {
            let app = self.app(side);
            let (streams, sessions) = (app.streams.clone(), app.sessions.clone());
            for session in sessions {
                let _ = self.pair.access(side).webtransport(session).close(1, "");
            }
            for key in streams {
                let mut work = self.pair.access(side);
                let _ = work.send(key).map(|mut send| send.reset(0));
                let _ = work.recv(key).map(|mut recv| recv.stop(0));
            }
        }
        // What is still on its way is reported now, and ended in a second round.
        self.pair.advance(Duration::from_secs(30));
        self.hear();
        for side in [Side::Client, Side::Server] {
            for key in self.app(side).streams.clone() {
                let mut work = self.pair.access(side);
                let _ = work.send(key).map(|mut send| send.reset(0));
                let _ = work.recv(key).map(|mut recv| recv.stop(0));
            }
            for session in self.app(side).sessions.clone() {
                let _ = self.pair.access(side).webtransport(session).close(1, "");
            }
        }
        self.pair.advance(Duration::from_secs(30));
        self.hear();
        for side in [Side::Client, Side::Server] {
            if !self.app(side).ledger.is_closed() {
                let live = self.pair.connection(side).0.live_streams();
                assert!(
                    live <= STANDING,
                    "{side:?} keeps {live} streams; {}",
                    self.pair.story()
                );
            }
        }
        let until = self.pair.now() + Duration::from_secs(1);
        self.pair.client().drain(until);
        self.pair.advance(Duration::from_secs(2));
        self.hear();
        for side in [Side::Client, Side::Server] {
            assert!(
                self.app(side).ledger.is_closed(),
                "{side:?} is open; {}",
                self.pair.story()
            );
        }
    }
}
