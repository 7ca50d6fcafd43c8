//! Resets between two endpoints on virtual time: streams of a session, and forged frames.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::Uri;

use super::ledger::ResetStats;
use super::shared::Shared;
use crate::endpoint::connection::State;
use crate::endpoint::{ConnectionMut, IncomingPolicy, Retry, state_of};
use crate::error::{CloseReason, ReadError, TransportFailure};
use crate::event::Event;
use crate::id::{ConnKey, Dir, SessionKey, Side, StreamKey};
use crate::testing::pair::{Options, Pair};
use crate::transport::ReadState;
use crate::webtransport::dialect::Dialect;
use crate::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use crate::wire::testing::hex;

mod early;
mod frames;
mod hostile;
mod weather;

/// What was read of a stream, and how it ended: whole, or reset with a code.
type Heard = (Vec<u8>, Option<Result<(), u32>>);

/// A session over QUIC, and what its streams have come to at either end.
struct Net {
    pair: Pair,
    keys: [ConnKey; 2],
    sessions: [SessionKey; 2],
    /// What was heard at each end of streams that the other one opened: what was read, and
    /// how it ended.
    heard: [BTreeMap<u64, Heard>; 2],
}

fn request() -> ConnectRequest {
    ConnectRequest::new(Uri::from_static("https://localhost/"))
}

impl Net {
    fn new(options: Options) -> Self {
        let (pair, client, server) = Pair::connected(options);
        Self::on(pair, [client, server])
    }

    /// Why the server's connection has ended, once.
    fn closed(&mut self) -> Option<CloseReason> {
        let events = self.pair.server.take(self.keys[1]);
        events.into_iter().find_map(|event| match event {
            Event::Closed(reason) => Some(*reason),
            _ => None,
        })
    }

    fn on(mut pair: Pair, keys: [ConnKey; 2]) -> Self {
        let [client, server] = keys;
        pair.drive();
        let opened = pair.client(client).access().open_session(&request());
        let opened = opened.expect("asks");
        pair.drive();
        let asked = pair
            .server
            .take(server)
            .into_iter()
            .find_map(|event| match event {
                Event::WebTransport(key, SessionEvent::Requested(_)) => Some(key),
                _ => None,
            });
        let asked = asked.expect("is asked");
        let mut connection = pair.server(server);
        let accepted = connection
            .access()
            .webtransport(asked)
            .accept(&ConnectAnswer::default());
        accepted.expect("accepts");
        pair.drive();
        pair.client.take(client);
        Self {
            pair,
            keys,
            sessions: [opened, asked],
            heard: Default::default(),
        }
    }

    fn at(&mut self, side: Side) -> ConnectionMut<'_> {
        match side {
            Side::Client => self.pair.client(self.keys[0]),
            Side::Server => self.pair.server(self.keys[1]),
        }
    }

    fn state(&mut self, side: Side) -> &mut State {
        let (end, key) = match side {
            Side::Client => (&mut self.pair.client, self.keys[0]),
            Side::Server => (&mut self.pair.server, self.keys[1]),
        };
        state_of(&mut end.endpoint.slots, key).expect("known")
    }

    fn shared(&mut self, side: Side) -> &Shared {
        self.state(side).resets.shared.as_deref().expect("is on")
    }

    fn stats(&mut self, side: Side) -> ResetStats {
        self.at(side).info().resets()
    }

    fn open(&mut self, side: Side, dir: Dir) -> Option<StreamKey> {
        let session = self.sessions[side as usize];
        let mut connection = self.at(side);
        let mut access = connection.access();
        access.webtransport(session).open_stream(dir).ok()
    }

    fn write(&mut self, side: Side, stream: StreamKey, bytes: &[u8]) {
        let mut connection = self.at(side);
        let mut access = connection.access();
        let mut send = access.send(stream).expect("a stream");
        let bytes = Bytes::copy_from_slice(bytes);
        send.write(&mut [bytes]).expect("writes");
    }

    fn reset(&mut self, side: Side, stream: StreamKey, code: u32) {
        let mut connection = self.at(side);
        let mut access = connection.access();
        let mut send = access.send(stream).expect("a stream");
        send.reset(code.into()).expect("resets");
    }

    /// Takes the events of both ends, and reads what there is of streams.
    fn listen(&mut self) {
        for side in [Side::Client, Side::Server] {
            let events = match side {
                Side::Client => self.pair.client.take(self.keys[0]),
                Side::Server => self.pair.server.take(self.keys[1]),
            };
            let mut readable = Vec::new();
            for event in events {
                match event {
                    Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => {
                        let new = self.heard[side as usize]
                            .insert(stream.id().wire(), Default::default());
                        assert!(new.is_none(), "opened once");
                        readable.push(stream);
                    }
                    Event::Stream(stream, _) => readable.push(stream),
                    Event::Closed(reason) => panic!("{side:?}: {reason:?}"),
                    _ => {}
                }
            }
            for stream in readable {
                self.read(side, stream);
            }
        }
    }

    fn read(&mut self, side: Side, stream: StreamKey) {
        let mut out = [const { Bytes::new() }; 4];
        loop {
            let mut connection = self.at(side);
            let mut access = connection.access();
            let Ok(mut recv) = access.recv(stream) else {
                return;
            };
            let read = recv.read(usize::MAX, &mut out);
            let Some(heard) = self.heard[side as usize].get_mut(&stream.id().wire()) else {
                return;
            };
            match read {
                Ok(read) => {
                    for chunk in &out[..read.chunks] {
                        heard.0.extend_from_slice(chunk);
                    }
                    match read.state {
                        ReadState::Open => {}
                        ReadState::Blocked => return,
                        ReadState::Finished => return heard.1 = Some(Ok(())),
                    }
                }
                Err(ReadError::Reset(code)) => {
                    // Not a session's at all: one that nobody sends.
                    return heard.1 = Some(Err(code.app.unwrap_or(u32::MAX)));
                }
                Err(_) => return,
            }
        }
    }

    /// Lets everything happen, and listens.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.pair.advance(Duration::from_millis(20));
            self.listen();
        }
    }

    /// Nothing is left of resets at either end.
    fn assert_over(&mut self) {
        for side in [Side::Client, Side::Server] {
            let (room, received) = self
                .shared(side)
                .with(|ledger| (ledger.room(), ledger.has_received()));
            assert_eq!((room, received), (0, false), "{side:?}");
            let heard: Vec<_> = self.heard[side as usize].keys().copied().collect();
            let resets = &self.state(side).resets;
            assert!(resets.waiting.is_empty(), "{resets:?}");
            // The session's own stream and those of HTTP/3 go on.
            let left = resets.read.keys().filter(|id| heard.contains(&id.wire()));
            assert_eq!(left.count(), 0, "{resets:?}");
        }
    }
}

/// Row B37: both sides say so by default, and speak the newest draft, which calls for it.
#[test]
fn both_ends_have_it_by_default() {
    let mut net = Net::new(Options::default());
    for side in [Side::Client, Side::Server] {
        let mut connection = net.at(side);
        let peer = connection.info().peer_parameters().expect("known");
        assert!(peer.reset_stream_at, "{side:?}");
        let agreed = connection.access().negotiated().expect("agreed");
        assert_eq!(agreed.dialect, Dialect::Draft15);
    }
}

/// Row B37: nothing of it without the switch, at either end, and drafts before 13.
#[test]
fn a_side_that_leaves_it_out_has_none_of_it() {
    let mut options = Options::default();
    options.transport.reliable_reset = false;
    let mut net = Net::new(options);
    for side in [Side::Client, Side::Server] {
        let mut connection = net.at(side);
        let peer = connection.info().peer_parameters().expect("known");
        assert!(!peer.reset_stream_at, "{side:?}");
        let agreed = connection.access().negotiated().expect("agreed");
        assert_eq!(agreed.dialect, Dialect::Draft07);
    }
    let stream = net.open(Side::Client, Dir::Uni).expect("room");
    net.write(Side::Client, stream, b"hello");
    net.settle();
    net.reset(Side::Client, stream, 9);
    net.settle();
    assert_eq!(
        net.heard[1].values().next().expect("opened").1,
        Some(Err(9))
    );
    assert_eq!(net.stats(Side::Client), ResetStats::default());
}

/// Row B37: a stream that is reset at once says whose it is, and nothing else has to come.
#[test]
fn a_header_arrives_with_the_reset() {
    let mut net = Net::new(Options::default());
    for side in [Side::Client, Side::Server] {
        for dir in [Dir::Bi, Dir::Uni] {
            let stream = net.open(side, dir).expect("room");
            net.write(side, stream, &[7; 5_000]);
            net.reset(side, stream, 40);
        }
    }
    // All but the reset is lost.
    net.settle();
    for side in [0, 1] {
        let ends: Vec<_> = net.heard[side].values().map(|heard| heard.1).collect();
        assert_eq!(ends, [Some(Err(40)); 2]);
    }
    for side in [Side::Client, Side::Server] {
        let stats = net.stats(side);
        assert_eq!((stats.sent, stats.received, stats.released), (2, 2, 2));
    }
    net.assert_over();
}

/// Row B37: what a reset took away counts for the session as what was read does.
#[test]
fn a_session_counts_what_was_sent_of_a_stream() {
    let mut net = Net::new(Options::default());
    // Ten times the session's window of 1 MiB.
    for turn in 0..160 {
        let stream = net.open(Side::Client, Dir::Uni).expect("streams come back");
        net.write(Side::Client, stream, &[7; 65_000]);
        net.reset(Side::Client, stream, turn);
        net.pair.advance(Duration::from_millis(100));
        net.listen();
    }
    net.settle();
    assert_eq!(net.heard[1].len(), 160);
    let session = net.sessions[1];
    let mut connection = net.at(Side::Server);
    let stats = connection.access().webtransport(session).stats();
    assert!(stats.expect("a session").bytes_received < 160 * 65_000);
    net.assert_over();
}

/// Row B37: the application that reads is told of the reset behind the bytes that arrive,
/// and of none beyond.
#[test]
fn slots_and_credit_come_back() {
    let mut options = Options::default();
    options.transport.max_streams_uni = 10;
    options.transport.initial_receive_window = 100_000;
    options.transport.receive_window = 100_000;
    let mut net = Net::new(options);
    let mut opened = 0;
    for _ in 0..300 {
        while let Some(stream) = net.open(Side::Client, Dir::Uni) {
            net.write(Side::Client, stream, &[7; 4_000]);
            net.reset(Side::Client, stream, 3);
            opened += 1;
        }
        net.pair.advance(Duration::from_millis(50));
        net.listen();
    }
    // Three of ten are HTTP/3's own.
    assert!(opened > 1_000, "{opened}");
    net.settle();
    assert_eq!(net.heard[1].len(), opened);
    assert!(net.heard[1].values().all(|heard| heard.1 == Some(Err(3))));
    net.assert_over();
}

/// Row B37: that streams may be opened again is told, though nothing is read of any after
/// their resets, which come all at once.
#[test]
fn slots_of_streams_that_were_read_come_back() {
    let mut options = Options::default();
    options.transport.max_streams_uni = 40;
    let mut net = Net::new(options);
    for turn in 1..=4 {
        let mut streams = Vec::new();
        while let Some(stream) = net.open(Side::Client, Dir::Uni) {
            net.write(Side::Client, stream, b"hello");
            streams.push(stream);
        }
        // HTTP/3 has its own, one of them of a reserved type, which ends.
        assert!(streams.len() >= 36, "turn {turn}: {}", streams.len());
        net.settle();
        for stream in streams {
            net.reset(Side::Client, stream, turn);
        }
        net.pair.advance(Duration::from_millis(15));
        net.listen();
        net.pair.advance(Duration::from_millis(60));
    }
    net.settle();
    net.assert_over();
}

/// Row B37: many at once neither stall nor take more room than there is.
#[test]
fn a_thousand_resets_at_once() {
    let mut options = Options::default();
    options.transport.max_streams_uni = 1_100;
    for config in [&mut options.client, &mut options.server] {
        config.webtransport.flow = None;
    }
    let mut net = Net::new(options);
    let streams: Vec<_> = (0..1_000)
        .map(|_| net.open(Side::Client, Dir::Uni).expect("room"))
        .collect();
    for stream in streams {
        net.write(Side::Client, stream, b"x");
        net.reset(Side::Client, stream, 3);
    }
    let start = net.pair.now;
    while net.heard[1]
        .values()
        .filter(|heard| heard.1.is_some())
        .count()
        < 1_000
    {
        net.pair.advance(Duration::from_millis(5));
        net.listen();
        assert!(
            net.pair.now - start < Duration::from_secs(1),
            "took too long"
        );
    }
    net.settle();
    net.assert_over();
}

/// Row B37: while a datagram waits, packets grow by what the largest one leaves.
#[test]
fn datagrams_pass_beside_resets() {
    let mut options = Options::default();
    options.transport.max_streams_uni = 700;
    for config in [&mut options.client, &mut options.server] {
        config.webtransport.flow = None;
    }
    let mut net = Net::new(options);
    for _ in 0..600 {
        let stream = net.open(Side::Client, Dir::Uni).expect("room");
        net.reset(Side::Client, stream, 3);
    }
    // As many as a packet has room for are on their way.
    net.pair.step();
    let (session, theirs) = (net.sessions[0], net.sessions[1]);
    let mut connection = net.at(Side::Client);
    let mut access = connection.access();
    let most = access.max_datagram_size(session).expect("datagrams");
    access.send_datagram(session, &vec![7; most]).expect("room");
    let start = net.pair.now;
    loop {
        net.pair.advance(Duration::from_millis(5));
        net.listen();
        let mut connection = net.at(Side::Server);
        if connection.access().recv_datagram(theirs).is_some() {
            break;
        }
        assert!(net.pair.now - start < Duration::from_millis(100), "waits");
    }
    let ended = net.heard[1].values().filter(|heard| heard.1.is_some());
    assert!(ended.count() < 600, "resets go on");
    net.settle();
    assert_eq!(net.heard[1].len(), 600);
    net.assert_over();
}

/// Row B37: a loss may put all resets that are on their way into one packet.
#[test]
fn one_packet_may_have_to_carry_all_of_them() {
    let mut net = Net::new(Options::default());
    // They leave in packets of their own, and none arrives.
    net.pair.client.link.down = true;
    for _ in 0..20 {
        let stream = net.open(Side::Client, Dir::Uni).expect("room");
        net.reset(Side::Client, stream, 3);
        net.pair.advance(Duration::from_micros(100));
    }
    let apart = net.shared(Side::Client).with(|ledger| ledger.most_sent);
    assert_eq!(apart, 1);
    net.pair.client.link.down = false;
    net.settle();
    let together = net.shared(Side::Client).with(|ledger| ledger.most_sent);
    assert!(together > 5, "{together}");
    assert_eq!(net.heard[1].len(), 20);
    net.assert_over();
}

/// Row B37: the answer to STOP_SENDING is a reset as well.
#[test]
fn a_stream_that_is_stopped_is_reset_with_its_header() {
    let mut net = Net::new(Options::default());
    let stream = net.open(Side::Client, Dir::Bi).expect("room");
    net.write(Side::Client, stream, b"hello");
    net.pair.drive();
    net.listen();
    let id = *net.heard[1].keys().next().expect("opened");
    assert_eq!(id, stream.id().wire());
    let mut connection = net.at(Side::Server);
    let mut access = connection.access();
    access
        .recv(stream)
        .expect("the same key")
        .stop(4)
        .expect("stops");
    net.settle();
    assert_eq!(net.stats(Side::Client).sent, 1);
    net.assert_over();
}

/// Row B37: with a Retry before, whose tag is checked.
#[test]
fn a_retry_changes_nothing() {
    let incoming = IncomingPolicy {
        retry: Retry::Always,
        ..IncomingPolicy::default()
    };
    let mut net = Net::new(Options {
        incoming,
        ..Options::default()
    });
    assert_eq!(net.pair.server.endpoint.stats().retried, 1);
    let stream = net.open(Side::Client, Dir::Uni).expect("room");
    net.reset(Side::Client, stream, 3);
    net.settle();
    assert_eq!(
        net.heard[1].values().next().expect("opened").1,
        Some(Err(3))
    );
    net.assert_over();
}

/// Row B37: a close does not wait for resets.
#[test]
fn a_close_in_the_middle_of_them() {
    let mut net = Net::new(Options::default());
    for _ in 0..90 {
        let stream = net.open(Side::Client, Dir::Uni).expect("room");
        net.reset(Side::Client, stream, 3);
    }
    net.at(Side::Client)
        .access()
        .close(crate::code::Code::H3_NO_ERROR, "enough");
    net.pair.drive();
    assert_eq!(
        net.closed(),
        Some(CloseReason::Remote {
            code: crate::code::Code::H3_NO_ERROR,
            reason: "enough".into()
        })
    );
}

/// Row B37: probes for a larger datagram are as large as they say while resets are on their
/// way, and find it.
#[test]
fn the_path_is_probed_beside_resets() {
    let mut net = Net::new(Options::default());
    // Another one, of which the server knows nothing.
    net.pair.client.addr.set_ip([10, 0, 0, 9].into());
    net.pair.client.endpoint.handle_rebind(net.pair.now);
    let mut grew = 0;
    for _ in 0..60 {
        for side in [Side::Client, Side::Server] {
            let stream = net.open(side, Dir::Uni).expect("room");
            net.reset(side, stream, 3);
        }
        let before = net.at(Side::Server).info().path().mtu;
        net.pair.advance(Duration::from_millis(3));
        let room = net.shared(Side::Server).with(|ledger| ledger.room());
        let after = net.at(Side::Server).info().path().mtu;
        grew += usize::from(room > 0 && after > before);
        net.listen();
    }
    net.settle();
    let path = net.at(Side::Server).info().path();
    assert!(grew > 1 && path.mtu > 1_400, "{grew} times, {path:?}");
    assert_eq!(net.heard.each_ref().map(BTreeMap::len), [60; 2]);
    net.assert_over();
}
