//! A graceful shutdown of a server whose client reads slowly.

use std::time::Duration;

use aqueduct_core::error::CloseReason;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;
use http::{Method, Response, Uri};

use super::closed;

const SIZE: usize = 3_000_000;

/// Everything is acknowledged long before it is read: what QUIC holds for the reader is
/// its own until it has taken it.
#[test]
fn a_slow_reader_gets_all_of_it() {
    let mut options = Options::default();
    options.transport.stream_receive_window = 1 << 20;
    options.transport.initial_receive_window = 1 << 20;
    let (mut pair, client, server) = Pair::connected(options);
    let head = RequestHead::new(Method::GET, Uri::from_static("https://localhost/"));
    let [asked, stream] = pair.request([client, server], &head, End::Fin);
    let ok = ResponseHead::from_http(Response::new(()));
    let answered = pair.server(server).access().respond(stream, &ok, End::More);
    answered.expect("answers");
    let until = pair.now + Duration::from_secs(600);
    pair.server(server).access().drain(until);

    let mut rest = [Bytes::from(vec![7; SIZE])];
    let (mut got, mut finished) = (0, false);
    let mut chunks = [const { Bytes::new() }; 4];
    loop {
        if !finished {
            let mut connection = pair.server(server);
            let mut access = connection.access();
            let mut send = access.send(stream).expect("a stream");
            send.write(&mut rest).expect("writes");
            if rest[0].is_empty() {
                send.finish().expect("ends");
                finished = true;
            }
        }
        pair.advance(Duration::from_millis(500));
        let mut connection = pair.client(client);
        let mut access = connection.access();
        let read = access
            .recv(asked)
            .expect("a stream")
            .read(30_000, &mut chunks);
        let read = read.expect("readable");
        got += read.bytes;
        if read.state == ReadState::Finished {
            break;
        }
    }
    assert_eq!(got, SIZE);
    pair.drive();
    assert_eq!(
        closed(&pair.client.take(client)),
        Some(&CloseReason::PeerDrained)
    );
    assert!(closed(&pair.server.take(server)).is_some());
}
