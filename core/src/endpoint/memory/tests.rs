use bytes::Bytes;

use super::*;
use crate::endpoint::state_of;
use crate::event::Event;
use crate::head::{End, RequestHead};
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
    let post = RequestHead::new(http::Method::POST, "https://a/".parse().expect("a URI"));
    let [first, second] = [(); 2].map(|()| {
        let begun = pair.client(client).access().request(&post, End::More);
        begun.expect("begins")
    });
    pair.drive();
    let spent = |pair: &mut Pair| {
        let now = pair.now;
        let state = state_of(&mut pair.server.endpoint.slots, server).expect("open");
        state.lend(now).transport.receive_credit_spent()
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
    let there = pair
        .server
        .take(server)
        .into_iter()
        .find_map(|event| match event {
            Event::Request { stream, .. } => Some(stream),
            _ => None,
        });
    let mut connection = pair.server(server);
    let mut access = connection.access();
    let mut recv = access.recv(there.expect("arrived")).expect("a stream");
    let mut out = [const { Bytes::new() }; 8];
    while recv.read(usize::MAX, &mut out).expect("open").bytes > 0 {}
    pair.drive();
    assert!(!spent(&mut pair));
    assert!(write(&mut pair, second, 1) > 0);
}
