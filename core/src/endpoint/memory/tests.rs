use bytes::Bytes;

use crate::endpoint::state_of;
use crate::event::Event;
use crate::head::{End, RequestHead};
use crate::testing::pair::{Options, Pair};
use crate::transport::Transport;

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
