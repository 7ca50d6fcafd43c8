//! Endpoints with connections of raw QUIC and of HTTP/3, over QUIC and TLS, whose
//! applications do anything that can be done, with any argument, to any of them.

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::connection::Command;
use aqueduct_core::connection::quic::QuicCall;
use aqueduct_core::endpoint::{Protocol, Target};
use aqueduct_core::error::OsError;
use aqueduct_core::id::{ConnKey, Dir, StreamId, StreamKey};
use aqueduct_core::quic::Start;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{End, Options, Pair, Quic};
use arbitrary::{Arbitrary, Unstructured};

use crate::quic::{Act, App, Edge, STREAMS, config};

/// More operations show nothing that fewer would not, and each may move packets.
const MAX_OPS: usize = 60;

/// Connections that are begun in one run, at most.
const MAX_CONNECTIONS: usize = 6;

/// What happens next. Numbers choose among the connections there have ever been, of either
/// end: an endpoint is asked for the other's as well.
#[derive(Arbitrary, Debug)]
enum Op {
    Connect(u8),
    Act(bool, u8, Act),
    /// As data, of either protocol to either.
    Command(bool, u8, u8, Edge),
    /// Everything that can be asked.
    Look(bool, u8),
    Step,
    Advance(u8),
    /// The endpoint is told that its address is another. It is not: quinn-proto 0.11.19 has a
    /// debug assertion that fails when a probe is due for packets of the path that was left.
    Moved(bool),
    Timeout(bool, u8),
    RecvError(bool, u8),
    Accepting(bool),
    /// Loss, and whether anything passes.
    Link(bool, u8, bool),
    /// Of all connections; seldom.
    Drain(bool, u8, u8),
    /// As seldom.
    Close(bool, Edge, u8),
}

/// Runs a list of operations derived from the input.
pub fn target(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let [seed, client, server] = source.arbitrary::<[u8; 3]>().unwrap_or_default();
    let mut options = Options {
        seed: seed.into(),
        record: false,
        quic: Some(Quic {
            names: vec!["chat", "talk"],
            client: config(client),
            server: config(server),
            only: seed & 7 == 7,
        }),
        ..Options::default()
    };
    options.transport.max_streams_bidi = STREAMS;
    options.transport.max_streams_uni = STREAMS;
    options.incoming.max_connections = 4;
    options.incoming.max_per_address = Some(4);
    let mut run = Run {
        pair: Pair::new(options),
        apps: BTreeMap::new(),
        keys: Vec::new(),
        begun: 0,
    };
    run.apply(Op::Connect(0));
    for _ in 0..MAX_OPS {
        let Ok(op) = source.arbitrary() else { break };
        run.apply(op);
        if source.is_empty() {
            break;
        }
    }
    run.wind_down();
}

struct Run {
    pair: Pair,
    /// By end and connection.
    apps: BTreeMap<(bool, ConnKey), App>,
    keys: Vec<ConnKey>,
    begun: usize,
}

impl Run {
    fn end(&mut self, server: bool) -> &mut End {
        match server {
            false => &mut self.pair.client,
            true => &mut self.pair.server,
        }
    }

    fn pick(&self, at: u8) -> Option<ConnKey> {
        let at = usize::from(at) % self.keys.len().max(1);
        self.keys.get(at).copied()
    }

    fn apply(&mut self, op: Op) {
        let now = self.pair.now;
        match op {
            Op::Connect(how) => self.connect(how),
            Op::Act(server, at, act) => self.act(server, at, act),
            Op::Command(server, at, what, edge) => self.command(server, at, what, edge),
            Op::Look(server, at) => self.look(server, at),
            Op::Step => _ = self.pair.step(),
            Op::Advance(time) => {
                let time = u64::from(time);
                // Mostly a round trip or so, and sometimes as long as a timeout.
                let time = if time > 250 { 12_000 } else { time / 4 };
                self.pair.advance(Duration::from_millis(time));
            }
            Op::Moved(server) => self.end(server).endpoint.handle_rebind(now),
            Op::Timeout(server, later) => {
                let at = now + Duration::from_millis(later.into());
                self.end(server).endpoint.handle_timeout(at);
                self.pair.now = self.pair.now.max(at);
            }
            Op::RecvError(server, error) => {
                let error = OsError::new(error.into());
                self.end(server).endpoint.handle_recv_error(error);
            }
            Op::Accepting(accept) => self.pair.server.endpoint.set_accepting(accept),
            Op::Link(server, loss, down) => {
                let link = &mut self.end(server).link;
                (link.loss, link.down) = (u64::from(loss), down && loss > 200);
            }
            Op::Drain(server, time, seldom) if seldom > 240 => {
                let until = now + Duration::from_millis(u64::from(time) * 10);
                self.end(server).endpoint.drain(now, until);
            }
            Op::Close(server, code, seldom) if seldom > 245 => {
                let code = Code::new(code.code());
                self.end(server).endpoint.close(now, code, vec![b'x'; 3000]);
            }
            Op::Drain(..) | Op::Close(..) => {}
        }
        self.hear();
    }

    fn connect(&mut self, how: u8) {
        if self.begun >= MAX_CONNECTIONS {
            return;
        }
        self.begun += 1;
        let http = || {
            let tls = Identity::localhost().client_arc();
            Target::new(self.pair.server.addr, "localhost", tls)
        };
        let target = match how % 4 {
            0 | 1 => self.pair.target(),
            2 => http(),
            _ => match http().quic(["nobody"], config(how)) {
                Ok(target) => target,
                Err(_) => return,
            },
        };
        let (client, now) = (&mut self.pair.client.endpoint, self.pair.now);
        if let Ok(key) = client.connect(now, &target) {
            let first = self.apps.insert((false, key), App::default());
            assert!(first.is_none(), "{key:?} twice");
            self.keys.push(key);
        }
    }

    fn act(&mut self, server: bool, at: u8, act: Act) {
        let Some(key) = self.pick(at) else { return };
        let strangers = self.apps.iter().filter(|(of, _)| **of != (server, key));
        let strangers: Vec<StreamKey> = strangers.flat_map(|(_, app)| app.keys.clone()).collect();
        let now = self.pair.now;
        let end = match server {
            false => &mut self.pair.client,
            true => &mut self.pair.server,
        };
        if let Some(mut connection) = end.endpoint.quic(now, key) {
            let app = self.apps.entry((server, key)).or_default();
            app.act(act, &strangers, &mut connection.access());
            connection.ping();
        }
    }

    fn command(&mut self, server: bool, at: u8, what: u8, edge: Edge) {
        let Some(key) = self.pick(at) else { return };
        let stream = StreamKey::new(StreamId::from_wire(u64::from(what)).expect("small"), 0);
        let command = match what % 8 {
            0 => Command::Finish(stream),
            1 => Command::Reset(stream, edge.code()),
            2 => Command::Hold(stream),
            3 => Command::OpenClaimed(Dir::Uni, edge.code()),
            4 => Command::Quic(Box::new(QuicCall::SetPriority(stream, 1))),
            5 => Command::Quic(Box::new(QuicCall::Read(stream, 0, 3))),
            6 => Command::Stop(stream, edge.code()),
            _ => Command::Quic(Box::new(QuicCall::Start(
                Dir::Uni,
                Start::new().fail_blocked(),
            ))),
        };
        let raw = matches!(command, Command::Quic(_));
        let now = self.pair.now;
        let end = self.end(server);
        let protocol = end.endpoint.protocol(key);
        let done = end.endpoint.handle_command(now, key, command);
        let suits = protocol == Some(if raw { Protocol::Quic } else { Protocol::Http3 });
        assert!(suits || done.is_err(), "{protocol:?}: {done:?}");
        // A stream that was begun is the application's to know.
        if let Ok(aqueduct_core::connection::Reply::Quic(outcome)) = done
            && let aqueduct_core::connection::quic::QuicOutcome::Start(Ok(stream)) = outcome
        {
            let app = self.apps.entry((server, key)).or_default();
            app.known(stream);
        }
    }

    fn look(&mut self, server: bool, at: u8) {
        let Some(key) = self.pick(at) else { return };
        let now = self.pair.now;
        let endpoint = &mut self.end(server).endpoint;
        let protocol = endpoint.protocol(key);
        assert_eq!(
            endpoint.quic(now, key).is_some(),
            protocol == Some(Protocol::Quic)
        );
        assert_eq!(
            endpoint.connection(now, key).is_some(),
            protocol == Some(Protocol::Http3)
        );
        let _ = endpoint
            .peek(key)
            .map(|mut connection| connection.peek().stats());
        if let Some(info) = endpoint.info(key) {
            let _ = (info.alpn(), info.server_name(), info.peer_certificates());
            let _ = (
                info.path(),
                info.memory(),
                info.is_resumed(),
                info.peer_parameters(),
            );
            let _ = info.export_keying_material(&mut [0; 40], b"label", b"context");
        }
        let _ = (
            endpoint.stats(),
            endpoint.socket_fault(),
            endpoint.has_events(),
        );
        assert!(endpoint.open_connections() <= 2 * MAX_CONNECTIONS);
    }

    /// Takes the events there are.
    fn hear(&mut self) {
        for server in [false, true] {
            for (key, event) in std::mem::take(&mut self.end(server).events) {
                if !self.keys.contains(&key) {
                    self.keys.push(key);
                }
                self.apps.entry((server, key)).or_default().hear(&event);
            }
        }
    }

    /// Everything comes to an end, and nothing is kept.
    fn wind_down(mut self) {
        for server in [false, true] {
            let now = self.pair.now;
            let link = &mut self.end(server).link;
            (link.loss, link.down) = (0, false);
            self.end(server).endpoint.close(now, Code::new(0), "done");
            self.pair.advance(Duration::from_millis(100));
            self.hear();
        }
        self.pair.advance(Duration::from_secs(120));
        self.hear();
        for server in [false, true] {
            let endpoint = &self.end(server).endpoint;
            assert_eq!(endpoint.open_connections(), 0);
            assert!(endpoint.is_idle(), "something is kept");
        }
        for ((server, key), app) in &self.apps {
            assert!(app.closed, "{key:?} of {server} was not told its end");
        }
    }
}
