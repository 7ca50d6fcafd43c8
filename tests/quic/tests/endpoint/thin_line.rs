//! A page with thirty pictures over a thin line.

use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{ConnKey, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use bytes::Bytes;
use std::time::Duration;

fn get(pair: &mut Pair, client: ConnKey, server: ConnKey) -> [StreamKey; 2] {
    let head = RequestHead::new(http::Method::GET, "https://a/".parse().expect("a URI"));
    let [stream, there] = pair.request([client, server], &head, End::Fin);
    pair.server(server)
        .access()
        .respond(there, &ResponseHead::new(http::StatusCode::OK), End::More)
        .expect("open");
    [stream, there]
}
fn push(pair: &mut Pair, server: ConnKey, stream: StreamKey) {
    loop {
        let mut server = pair.server(server);
        let mut access = server.access();
        let Ok(mut send) = access.send(stream) else {
            return;
        };
        match send.write(&mut [Bytes::from(vec![7; 65536])]) {
            Ok(n) if n > 0 => {}
            _ => return,
        }
    }
}

/// 4,000 bytes a second for all of them together: none is cut off, and all of it counts.
#[test]
fn thirty_pictures_over_edge() {
    let mut options = Options::default();
    options.transport.stream_receive_window = 8 * 1024;
    // It is the reader that is slow here, so that nothing moves for as long.
    options.transport.idle_timeout = None;
    let (mut pair, client, server) = Pair::connected(options);
    let pictures: Vec<_> = (0..30).map(|_| get(&mut pair, client, server)).collect();
    let mut got = 0;
    let mut cut = 0;
    for _ in 0..200 {
        for [_, there] in &pictures {
            push(&mut pair, server, *there);
        }
        pair.drive();
        for [stream, _] in &pictures {
            let mut c = pair.client(client);
            let mut access = c.access();
            if let Ok(mut recv) = access.recv(*stream) {
                let mut out = [const { Bytes::new() }; 1];
                if let Ok(read) = recv.read(4000 / 30, &mut out) {
                    got += read.bytes;
                }
            }
        }
        pair.advance(Duration::from_secs(1));
        for event in pair.server.take(server) {
            cut += u32::from(matches!(event, Event::Stream(_, StreamEvent::Malformed(_))));
        }
    }
    assert_eq!(cut, 0, "pictures cut off");
    // All but what the line was too slow for at first.
    assert!((780_000..800_000).contains(&got), "{got} bytes taken");
}
