//! Whose bytes go first when there is more to send than the path takes.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Uri;

use aqueduct_core::connection::Command;
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir, SessionKey, StreamId, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::dialect::Dialects;
use aqueduct_core::webtransport::{ConnectRequest, SessionEvent};

const SIZE: usize = 400_000;

/// All of it is handed over at once.
fn roomy() -> Options {
    let mut options = Options::default();
    options.transport.send_window = 8 << 20;
    options.transport.initial_send_window = 8 << 20;
    options.transport.stream_receive_window = 8 << 20;
    options.transport.receive_window = 8 << 20;
    options.transport.initial_receive_window = 8 << 20;
    options.server.webtransport.dialects = Dialects::SET_A;
    options
}

pub(super) fn session(pair: &mut Pair, client: ConnKey, server: ConnKey) -> SessionKey {
    let request = ConnectRequest::new(Uri::from_static("https://localhost/"));
    let session = pair
        .client(client)
        .access()
        .open_session(&request)
        .expect("opens");
    pair.drive();
    for event in pair.server.take(server) {
        if let Event::WebTransport(asked, SessionEvent::Requested(_)) = event {
            let accept = Command::AcceptSession(asked, Box::default());
            pair.server_command(server, accept).expect("accepts");
        }
    }
    pair.drive();
    session
}

/// A stream of the client's that has more to send than a window takes.
fn bulk(pair: &mut Pair, client: ConnKey, session: SessionKey, order: i32) -> StreamKey {
    let mut connection = pair.client(client);
    let mut access = connection.access();
    let stream = access
        .webtransport(session)
        .open_stream(Dir::Uni)
        .expect("opens");
    let mut send = access.send(stream).expect("a stream");
    send.set_send_order(order);
    // Sessions that share a connection write in turns.
    let (mut chunk, mut sent) = ([Bytes::from(vec![7; SIZE])], 0);
    while sent < SIZE {
        let taken = send.write(&mut chunk).expect("a stream");
        assert!(taken > 0, "the send window takes it");
        sent += taken;
    }
    send.finish().expect("finishes");
    stream
}

/// What the server has read of each stream.
#[derive(Default)]
struct Arrivals {
    got: BTreeMap<StreamId, usize>,
    open: Vec<StreamKey>,
}

impl Arrivals {
    /// Reads what there is, and tells which streams are complete.
    fn read(&mut self, pair: &mut Pair, server: ConnKey) -> Vec<StreamId> {
        for event in pair.server.take(server) {
            if let Event::WebTransport(_, SessionEvent::Opened { stream, .. }) = event {
                self.open.push(stream);
            }
        }
        let mut chunks = [const { Bytes::new() }; 64];
        let mut connection = pair.server(server);
        let mut access = connection.access();
        let mut complete = Vec::new();
        self.open.retain(|stream| {
            loop {
                let mut recv = access.recv(*stream).expect("a stream");
                let read = recv.read(usize::MAX, &mut chunks).expect("bytes");
                *self.got.entry(stream.id()).or_default() += read.bytes;
                match read.state {
                    ReadState::Open => {}
                    ReadState::Blocked => return true,
                    ReadState::Finished => {
                        complete.push(stream.id());
                        return false;
                    }
                }
            }
        });
        complete
    }

    /// Goes on until a stream is complete.
    fn until(&mut self, pair: &mut Pair, server: ConnKey, stream: StreamKey) {
        let done = pair.drive_until(|pair| self.read(pair, server).contains(&stream.id()));
        assert!(done, "{:?}", self.got);
    }

    /// Goes on until that many bytes have come.
    fn until_begun(&mut self, pair: &mut Pair, server: ConnKey) {
        let begun = pair.drive_until(|pair| {
            self.read(pair, server);
            self.got.values().sum::<usize>() > 50_000
        });
        assert!(begun, "{:?}", self.got);
    }

    fn of(&self, stream: StreamKey) -> Option<usize> {
        self.got.get(&stream.id()).copied()
    }
}

/// Row B28: the highest order of one session and the only stream of another share
/// the path; a lower order waits.
#[test]
fn an_order_starves_nobody_elses_stream() {
    let (mut pair, client, server) = Pair::connected(roomy());
    let loud = session(&mut pair, client, server);
    let quiet = session(&mut pair, client, server);
    let low = bulk(&mut pair, client, loud, 10);
    let high = bulk(&mut pair, client, loud, 1_000_000);
    let other = bulk(&mut pair, client, quiet, 0);
    let mut arrivals = Arrivals::default();
    arrivals.until(&mut pair, server, high);
    let got = &arrivals.got;
    assert!(
        arrivals.of(other).is_some_and(|bytes| bytes > SIZE * 4 / 5),
        "a fair share: {got:?}"
    );
    assert!(
        arrivals.of(low).is_some_and(|bytes| bytes < SIZE / 5),
        "it waits: {got:?}"
    );
    // And it is not forgotten.
    arrivals.until(&mut pair, server, low);
}

/// Row B28: a stream of another session that opens while others have everything
/// queued gets its share.
#[test]
fn a_late_stream_gets_its_share() {
    let (mut pair, client, server) = Pair::connected(roomy());
    let busy = session(&mut pair, client, server);
    let late = session(&mut pair, client, server);
    let first = bulk(&mut pair, client, busy, 1000);
    let mut arrivals = Arrivals::default();
    arrivals.until_begun(&mut pair, server);
    let second = bulk(&mut pair, client, late, -1000);
    arrivals.until(&mut pair, server, first);
    let got = &arrivals.got;
    assert!(
        arrivals.of(second).is_some_and(|bytes| bytes > SIZE / 2),
        "{got:?}"
    );
}

/// Row B28: a header goes out at once, also when its stream's bytes have to wait.
#[test]
fn a_header_does_not_wait_for_its_turn() {
    let (mut pair, client, server) = Pair::connected(roomy());
    let session = session(&mut pair, client, server);
    let first = bulk(&mut pair, client, session, 1);
    let second = bulk(&mut pair, client, session, 2);
    let mut arrivals = Arrivals::default();
    arrivals.until_begun(&mut pair, server);
    let last = bulk(&mut pair, client, session, -1);
    arrivals.until(&mut pair, server, second);
    let got = &arrivals.got;
    for waiting in [first, last] {
        assert!(
            arrivals.of(waiting).is_some_and(|bytes| bytes < SIZE / 5),
            "{got:?}"
        );
    }
}
