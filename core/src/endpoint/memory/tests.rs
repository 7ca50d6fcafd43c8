use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::endpoint::connection::State;
use crate::endpoint::state_of;
use crate::head::{End, RequestHead};
use crate::id::{ConnKey, StreamKey};
use crate::testing::pair::{Options, Pair};
use crate::transport::Transport;

#[test]
fn the_budget_is_held_to_the_byte() {
    let mut memory = Memory::new(0);
    let mut windows = Windows::new(&TransportSettings::default());
    memory.add(&mut windows);
    memory.budget = 2 * windows.promised();
    assert!(memory.has_room(windows.promised(), 0));
    assert!(!memory.has_room(windows.promised() + 1, 0));
    assert!(memory.has_room(2 * windows.promised(), windows.promised()));
}

#[test]
fn windows_grow_to_what_was_chosen() {
    let mut settings = TransportSettings::default();
    (settings.receive_window, settings.send_window) = (1_000_001, 500_001);
    let (mut memory, mut windows) = (Memory::new(1 << 30), Windows::new(&settings));
    memory.add(&mut windows);
    for _ in 0..10 {
        let read = windows.grow_at;
        windows.grow(&mut memory, || usize::MAX, read, 1 << 40);
    }
    assert_eq!((windows.receive, windows.send), (1_000_001, 500_001));
    assert_eq!(memory.promised(), windows.bytes());
}

/// Its peer can send nothing, not even what it is waited for.
#[test]
fn credit_is_spent_while_nobody_reads() {
    let mut options = Options::default();
    options.transport.receive_window = 64 << 10;
    // All of it, before anything is read.
    options.transport.stream_receive_window = 512 << 10;
    let (mut pair, client, server) = Pair::connected(options);
    let [[first, there], [second, _]] = [(); 2].map(|()| post(&mut pair, [client, server]));
    let spent = |pair: &mut Pair| {
        let now = pair.now;
        let state = state_of(&mut pair.server.endpoint.slots, server).expect("open");
        state
            .lend(now)
            .is_some_and(|it| it.transport.receive_credit_spent())
    };
    let write = |pair: &mut Pair, stream, len: usize| {
        let mut connection = pair.client(client);
        let mut access = connection.access();
        let mut send = access.send(stream).expect("a stream");
        let written = send.write(&mut [vec![7; len].into()]).expect("open");
        pair.drive();
        written
    };
    write(&mut pair, first, 32 << 10);
    assert!(!spent(&mut pair), "half of it");
    for _ in 0..8 {
        write(&mut pair, first, 16 << 10);
    }
    assert!(spent(&mut pair));
    let mut connection = pair.server(server);
    let mut access = connection.access();
    let mut recv = access.recv(there).expect("a stream");
    let mut out = [const { Bytes::new() }; 8];
    while recv.read(usize::MAX, &mut out).expect("open").bytes > 0 {}
    pair.drive();
    assert!(!spent(&mut pair));
    assert!(write(&mut pair, second, 1) > 0);
}

fn state(pair: &mut Pair, server: ConnKey) -> &mut State {
    state_of(&mut pair.server.endpoint.slots, server).expect("known")
}

/// A request that has begun, as both ends know it.
fn post(pair: &mut Pair, keys: [ConnKey; 2]) -> [StreamKey; 2] {
    let post = RequestHead::new(http::Method::POST, "https://a/".parse().expect("a URI"));
    pair.request(keys, &post, End::More)
}

/// Content that nobody reads, in so many packets; of one stream QUIC would join it.
fn hoard(pair: &mut Pair, keys: [ConnKey; 2], packets: usize, each: usize) {
    let step = ((12 << 10) / (each + 3)).min(50);
    let [mut stream, _] = post(pair, keys);
    for n in 1..=packets {
        if n % step == 0 {
            [stream, _] = post(pair, keys);
        }
        write(pair, keys[0], stream, each);
        pair.step();
        pair.now += Duration::from_millis(1);
    }
    pair.drive();
}

fn write(pair: &mut Pair, client: ConnKey, stream: StreamKey, len: usize) {
    let mut connection = pair.client(client);
    let mut access = connection.access();
    let Ok(mut send) = access.send(stream) else {
        return;
    };
    send.write(&mut [vec![7; len].into()]).ok();
}

/// To look whether what was received is in use takes time, so it is work of the turn.
#[test]
fn looking_for_what_is_in_use_no_more_is_work() {
    let (mut pair, client, server) = Pair::connected(Options::default());
    hoard(&mut pair, [client, server], 1000, 1);
    pair.server.endpoint.process();
    let mut buffers = std::mem::take(&mut pair.server.endpoint.buffers);
    let state = state(&mut pair, server);
    state.work();
    state.received.sweep(&mut buffers);
    let work = state.work();
    assert!((120..150).contains(&work), "{work}");
}

/// Where there is no room for a wider window, nobody looks whether one is wanted.
#[test]
fn a_share_that_is_used_up_costs_nothing() {
    let mut options = Options::default();
    // For three connections, of which an address has a third.
    let least = Windows::new(&options.transport).bytes();
    options.memory = Some(3 * least);
    let (mut pair, client, server) = Pair::connected(options);
    hoard(&mut pair, [client, server], 270, 1000);
    let spent = state(&mut pair, server);
    assert!(spent.windows.are_spent(spent.received.content()));
    let before = state(&mut pair, server).received.swept();
    for _ in 0..100 {
        pair.server(server);
        pair.server.endpoint.process();
    }
    assert_eq!(state(&mut pair, server).received.swept(), before);
}

/// It holds what it held, and what comes for it is looked at no more than once.
#[test]
fn a_hoarder_that_was_shown_out_costs_nothing() {
    let mut options = Options::default();
    options.transport.receive_window = 320 << 10;
    let (mut pair, client, server) = Pair::connected(options);
    hoard(&mut pair, [client, server], 3000, 1);
    let streams = [(); 20].map(|()| post(&mut pair, [client, server])[0]);
    // Kept on its way, to come again and again.
    write(&mut pair, client, streams[0], 1);
    pair.step();
    let late = pair.now + Duration::from_secs(1);
    let (from, datagram) = pair.client.link.receive(late).expect("sent");
    let mut streams = streams.iter().cycle();
    while pair.server.endpoint.stats().closed_hoarding == 0 {
        write(&mut pair, client, *streams.next().expect("some"), 1);
        pair.step();
        pair.now += Duration::from_millis(1);
    }
    let before = state(&mut pair, server).received.swept();
    for _ in 0..100 {
        let copy = BytesMut::from(&datagram[..]);
        pair.server.endpoint.handle_datagram(pair.now, from, copy);
    }
    assert_eq!(state(&mut pair, server).received.swept(), before);
}
