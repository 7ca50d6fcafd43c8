//! How often things are looked up: what the direct way of data means.

use bytes::Bytes;

use crate::config::Config;
use crate::event::Event;
use crate::id::{Dir, Side};
use crate::testing::loopback::Knobs;
use crate::testing::loopback_pair::LoopbackPair;
use crate::transport::{Transport, TransportEvent};
use crate::webtransport::SessionEvent;

/// Look-ups of streams that `work` makes on the server.
fn counted(pair: &mut LoopbackPair, work: impl FnOnce(&mut LoopbackPair)) -> u32 {
    let looked_up = |pair: &mut LoopbackPair| {
        let (conn, _) = pair.connection(Side::Server);
        conn.looked_up()
    };
    let before = looked_up(pair);
    work(pair);
    looked_up(pair) - before
}

fn tell(pair: &mut LoopbackPair, event: TransportEvent) {
    let now = pair.now();
    let (conn, end) = pair.connection(Side::Server);
    conn.handle(end, now, event);
}

/// A datagram is looked up as a place in the window and as a slot, and its ring is
/// the third; it is taken with one.
#[test]
fn a_datagram_is_looked_up_twice_on_its_way_and_once_when_it_is_taken() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (client, server) = pair.session("https://example.com/wt");
    pair.events(Side::Server);
    for _ in 0..2 {
        // The first of them is told of, the second is not.
        pair.client().send_datagram(client, b"hello").expect("room");
        let mut heard = Vec::new();
        while pair.net.step(&mut heard) {}
        let received = counted(&mut pair, |pair| tell(pair, TransportEvent::Datagrams));
        assert_eq!(received, 2);
    }
    let taken = counted(&mut pair, |pair| {
        let datagram = pair.server().recv_datagram(server);
        assert_eq!(datagram.as_deref(), Some(&b"hello"[..]));
    });
    assert_eq!(taken, 1);
}

/// An event of a data stream: its place and its slot for HTTP/3, its slot for whose it
/// is.
#[test]
fn an_event_finds_the_owner_of_its_stream_once() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (client, _) = pair.session("https://example.com/wt");
    let here = pair
        .client()
        .webtransport(client)
        .open_stream(Dir::Uni)
        .expect("a stream");
    pair.write_all(Side::Client, here, "x").expect("room");
    let there = crate::expect_event!(
        pair, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    pair.read_some(Side::Server, there, &mut Vec::new())
        .expect("a byte");
    pair.events(Side::Server);
    pair.net
        .end(Side::Client)
        .write(here.id(), &mut [Bytes::from_static(b"y")])
        .expect("room");
    let mut heard = Vec::new();
    while pair.net.step(&mut heard) {}
    let readable = counted(&mut pair, |pair| {
        tell(pair, TransportEvent::Readable(there.id()));
    });
    assert_eq!(readable, 3);
}

/// Limit `work`: those beyond what one turn may take are dropped, and counted.
#[test]
fn datagrams_beyond_the_budget_of_a_turn_are_dropped() {
    for (sent, dropped) in [(10, 0), (11, 1), (100, 90)] {
        let mut few = Config::default();
        few.limits.work = 10;
        let mut pair = LoopbackPair::new(Config::default(), few, Knobs::default());
        pair.connect();
        let (client, _) = pair.session("https://example.com/wt");
        for _ in 0..sent {
            pair.client().send_datagram(client, b"hello").expect("room");
        }
        let mut heard = Vec::new();
        while pair.net.step(&mut heard) {}
        tell(&mut pair, TransportEvent::Datagrams);
        let stats = pair.server().stats();
        assert_eq!(
            (stats.datagrams_overflowed, stats.datagrams_received),
            (dropped, sent - dropped)
        );
    }
}
