//! Streams that nobody reads, beside some that are read.

use aqueduct_core::endpoint::{ConnectionMut, TransportSettings};
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{ConnKey, Dir, SessionKey, Side, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_tests::wt::there;
use bytes::Bytes;
use std::time::Duration;

const KIB: usize = 1024;

/// What somebody writes to.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Content,
    Answer,
    Stream(Side, Dir),
}

const KINDS: [Kind; 6] = [
    Kind::Content,
    Kind::Answer,
    Kind::Stream(Side::Client, Dir::Uni),
    Kind::Stream(Side::Client, Dir::Bi),
    Kind::Stream(Side::Server, Dir::Uni),
    Kind::Stream(Side::Server, Dir::Bi),
];

/// A stream with its name at the end that writes, and at the one that reads.
#[derive(Clone, Copy, Debug)]
struct Way {
    from: Side,
    send: StreamKey,
    recv: StreamKey,
}

/// One connection with two sessions.
struct World {
    pair: Pair,
    keys: [ConnKey; 2],
    sessions: Vec<[SessionKey; 2]>,
}

impl World {
    fn new(mut transport: TransportSettings, streams: usize) -> Self {
        let mut options = Options::default();
        if streams > 64 {
            // More than there may be by default, and what the documents say of that.
            let more = streams as u64 + 10;
            (transport.max_streams_bidi, transport.max_streams_uni) = (more, more);
            transport.receive_window =
                more * transport.stream_receive_window / 7 + transport.initial_receive_window;
        }
        options.transport = transport;
        options.server.limits.open_requests = 300;
        // QUIC's own limits are what is tried.
        options.server.webtransport.dialects = Dialects::SET_A;
        let (pair, client, server) = Pair::connected(options);
        let mut world = Self {
            pair,
            keys: [client, server],
            sessions: Vec::new(),
        };
        for _ in 0..2 {
            let session = world.session();
            world.sessions.push(session);
        }
        world
    }

    fn at(&mut self, side: Side) -> ConnectionMut<'_> {
        match side {
            Side::Client => self.pair.client(self.keys[0]),
            Side::Server => self.pair.server(self.keys[1]),
        }
    }

    fn events(&mut self, side: Side) -> Vec<Event> {
        self.pair.drive();
        match side {
            Side::Client => self.pair.client.take(self.keys[0]),
            Side::Server => self.pair.server.take(self.keys[1]),
        }
    }

    fn session(&mut self) -> [SessionKey; 2] {
        let ours = self.at(Side::Client).access().open_session(&there());
        let asked = |event| match event {
            Event::WebTransport(key, SessionEvent::Requested(_)) => Some(key),
            _ => None,
        };
        let events = self.events(Side::Server);
        let theirs = events.into_iter().find_map(asked).expect("is asked");
        let answer = ConnectAnswer::default();
        let mut server = self.at(Side::Server);
        let accepted = server.access().webtransport(theirs).accept(&answer);
        accepted.expect("accepts");
        self.pair.drive();
        [ours.expect("asks"), theirs]
    }

    /// Begins one of a kind, in a session if it is of one.
    fn open(&mut self, kind: Kind, session: usize) -> Way {
        if let Kind::Stream(from, dir) = kind {
            let session = self.sessions[session][from as usize];
            let mut opener = self.at(from);
            let mut access = opener.access();
            let send = access.webtransport(session).open_stream(dir);
            let send = send.expect("opens");
            // Nobody hears of a stream before something comes on it.
            let mut first = access.send(send).expect("a stream");
            first.write(&mut ["x".into()]).expect("open");
            let opened = |event| match event {
                Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => Some(stream),
                _ => None,
            };
            let events = self.events(from.peer());
            let recv = events.into_iter().find_map(opened).expect("arrives");
            return Way { from, send, recv };
        }
        let uri = "https://a/".parse().expect("a URI");
        let end = if matches!(kind, Kind::Content) {
            End::More
        } else {
            End::Fin
        };
        let head = RequestHead::new(http::Method::POST, uri);
        let [ours, theirs] = self.pair.request(self.keys, &head, end);
        if end == End::More {
            return Way {
                from: Side::Client,
                send: ours,
                recv: theirs,
            };
        }
        let head = ResponseHead::new(http::StatusCode::OK);
        let mut server = self.at(Side::Server);
        let begun = server.access().respond(theirs, &head, End::More);
        begun.expect("open");
        Way {
            from: Side::Server,
            send: theirs,
            recv: ours,
        }
    }

    /// Writes what is taken, of so much.
    fn write(&mut self, way: Way, bytes: usize) -> usize {
        let mut end = self.at(way.from);
        let mut access = end.access();
        let mut send = access.send(way.send).expect("a stream");
        send.write(&mut [vec![7; bytes].into()]).expect("open")
    }

    fn read(&mut self, way: Way) -> usize {
        let mut end = self.at(way.from.peer());
        let mut access = end.access();
        let mut recv = access.recv(way.recv).expect("a stream");
        let mut out = [const { Bytes::new() }; 8];
        let mut got = 0;
        loop {
            let read = recv.read(usize::MAX, &mut out).expect("open");
            got += read.bytes;
            if read.state != ReadState::Open {
                return got;
            }
        }
    }

    /// Sends 300 KiB and reads them.
    fn transfer(&mut self, way: Way, beside: &str) {
        let begun = self.pair.now;
        let (mut sent, mut got) = (0, 0);
        while got < 300 * KIB {
            sent += self.write(way, 300 * KIB - sent);
            self.pair.drive();
            let read = self.read(way);
            assert!(read > 0, "stalls after {got} of {sent} {beside}");
            got += read;
            self.pair.drive();
        }
        let took = self.pair.now - begun;
        assert!(took < Duration::from_secs(3), "{took:?} {beside}");
    }
}

/// Writes a mebibyte to each, or what is taken of it, and nobody reads. Then others of
/// every kind are as quick as ever.
fn others_go_on(world: &mut World, silent: &[Way], what: &str) {
    let mut sent = vec![0; silent.len()];
    loop {
        let before = sent.clone();
        for (way, sent) in silent.iter().zip(&mut sent) {
            *sent += world.write(*way, 1024 * KIB - *sent);
        }
        if sent == before {
            break;
        }
        world.pair.drive();
    }
    for busy in KINDS {
        let way = world.open(busy, 1);
        world.transfer(
            way,
            &format!("as {busy:?} beside {} of {what}", silent.len()),
        );
    }
    for way in silent {
        let got = world.read(*way);
        assert!(got > 12_000, "{got} of {what}");
        world.pair.drive();
    }
    world.transfer(silent[0], "at last");
}

/// README: a silent stream delays nobody, of whatever kind it is and whatever is beside
/// it.
#[test]
fn silent_streams_delay_nobody() {
    for kind in KINDS {
        for count in [1, 15, 16, 64, 256] {
            let mut world = World::new(TransportSettings::default(), count);
            let silent: Vec<_> = (0..count).map(|_| world.open(kind, 0)).collect();
            others_go_on(&mut world, &silent, &format!("{kind:?}"));
        }
    }
}

/// As many as a peer may open by default, at once.
#[test]
fn all_that_there_may_be_delay_nobody() {
    for transport in [TransportSettings::default(), TransportSettings::client()] {
        let mut world = World::new(transport, 0);
        let mut silent = Vec::new();
        for (kind, count) in [
            (Kind::Content, 95),
            (Kind::Stream(Side::Client, Dir::Uni), 98),
            (Kind::Stream(Side::Server, Dir::Uni), 98),
            (Kind::Stream(Side::Server, Dir::Bi), 98),
        ] {
            silent.extend((0..count).map(|_| world.open(kind, 0)));
        }
        others_go_on(&mut world, &silent, "all kinds");
    }
}
