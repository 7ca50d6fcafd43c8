//! What connections are promised of an endpoint's memory.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::MemoryInfo;
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::{ConnKey, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

use crate::closed;

const KIB: usize = 1024;
/// With the smallest windows, by default.
const LEAST: usize = 672 * KIB;

fn within(memory: usize) -> Options {
    Options {
        memory: Some(memory),
        ..Options::default()
    }
}

/// A request whose body has no end, and the request as the server knows it.
fn post(pair: &mut Pair, client: ConnKey, server: ConnKey) -> [StreamKey; 2] {
    let head = RequestHead::new(http::Method::POST, "https://a/".parse().expect("a URI"));
    let mut connection = pair.client(client);
    let stream = connection.access().request(&head, End::More);
    let stream = stream.expect("begins");
    pair.drive();
    let asked = |event| match event {
        Event::Request { stream, .. } => Some(stream),
        _ => None,
    };
    let there = pair.server.take(server).into_iter().find_map(asked);
    [stream, there.expect("arrives")]
}

/// Sends and reads about so much.
fn upload(pair: &mut Pair, keys: [ConnKey; 2], streams: [StreamKey; 2], bytes: usize) {
    let chunk = Bytes::from(vec![7; 16 * KIB]);
    let mut got = 0;
    while got < bytes {
        let mut client = pair.client(keys[0]);
        let mut access = client.access();
        let mut send = access.send(streams[0]).expect("a stream");
        while send.write(&mut [chunk.clone()]).expect("open") > 0 {}
        pair.drive();
        let mut server = pair.server(keys[1]);
        let mut access = server.access();
        let mut recv = access.recv(streams[1]).expect("a stream");
        let mut out = [const { Bytes::new() }; 8];
        loop {
            let read = recv.read(usize::MAX, &mut out).expect("open");
            got += read.bytes;
            if read.state != ReadState::Open {
                break;
            }
        }
        pair.drive();
    }
}

fn memory(pair: &mut Pair, server: ConnKey) -> MemoryInfo {
    pair.server(server).info().memory()
}

#[test]
fn windows_grow_with_what_is_read() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let streams = post(&mut pair, client, server);
    let mut windows = Vec::new();
    // Once 256 KiB were read, and 512 more after these; then no more.
    for sum in [100, 300, 900, 6000] {
        let before: usize = windows.last().map_or(0, |(sum, _)| *sum);
        upload(&mut pair, [client, server], streams, (sum - before) * KIB);
        windows.push((sum, memory(&mut pair, server).receive_window as usize / KIB));
    }
    assert_eq!(windows, [(100, 256), (300, 512), (900, 1024), (6000, 1024)]);
    let promised = memory(&mut pair, server).promised;
    assert_eq!(promised, LEAST + 768 * KIB);
    assert_eq!(pair.server.endpoint.stats().memory_promised, promised);
    // The client's send window has followed its path.
    let sending = pair.client(client).info().memory().send_window;
    assert!(sending > 128 * KIB as u64, "{sending}");
}

#[test]
fn a_window_does_not_grow_for_what_nobody_reads() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    let [stream, _] = post(&mut pair, client, server);
    let chunk = Bytes::from(vec![7; 16 * KIB]);
    for _ in 0..100 {
        let mut client = pair.client(client);
        let mut access = client.access();
        let mut send = access.send(stream).expect("a stream");
        while send.write(&mut [chunk.clone()]).expect("open") > 0 {}
        pair.drive();
    }
    let memory = memory(&mut pair, server);
    assert_eq!(memory.receive_window as usize, 256 * KIB);
    let unread = 250 * KIB..300 * KIB;
    assert!(unread.contains(&memory.received), "{}", memory.received);
}

#[test]
fn attempts_that_do_not_fit_are_refused_until_others_are_gone() {
    let mut pair = Pair::new(within(2 * LEAST));
    let (_, first) = pair.establish();
    pair.establish();
    let stats = pair.server.endpoint.stats();
    assert_eq!((stats.accepted, stats.memory_promised), (2, 2 * LEAST));
    let third = pair.connect();
    pair.drive();
    let refused = matches!(
        closed(&pair.client.take(third)),
        Some(CloseReason::Transport(TransportFailure::ClosedByPeer {
            code: 0x02,
            ..
        }))
    );
    assert!(refused);
    let stats = pair.server.endpoint.stats();
    assert_eq!((stats.refused_memory, stats.refused_full), (1, 0));

    pair.server(first).access().close(Code::H3_NO_ERROR, "");
    pair.advance(Duration::from_secs(10));
    assert_eq!(pair.server.endpoint.stats().memory_promised, LEAST);
    pair.establish();
    let stats = pair.server.endpoint.stats();
    assert_eq!((stats.accepted, stats.memory_promised), (3, 2 * LEAST));
}

#[test]
fn windows_grow_within_three_quarters_of_the_memory() {
    let grows = |memory: usize| {
        let (mut pair, client, server) = Pair::connected(within(memory));
        let streams = post(&mut pair, client, server);
        upload(&mut pair, [client, server], streams, 3000 * KIB);
        pair.server(server).info().memory().receive_window as usize / KIB
    };
    let once = LEAST + 256 * KIB;
    assert_eq!(grows(once * 4 / 3), 512);
    assert_eq!(grows(once * 4 / 3 - 4), 256);
}
