//! Every way to end a connection reaches the peer, while data is in flight both ways and
//! the path loses packets.

use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{ConnKey, Side, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use bytes::Bytes;
use http::{Method, Response, Uri};

/// Two endpoints, and one exchange that fills the congestion windows of both: nobody
/// reads, and both windows of flow control are larger.
struct Busy {
    pair: Pair,
    client: ConnKey,
    server: ConnKey,
    streams: [StreamKey; 2],
}

fn busy(seed: u64, change: impl FnOnce(&mut Options)) -> Busy {
    let mut options = Options {
        seed,
        ..Options::default()
    };
    options.transport.stream_receive_window = 8 << 20;
    options.transport.initial_receive_window = 8 << 20;
    options.transport.initial_send_window = 8 << 20;
    options.transport.send_window = 8 << 20;
    change(&mut options);
    let (mut pair, client, server) = Pair::connected(options);
    let head = RequestHead::new(Method::POST, Uri::from_static("https://localhost/"));
    let [asked, stream] = pair.request([client, server], &head, End::More);
    let ok = ResponseHead::from_http(Response::new(()));
    let answered = pair.server(server).access().respond(stream, &ok, End::More);
    answered.expect("answers");
    let much = || [Bytes::from(vec![7; 4 << 20])];
    let mut busy = Busy {
        pair,
        client,
        server,
        streams: [asked, stream],
    };
    // What one write takes of a message is bounded.
    for _ in 0..64 {
        let mut connection = busy.pair.client(client);
        let mut access = connection.access();
        access
            .send(asked)
            .expect("a stream")
            .write(&mut much())
            .expect("writes");
        let mut connection = busy.pair.server(server);
        let mut access = connection.access();
        access
            .send(stream)
            .expect("a stream")
            .write(&mut much())
            .expect("writes");
    }
    busy
}

impl Busy {
    /// Ends it in one way, and tells what the peer of whoever ended it heard, and after
    /// how long.
    fn end(mut self, by: Side, end: impl FnOnce(&mut Self)) -> (CloseReason, Duration) {
        for link in [&mut self.pair.client.link, &mut self.pair.server.link] {
            link.loss = 100;
        }
        // In the middle of it: windows are full and shrink, acknowledgements on the way.
        self.pair.advance(Duration::from_millis(85));
        let start = self.pair.now;
        end(&mut self);
        let (told, of) = match by {
            Side::Client => (Side::Server, self.server),
            Side::Server => (Side::Client, self.client),
        };
        let mut heard = None;
        self.pair.drive_until(|pair| {
            let end = match told {
                Side::Client => &mut pair.client,
                Side::Server => &mut pair.server,
            };
            heard = end.take(of).into_iter().find_map(|event| match event {
                Event::Closed(reason) => Some(*reason),
                _ => None,
            });
            heard.is_some()
        });
        (heard.expect("hears of it"), self.pair.now - start)
    }
}

/// Long before an idle timeout of 30 s.
const SOON: Duration = Duration::from_secs(2);

#[track_caller]
fn assert_soon(seed: u64, heard: (CloseReason, Duration), code: Code) {
    let (reason, after) = heard;
    assert!(
        matches!(&reason, CloseReason::Remote { code: told, .. } if *told == code),
        "SEED={seed} {reason:?}"
    );
    assert!(after < SOON, "SEED={seed} after {after:?}");
}

fn seeds() -> impl Iterator<Item = u64> {
    0..12
}

#[test]
fn an_application_that_closes_is_heard() {
    for seed in seeds() {
        for by in [Side::Client, Side::Server] {
            let heard = busy(seed, |_| ()).end(by, |busy| {
                let mut connection = match by {
                    Side::Client => busy.pair.client(busy.client),
                    Side::Server => busy.pair.server(busy.server),
                };
                connection.access().close(Code::H3_INTERNAL_ERROR, "enough");
            });
            assert_soon(seed, heard, Code::H3_INTERNAL_ERROR);
        }
    }
}

/// A peer that costs too much, as one rule for all that end in the one place for faults.
#[test]
fn a_rule_that_was_broken_is_heard() {
    for seed in seeds() {
        let busy = busy(seed, |options| options.server.limits.nuisance = 20);
        let heard = busy.end(Side::Server, |busy| {
            let mut connection = busy.pair.client(busy.client);
            let mut access = connection.access();
            for _ in 0..60 {
                let head = RequestHead::new(Method::GET, Uri::from_static("https://localhost/"));
                let stream = access.request(&head, End::More).expect("asks");
                let mut send = access.send(stream).expect("a stream");
                send.reset(Code::H3_REQUEST_CANCELLED.value())
                    .expect("resets");
            }
        });
        assert_soon(seed, heard, Code::H3_EXCESSIVE_LOAD);
    }
}

#[test]
fn the_end_of_a_drain_is_heard() {
    for seed in seeds() {
        for by in [Side::Client, Side::Server] {
            let heard = busy(seed, |_| ()).end(by, |busy| {
                let until: Instant = busy.pair.now + Duration::from_millis(50);
                let mut connection = match by {
                    Side::Client => busy.pair.client(busy.client),
                    Side::Server => busy.pair.server(busy.server),
                };
                connection.access().drain(until);
            });
            assert_soon(seed, heard, Code::H3_NO_ERROR);
        }
    }
}

#[test]
fn an_endpoint_that_closes_is_heard() {
    for seed in seeds() {
        for by in [Side::Client, Side::Server] {
            let heard = busy(seed, |_| ()).end(by, |busy| {
                let now = busy.pair.now;
                let end = match by {
                    Side::Client => &mut busy.pair.client,
                    Side::Server => &mut busy.pair.server,
                };
                end.endpoint.close(now, Code::H3_NO_ERROR, "going home");
            });
            assert_soon(seed, heard, Code::H3_NO_ERROR);
        }
    }
}

/// The window that is told is the congestion controller's, also afterwards.
#[test]
fn the_window_of_a_closed_connection_is_what_it_was() {
    let mut busy = busy(1, |_| ());
    busy.pair.advance(Duration::from_millis(35));
    let before = busy
        .pair
        .server(busy.server)
        .info()
        .path()
        .congestion_window;
    busy.pair
        .server(busy.server)
        .access()
        .close(Code::H3_NO_ERROR, "");
    busy.pair.step();
    let after = busy
        .pair
        .server(busy.server)
        .info()
        .path()
        .congestion_window;
    assert_eq!(before, after);
    assert_eq!(busy.streams.map(|stream| stream.id()).len(), 2);
}
