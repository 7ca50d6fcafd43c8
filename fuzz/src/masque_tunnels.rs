//! Tunnels, and a client that has some of them by hand: heads, capsules and datagrams of
//! any kind, both applications doing anything. What is counted is what there is, every
//! tunnel ends once, and nothing is left when the connection is over.

use std::collections::BTreeMap;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, Protocol, RequestHead};
use aqueduct_core::id::{Side, StreamKey};
use aqueduct_core::masque::{Dialect, Refusal, TunnelEvent, TunnelKey};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::frame;
use aqueduct_tests::config;
use aqueduct_tests::tunnels::{TunnelPair, asking, tunnels};
use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use http::Method;

/// More operations show nothing that fewer would not.
const MAX_OPS: usize = 150;
/// Tunnels at once.
pub const TUNNELS: usize = 6;
const SIDES: [Side; 2] = [Side::Client, Side::Server];
const DIALECTS: [Dialect; 4] = [
    Dialect::Udp,
    Dialect::Tcp12,
    Dialect::Tcp07,
    Dialect::Classic,
];
const METHODS: [Method; 3] = [Method::CONNECT, Method::GET, Method::POST];
const TOKENS: [Option<&str>; 5] = [
    None,
    Some("connect-udp"),
    Some("connect-tcp"),
    Some("connect-ip"),
    Some("connect-tcp-07"),
];
const TYPES: [u64; 7] = [
    0,
    0x2028_d7f0,
    0x2028_d7f1,
    0x2028_d7f2,
    0x2028_d7f3,
    0x17,
    0x2843,
];

/// What happens next. Numbers choose among what there is; `true` is the server.
#[derive(Arbitrary, Debug)]
enum Op {
    Open(u8),
    AskByHand(u8),
    Head(u8, u8, u8, u8),
    Content(u8, Vec<u8>),
    Capsule(u8, u8, Vec<u8>),
    Datagram(u8, u8, Vec<u8>),
    EndByHand(u8),
    ResetByHand(bool, u8, u8),
    StopByHand(bool, u8, u8),
    Accept(u8),
    Refuse(u8, u8),
    Cancel(bool, u8),
    Close(bool, u8),
    Abort(bool, u8),
    Send(bool, u8, u16),
    Receive(bool, u8, u8),
    Write(bool, u8, u16),
    Finish(bool, u8),
    Read(bool, u8, u16),
    Drain(bool),
    GoAway,
    Steps(u8),
    Hear,
    Rest,
    Advance(u8),
}

/// What is known of a tunnel.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Known {
    Live,
    /// It ended by itself, and was told.
    Ended,
    /// This side ended it.
    Left,
}

struct Run {
    pair: TunnelPair,
    by_hand: Vec<StreamKey>,
    known: [BTreeMap<TunnelKey, Known>; 2],
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
    let datagrams = |on| config(|config| config.datagrams = on);
    let mut pair = LoopbackPair::new(datagrams(seed % 8 != 1), datagrams(seed % 8 != 2), knobs);
    pair.connect();
    let few = tunnels(|config| {
        config.gate.max_tunnels = TUNNELS;
        (config.queue, config.early, config.queue_bytes) = (5, 3, 1000);
    });
    let mut run = Run {
        pair: TunnelPair::over(pair, few.clone(), few),
        by_hand: Vec::new(),
        known: [BTreeMap::new(), BTreeMap::new()],
    };
    for _ in 0..MAX_OPS {
        let Ok(op) = source.arbitrary() else { break };
        run.apply(op);
        run.check();
        if source.is_empty() {
            break;
        }
    }
    run.wind_down(seed.is_multiple_of(2));
}

fn side(server: bool) -> Side {
    SIDES[usize::from(server)]
}

/// Some of that many bytes.
fn some(n: u16) -> Bytes {
    Bytes::from(vec![n as u8; usize::from(n) % 5000])
}

impl Run {
    fn key(&self, server: bool, n: u8) -> Option<TunnelKey> {
        let keys = &self.known[usize::from(server)];
        keys.keys().nth(usize::from(n) % keys.len().max(1)).copied()
    }

    fn stream(&self, n: u8) -> Option<StreamKey> {
        let at = usize::from(n) % self.by_hand.len().max(1);
        self.by_hand.get(at).copied()
    }

    fn leave(&mut self, server: bool, key: TunnelKey) {
        if let Some(known) = self.known[usize::from(server)].get_mut(&key)
            && *known == Known::Live
        {
            *known = Known::Left;
        }
    }

    fn request(&mut self, head: &RequestHead) {
        let sent = self.pair.pair.client().request(head, End::More);
        self.by_hand.extend(sent.ok());
    }

    fn content(&mut self, n: u8, bytes: Vec<u8>) {
        if let Some(stream) = self.stream(n)
            && let Ok(mut send) = self.pair.pair.client().send(stream)
        {
            let _ = send.write(&mut [Bytes::from(bytes)]);
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Content(n, bytes) => self.content(n, bytes),
            Op::Capsule(n, ty, value) => {
                let ty = TYPES[usize::from(ty) % TYPES.len()];
                self.content(n, frame(ty, &value));
            }
            Op::AskByHand(n) => {
                let open = asking(DIALECTS[usize::from(n) % 4]);
                self.request(&open.head().expect("a head"));
            }
            Op::Head(method, token, path, last) => {
                let paths = ["/.well-known/masque/udp/", "/.well-known/masque/tcp/", "/"];
                let hosts = [
                    "a.example/443/",
                    "127.0.0.1/1/",
                    "%3A%3A1/0/",
                    "a b/%zz/",
                    "",
                ];
                let path = paths[usize::from(path) % 3];
                let uri = format!(
                    "https://proxy.example{path}{}",
                    hosts[usize::from(last) % 5]
                );
                if let Ok(uri) = uri.parse() {
                    let method = METHODS[usize::from(method) % 3].clone();
                    let mut head = RequestHead::new(method, uri);
                    head.protocol = TOKENS[usize::from(token) % 5].map(Protocol::new);
                    self.request(&head);
                }
            }
            Op::Datagram(n, context, bytes) => {
                if let Some(stream) = self.stream(n) {
                    let mut access = self.pair.pair.client();
                    let _ = access.enable_datagrams(stream);
                    let _ = access.send_datagram(stream, &[&[context], &bytes[..]].concat());
                }
            }
            Op::EndByHand(n) => {
                if let Some(stream) = self.stream(n)
                    && let Ok(mut send) = self.pair.pair.client().send(stream)
                {
                    let _ = send.finish();
                }
            }
            Op::ResetByHand(server, n, code) => self.give_up(server, n, code, true),
            Op::StopByHand(server, n, code) => self.give_up(server, n, code, false),
            Op::Drain(on) => {
                self.pair
                    .with(Side::Server, |tunnels, _, _| tunnels.set_draining(on));
            }
            Op::GoAway => {
                let until = self.pair.pair.now() + Duration::from_secs(1000);
                self.pair.pair.server().drain(until);
            }
            Op::Steps(n) => {
                for _ in 0..n {
                    self.pair.pair.step();
                }
            }
            Op::Hear => _ = self.pair.hear(),
            Op::Rest => self.pair.drive(),
            Op::Advance(n) => self.pair.advance(Duration::from_secs(u64::from(n))),
            op => self.apply_to_machine(op),
        }
    }

    /// Resets or stops any stream, whoever has it.
    fn give_up(&mut self, server: bool, n: u8, code: u8, reset: bool) {
        let key = self.key(server, n).map(TunnelKey::stream);
        let Some(stream) = key.filter(|_| server || n >= 128).or(self.stream(n)) else {
            return;
        };
        let code = [Code::H3_NO_ERROR, Code::H3_CONNECT_ERROR][usize::from(code) % 2].value();
        let mut access = self.pair.pair.access(side(server));
        if reset && let Ok(mut send) = access.send(stream) {
            let _ = send.reset(code);
        } else if let Ok(mut recv) = access.recv(stream) {
            let _ = recv.stop(code);
        }
    }

    fn apply_to_machine(&mut self, op: Op) {
        let of = match op {
            Op::Open(n) => {
                let open = asking(DIALECTS[usize::from(n) % 4]);
                let key = self
                    .pair
                    .with(Side::Client, |t, access, now| t.open(access, now, &open));
                if let Ok(key) = key {
                    self.known[0].insert(key, Known::Live);
                }
                return;
            }
            Op::Accept(n) | Op::Refuse(n, _) => (true, n),
            Op::Cancel(server, n)
            | Op::Close(server, n)
            | Op::Abort(server, n)
            | Op::Send(server, n, _)
            | Op::Receive(server, n, _)
            | Op::Write(server, n, _)
            | Op::Finish(server, n)
            | Op::Read(server, n, _) => (server, n),
            _ => return,
        };
        let (server, Some(key)) = (of.0, self.key(of.0, of.1)) else {
            return;
        };
        let mut left = false;
        self.pair
            .with(side(server), |tunnels, access, now| match op {
                Op::Accept(_) => _ = tunnels.accept(access, now, key, None),
                Op::Refuse(_, how) => {
                    let refusal = [Refusal::Refused, Refusal::Internal];
                    let refusal = &refusal[usize::from(how) % 2];
                    left = tunnels.refuse(access, now, key, refusal).is_ok();
                }
                Op::Cancel(..) => {
                    let cancelled = tunnels.cancel(access, now, key);
                    left = cancelled == aqueduct_core::masque::Cancelled::Pending;
                }
                Op::Close(..) => {
                    left = true;
                    tunnels.close(access, now, key);
                }
                Op::Abort(..) => {
                    left = true;
                    tunnels.abort(access, now, key);
                }
                Op::Send(_, _, n) => _ = tunnels.send(access, now, key, &some(n)),
                Op::Receive(_, _, n) => {
                    for _ in 0..n {
                        if tunnels.recv(access, now, key).is_none() {
                            break;
                        }
                    }
                }
                Op::Write(_, _, n) => {
                    let mut chunks = [some(n), some(n / 2)];
                    let before: usize = chunks.iter().map(Bytes::len).sum();
                    let taken = tunnels.write(access, now, key, &mut chunks);
                    let after: usize = chunks.iter().map(Bytes::len).sum();
                    assert_eq!(before - after, taken.unwrap_or(0));
                }
                Op::Finish(..) => {
                    let finished = tunnels.finish(access, now, key);
                    left = finished == Err(aqueduct_core::masque::TunnelIoError::Promised);
                }
                Op::Read(_, _, n) => _ = tunnels.read(access, now, key, n.into()),
                _ => {}
            });
        if left {
            self.hear_of(server);
            self.leave(server, key);
        }
    }

    /// Takes what one side was told, and holds it against what was told before.
    fn hear_of(&mut self, server: bool) {
        for (key, event) in self.pair.all_told(side(server)) {
            let known = &mut self.known[usize::from(server)];
            if let TunnelEvent::Requested(_) = event {
                assert_eq!(known.insert(key, Known::Live), None, "{key:?} asked twice");
                continue;
            }
            let Some(state) = known.get_mut(&key) else {
                panic!("{event:?} of {key:?}, which nobody knows");
            };
            assert_eq!(*state, Known::Live, "{event:?} of {key:?}");
            if let TunnelEvent::Closed(_) | TunnelEvent::Refused(_) = event {
                *state = Known::Ended;
            }
        }
    }

    fn check(&mut self) {
        for server in [false, true] {
            self.hear_of(server);
            let tunnels = self.pair.tunnels(side(server));
            let live = self.known[usize::from(server)].values();
            let live = live.filter(|known| **known == Known::Live).count();
            assert_eq!(tunnels.live(), live, "{}", self.pair.story());
            assert!(live <= TUNNELS);
            if server {
                let (gate, _) = tunnels.all_stats();
                assert_eq!(gate.pending + gate.active, live, "{gate:?}");
                let begun = gate.opened + gate.refused + gate.given_up;
                assert_eq!(gate.asked, begun + gate.pending as u64, "{gate:?}");
            }
        }
    }

    fn wind_down(mut self, rest: bool) {
        if rest {
            self.pair.drive();
            self.check();
        }
        self.pair.pair.client().close(Code::H3_NO_ERROR, "");
        self.pair.drive();
        self.check();
        for side in SIDES {
            assert_eq!(self.pair.tunnels(side).live(), 0);
            let closed = |event: &Event| matches!(event, Event::Closed(_));
            assert!(self.pair.others(side).iter().any(closed));
        }
        self.pair.advance(Duration::from_secs(31));
        self.check();
        for side in SIDES {
            assert!(self.pair.tunnels(side).is_empty());
        }
        assert_eq!(self.pair.next_timeout(), None);
    }
}
