//! A crawler that looks at heads: it drops the body of each answer, 20 a second.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::testing::pair::{Options, Pair};
use bytes::Bytes;

/// It is not shut out, although it stops every answer.
#[test]
fn a_crawler_that_drops_bodies() {
    crawl(true);
}

/// The same, and a server that answers GETs without reading their end.
#[test]
fn a_crawler_and_a_server_that_reads_no_gets() {
    crawl(false);
}

fn crawl(reads: bool) {
    let mut options = Options::default();
    // Enough of each answer comes before it is dropped.
    options.transport.stream_receive_window = 256 << 10;
    let (mut pair, client, server) = Pair::connected(options);
    for n in 0..2000 {
        let head = RequestHead::new(http::Method::GET, "https://a/".parse().expect("a URI"));
        let asked = pair.client(client).access().request(&head, End::Fin);
        let open = pair.server(server).access().open_requests();
        let live = pair.server(server).access().live_streams();
        let Ok(_) = asked else {
            panic!("after {n} requests {asked:?}; open {open} live {live}")
        };
        let rejected = pair.server(server).access().stats().requests_rejected;
        assert_eq!(
            rejected, 0,
            "rejected after {n} requests; open {open}, streams {live}"
        );
        for _ in 0..5 {
            pair.advance(Duration::from_millis(10));
            for event in pair.server.take(server) {
                if let Event::Closed(why) = &event {
                    panic!("closed after {n} requests, {} s: {why}", n / 20)
                }
                if let Event::Request { stream, .. } = event {
                    let mut s = pair.server(server);
                    let mut access = s.access();
                    access
                        .respond(stream, &ResponseHead::new(http::StatusCode::OK), End::More)
                        .expect("open");
                    let _ = access
                        .send(stream)
                        .expect("open")
                        .write(&mut [Bytes::from(vec![7; 100_000])]);
                    if reads {
                        let mut out = [Bytes::new()];
                        let _ = access.recv(stream).expect("open").read(1, &mut out);
                    }
                }
            }
            for event in pair.client.take(client) {
                if let Event::Response { stream, .. } = event {
                    let mut c = pair.client(client);
                    let mut access = c.access();
                    access
                        .recv(stream)
                        .expect("open")
                        .stop(Code::H3_REQUEST_CANCELLED.value())
                        .ok();
                }
            }
        }
    }
}
