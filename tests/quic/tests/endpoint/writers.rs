//! Streams take turns when a connection has no room for what all of them send.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::{ConnKey, Dir, StreamId, StreamKey};
use aqueduct_core::priority::Priority;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

const SIZE: usize = 160 * 1024;

/// The type of streams that the application claims.
const CLAIMED: u64 = 0x4d51;

#[derive(Clone, Copy)]
enum Kind {
    Request,
    Claimed,
}

/// Uploads of [`SIZE`] each over a line of 1 Mbit/s, where the server reads what comes.
struct Uploads {
    pair: Pair,
    client: ConnKey,
    server: ConnKey,
    /// What is left to be handed over.
    left: BTreeMap<StreamKey, usize>,
    open: Vec<StreamKey>,
    got: BTreeMap<StreamId, usize>,
    over: BTreeSet<StreamId>,
}

impl Uploads {
    fn new() -> Self {
        Self::with(Options::default())
    }

    fn with(mut options: Options) -> Self {
        options.client.claimed_uni = vec![CLAIMED];
        options.server.claimed_uni = vec![CLAIMED];
        options.record = false;
        let (mut pair, client, server) = Pair::connected(options);
        pair.drive();
        pair.client.link.rate = Some(125_000);
        Self {
            pair,
            client,
            server,
            left: BTreeMap::new(),
            open: Vec::new(),
            got: BTreeMap::new(),
            over: BTreeSet::new(),
        }
    }

    /// Begins so many more, and hands over of each what is taken.
    fn begin(&mut self, kind: Kind, count: usize, size: usize) -> Vec<StreamKey> {
        let head = RequestHead::new(http::Method::PUT, "https://a/".parse().expect("a URI"));
        let mut connection = self.pair.client(self.client);
        let mut access = connection.access();
        let begun: Vec<_> = (0..count)
            .map(|_| match kind {
                Kind::Request => access.request(&head, End::More).expect("credit"),
                Kind::Claimed => access.open_claimed(Dir::Uni, CLAIMED).expect("credit"),
            })
            .collect();
        for stream in &begun {
            self.left.insert(*stream, size);
            self.write(*stream);
        }
        begun
    }

    fn write(&mut self, stream: StreamKey) {
        let Some(left) = self.left.get_mut(&stream) else {
            return;
        };
        let mut connection = self.pair.client(self.client);
        let mut access = connection.access();
        let Ok(mut send) = access.send(stream) else {
            return;
        };
        let mut chunks = [Bytes::from(vec![7; *left])];
        *left -= send.write(&mut chunks).unwrap_or(0);
        if *left == 0 {
            send.finish().expect("open");
            self.left.remove(&stream);
        }
    }

    /// The client goes on with those that it is told of, the last one first, as a
    /// scheduler of tasks may do.
    fn answer(&mut self) {
        let events = self.pair.client.take(self.client);
        for event in events.into_iter().rev() {
            if let Event::Stream(stream, StreamEvent::Writable) = event {
                self.write(stream);
            }
        }
    }

    /// The server reads what has come.
    fn read(&mut self) {
        for event in self.pair.server.take(self.server) {
            if let Event::Request { stream, .. } | Event::Claimed { stream, .. } = event {
                self.open.push(stream);
            }
        }
        let mut chunks = [const { Bytes::new() }; 64];
        let mut connection = self.pair.server(self.server);
        let mut access = connection.access();
        self.open.retain(|stream| {
            loop {
                let read = access
                    .recv(*stream)
                    .map(|mut recv| recv.read(SIZE, &mut chunks));
                let Ok(Ok(read)) = read else { return false };
                *self.got.entry(stream.id()).or_default() += read.bytes;
                match read.state {
                    ReadState::Open => {}
                    ReadState::Blocked => return true,
                    ReadState::Finished => {
                        self.over.insert(stream.id());
                        return false;
                    }
                }
            }
        });
    }

    /// Some time passes.
    fn go(&mut self) {
        self.pair.advance(Duration::from_millis(10));
        self.answer();
        self.read();
    }

    /// Goes on until these have arrived, and gives the time that it took.
    fn until_over(&mut self, streams: &[StreamKey]) -> Duration {
        let start = self.pair.now;
        while !streams.iter().all(|one| self.over.contains(&one.id())) {
            self.go();
            let waited = self.pair.now - start;
            assert!(waited < Duration::from_secs(60), "{:?}", self.got);
        }
        self.pair.now - start
    }

    /// What came of each, the least and the most.
    fn spread(&self, streams: &[StreamKey]) -> (usize, usize) {
        let got = |stream: &StreamKey| self.got.get(&stream.id()).copied().unwrap_or(0);
        let got = streams.iter().map(got);
        (got.clone().min().unwrap_or(0), got.max().unwrap_or(0))
    }
}

/// Time that the line takes for so many bytes, and a tenth more for packets and losses.
fn line(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64) * 11 / 10 / 125_000
}

/// Forty uploads of one size are never further apart than some turns are long, and all
/// of them end, also when ten of them ask again and again.
#[test]
fn forty_uploads_keep_abreast() {
    for kind in [Kind::Request, Kind::Claimed] {
        let mut uploads = Uploads::new();
        let streams = uploads.begin(kind, 40, SIZE);
        let mut widest = 0;
        while uploads.over.len() < 40 {
            for stream in &streams[30..] {
                uploads.write(*stream);
            }
            uploads.go();
            let (least, most) = uploads.spread(&streams);
            widest = widest.max(most - least);
            assert!(uploads.pair.elapsed() < line(40 * SIZE) + Duration::from_secs(1));
        }
        assert!(widest <= 48 * 1024, "{widest} bytes apart");
    }
}

/// Streams that are reset, stopped or ended while they wait hold up nobody.
#[test]
fn who_leaves_the_line_holds_up_nobody() {
    let mut uploads = Uploads::new();
    let streams = uploads.begin(Kind::Claimed, 20, SIZE);
    let (leave, stay) = streams.split_at(18);
    for _ in 0..100 {
        uploads.go();
    }
    let mut connection = uploads.pair.client(uploads.client);
    let mut access = connection.access();
    for (number, stream) in leave.iter().enumerate() {
        uploads.left.remove(stream);
        let mut send = access.send(*stream).expect("a stream");
        match number % 3 {
            0 => send.reset(7).expect("open"),
            1 => send.finish().expect("open"),
            _ => {}
        }
    }
    let mut connection = uploads.pair.server(uploads.server);
    let mut access = connection.access();
    for stream in leave.iter().skip(2).step_by(3) {
        let here = uploads.open.iter().find(|here| here.id() == stream.id());
        let here = *here.expect("its header has come");
        let mut recv = access.recv(here).expect("a stream");
        recv.stop(7).expect("open");
    }
    let took = uploads.until_over(stay);
    // Those that ended have something on the way.
    assert!(took < line(3 * SIZE), "{took:?}");
}

/// A stream that waits, and to which the application never writes again, holds up
/// nobody.
#[test]
fn who_does_not_use_its_turn_holds_up_nobody() {
    let mut uploads = Uploads::new();
    let streams = uploads.begin(Kind::Claimed, 20, SIZE);
    let (idle, busy) = streams.split_at(15);
    for stream in idle {
        uploads.left.remove(stream);
    }
    let took = uploads.until_over(busy);
    assert!(took < line(5 * SIZE) + Duration::from_secs(2), "{took:?}");
}

/// What is more urgent does not stand behind what is less.
#[test]
fn who_is_more_urgent_goes_first() {
    let mut uploads = Uploads::new();
    let bulk = uploads.begin(Kind::Request, 20, SIZE);
    for _ in 0..200 {
        uploads.go();
    }
    let urgent = uploads.begin(Kind::Request, 1, SIZE);
    let mut priority = Priority::default();
    priority.urgency = 0;
    let mut connection = uploads.pair.client(uploads.client);
    let changed = connection.access().set_priority(urgent[0], priority);
    changed.expect("a request");
    let took = uploads.until_over(&urgent);
    // A fair share of the line would take twenty times as long.
    assert!(took < 2 * line(SIZE), "{took:?}");
    uploads.until_over(&bulk);
}

/// A stream by itself takes all the room there is in one write.
#[test]
fn who_is_alone_has_the_whole_window() {
    let mut options = Options::default();
    options.transport.stream_receive_window = 8 << 20;
    options.transport.receive_window = 16 << 20;
    options.transport.initial_receive_window = 16 << 20;
    options.transport.initial_send_window = 1 << 20;
    let mut uploads = Uploads::with(options);
    let alone = uploads.begin(Kind::Claimed, 1, 4 << 20)[0];
    let taken = (4 << 20) - uploads.left[&alone];
    assert!(taken > (1 << 20) - 1024, "{taken}");
}
