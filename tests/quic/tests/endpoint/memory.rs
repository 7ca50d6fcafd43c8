//! What connections are promised of an endpoint's memory.

use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::MemoryInfo;
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::id::{ConnKey, StreamKey};
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::ReadState;
use bytes::Bytes;

use crate::closed;

const KIB: usize = 1024;
/// With the smallest windows, by default.
const LEAST: usize = 736 * KIB;

fn within(memory: usize) -> Options {
    let mut options = Options {
        memory: Some(memory),
        ..Options::default()
    };
    // There is one client.
    options.incoming.max_per_address = Some(100);
    options.incoming.max_per_network = Some(100);
    options
}

/// A request whose body has no end, and the request as the server knows it.
fn post(pair: &mut Pair, client: ConnKey, server: ConnKey) -> [StreamKey; 2] {
    let head = RequestHead::new(http::Method::POST, "https://a/".parse().expect("a URI"));
    pair.request([client, server], &head, End::More)
}

/// Sends and reads about so much.
fn upload(pair: &mut Pair, keys: [ConnKey; 2], streams: [StreamKey; 2], bytes: usize) {
    let chunk = Bytes::from(vec![7; 16 * KIB]);
    let mut got = 0;
    while got < bytes {
        let mut client = pair.client(keys[0]);
        let mut access = client.access();
        let mut send = access.send(streams[0]).expect("a stream");
        // Well within the first window.
        for _ in 0..8 {
            send.write(&mut [chunk.clone()]).expect("open");
        }
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
    // Once 320 KiB were read, and 640 more after these; then up to the most.
    for sum in [100, 400, 1100, 9000] {
        let before: usize = windows.last().map_or(0, |(sum, _)| *sum);
        upload(&mut pair, [client, server], streams, (sum - before) * KIB);
        windows.push((sum, memory(&mut pair, server).receive_window as usize / KIB));
    }
    assert_eq!(
        windows,
        [(100, 320), (400, 640), (1100, 1280), (9000, 3072)]
    );
    let promised = memory(&mut pair, server).promised;
    assert_eq!(promised, LEAST + 2752 * KIB);
    assert_eq!(pair.server.endpoint.stats().memory_promised, promised);
    // The client's send window has followed its path.
    let sending = pair.client(client).info().memory().send_window;
    assert!(sending > 128 * KIB as u64, "{sending}");
}

/// README: 7 Mbit/s at 100 ms by default. A window in each round trip, less the time that
/// an eighth of it takes, which is read before there is more credit.
#[test]
fn an_upload_takes_a_window_in_each_round_trip() {
    for (window, seconds) in [(96, 2.24), (192, 1.12)] {
        let mut options = Options::default();
        options.transport.stream_receive_window = window * KIB as u64;
        let (mut pair, client, server) = Pair::connected(options);
        for link in [&mut pair.client.link, &mut pair.server.link] {
            link.delay = Duration::from_millis(50);
        }
        let streams = post(&mut pair, client, server);
        // Until the path is known.
        stream(&mut pair, [client, server], streams, 1000 * KIB);
        let begun = pair.now;
        stream(&mut pair, [client, server], streams, 1960 * KIB);
        let took = (pair.now - begun).as_secs_f64();
        assert!((0.93..1.03).contains(&(took / seconds)), "{took} s");
    }
}

/// Sends and reads so much, both as soon as they may.
fn stream(pair: &mut Pair, keys: [ConnKey; 2], streams: [StreamKey; 2], bytes: usize) {
    let chunk = Bytes::from(vec![7; 16 * KIB]);
    let mut out = [const { Bytes::new() }; 8];
    let mut got = 0;
    while got < bytes {
        let mut client = pair.client(keys[0]);
        let mut access = client.access();
        let mut send = access.send(streams[0]).expect("a stream");
        while send.write(&mut [chunk.clone()]).expect("open") > 0 {}
        let mut server = pair.server(keys[1]);
        let mut access = server.access();
        let mut recv = access.recv(streams[1]).expect("a stream");
        loop {
            let read = recv.read(usize::MAX, &mut out).expect("open");
            got += read.bytes;
            if read.state != ReadState::Open {
                break;
            }
        }
        pair.advance(Duration::from_millis(1));
    }
}

/// Sends all that may be sent.
fn fill(pair: &mut Pair, client: ConnKey, stream: StreamKey) {
    let chunk = Bytes::from(vec![7; 16 * KIB]);
    for _ in 0..50 {
        let mut client = pair.client(client);
        let mut access = client.access();
        let mut send = access.send(stream).expect("a stream");
        while send.write(&mut [chunk.clone()]).expect("open") > 0 {}
        pair.drive();
    }
}

/// A request whose handler has read the first of its content and no more, so that the
/// client fills the stream's whole window.
fn paused(pair: &mut Pair, client: ConnKey, server: ConnKey) {
    let streams = post(pair, client, server);
    upload(pair, [client, server], streams, 12 * KIB);
    fill(pair, client, streams[0]);
}

/// README: a silent stream delays nobody. Not while there is memory for more, either.
#[test]
fn uploads_that_are_read_no_further_leave_credit_for_others() {
    for (memory, uploads) in [(None, 25), (Some(LEAST), 2)] {
        let mut options = within(memory.unwrap_or(4 << 30));
        options.transport.idle_timeout = None;
        let (mut pair, client, server) = Pair::connected(options);
        let quick = post(&mut pair, client, server);
        for _ in 0..uploads {
            paused(&mut pair, client, server);
        }
        let begun = pair.now;
        upload(&mut pair, [client, server], quick, 1000 * KIB);
        let took = pair.now - begun;
        assert!(took < Duration::from_secs(5), "{took:?} beside {uploads}");
    }
}

/// The credit is all that one connection can have, and its own loss.
#[test]
fn what_nobody_reads_has_a_bound() {
    let mut options = Options::default();
    options.transport.idle_timeout = None;
    let (mut pair, client, server) = Pair::connected(options);
    for n in 0..90 {
        if n < 25 {
            paused(&mut pair, client, server);
        } else {
            let head = RequestHead::new(http::Method::POST, "https://a/".parse().expect("a URI"));
            let stream = pair.client(client).access().request(&head, End::More);
            fill(&mut pair, client, stream.expect("begins"));
        }
    }
    let memory = memory(&mut pair, server);
    assert_eq!(memory.receive_window as usize, 3072 * KIB);
    let unread = 3000 * KIB..3600 * KIB;
    assert!(unread.contains(&memory.received), "{}", memory.received);
    assert_eq!(memory.promised, LEAST + 2752 * KIB);
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
    let once = LEAST + 320 * KIB;
    assert_eq!(grows(once * 4 / 3), 640);
    assert_eq!(grows(once * 4 / 3 - 4), 320);
}

#[test]
fn windows_grow_within_the_share_of_their_holder() {
    let grows = |per_address| {
        let mut options = within(4 * LEAST);
        options.incoming.max_per_address = per_address;
        let (mut pair, client, server) = Pair::connected(options);
        let streams = post(&mut pair, client, server);
        upload(&mut pair, [client, server], streams, 3000 * KIB);
        pair.server(server).info().memory().receive_window as usize / KIB
    };
    // Half of it is for two that do not grow, or one that does.
    assert_eq!(grows(None), 640);
    assert_eq!(grows(Some(4)), 1280);
}

/// Its window is hardly used; only the packets that it came in look like a full one.
#[test]
fn who_sends_little_in_many_packets_is_late_like_others() {
    let mut options = within(LEAST);
    options.transport.idle_timeout = None;
    let (mut pair, client, server) = Pair::connected(options);
    let unread = post(&mut pair, client, server);
    for _ in 0..1700 {
        let mut connection = pair.client(client);
        let mut access = connection.access();
        let mut send = access.send(unread[0]).expect("a stream");
        send.write(&mut [Bytes::from_static(b"x")]).expect("open");
        pair.step();
        pair.now += Duration::from_micros(100);
    }
    pair.drive();
    let awaited = post(&mut pair, client, server);
    wait_for(&mut pair, server, awaited[1]);
    pair.advance(Duration::from_secs(61));
    assert_eq!(late(&mut pair, server), 1);
}

/// What it has sent and nobody reads is its excuse, thirty times.
#[test]
fn who_has_no_credit_is_late_in_the_end() {
    let mut options = within(LEAST);
    // It waits for no answer either.
    options.client.limits.response_timeout = Duration::MAX;
    options.transport.idle_timeout = None;
    let (mut pair, client, server) = Pair::connected(options);
    let awaited = post(&mut pair, client, server);
    for _ in 0..4 {
        paused(&mut pair, client, server);
    }
    wait_for(&mut pair, server, awaited[1]);
    pair.advance(Duration::from_secs(30 * 60 + 59));
    assert_eq!(late(&mut pair, server), 0);
    pair.advance(Duration::from_secs(2));
    assert_eq!(late(&mut pair, server), 1);
}

/// Waits for content, of which there is none.
fn wait_for(pair: &mut Pair, server: ConnKey, stream: StreamKey) {
    let mut server = pair.server(server);
    let mut access = server.access();
    let mut recv = access.recv(stream).expect("a stream");
    let read = recv.read(usize::MAX, &mut [Bytes::new()]);
    assert_eq!(read.expect("open").state, ReadState::Blocked);
}

fn late(pair: &mut Pair, server: ConnKey) -> u64 {
    pair.server(server).access().stats().bodies_timed_out
}
