//! The hot path allocates nothing of its own: datagrams and stream chunks.
//!
//! Counted over a loopback whose own queues are warm; payloads are static or
//! prepared before, so that every allocation counted is the library's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side, StreamId};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{self, RawPeer};
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use bytes::Bytes;

struct Counting;

// Of this thread alone: the test harness allocates in its own when it likes.
thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static BYTES: Cell<u64> = const { Cell::new(0) };
}

fn count(size: usize) {
    // While a thread ends there is nothing left to count in, nor a reason to.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
    let _ = BYTES.try_with(|bytes| bytes.set(bytes.get() + size as u64));
}

// SAFETY: passes everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations that `work` makes in 10,000 rounds, after 1,000 to warm up.
fn allocations(mut work: impl FnMut()) -> u64 {
    for _ in 0..1_000 {
        work();
    }
    let before = ALLOCATIONS.get();
    for _ in 0..10_000 {
        work();
    }
    ALLOCATIONS.get() - before
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn allocations_are_few() {
    the_hot_path_does_not_allocate();
    declared_lengths_allocate_nothing();
}

/// Rows A10, A20: a length that a peer declares costs nothing until the bytes
/// come.
fn declared_lengths_allocate_nothing() {
    let huge = raw::varint((1 << 62) - 1);
    let field_section = raw::varint(16 * 1024);
    let control = StreamId::new(Side::Client, Dir::Uni, 0);
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), raw::WEBTRANSPORT);
    peer.stop_recording();
    let connect = peer.request(&raw::connect());
    let session = expect_event!(
        peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let yes = ConnectAnswer::default();
    peer.access()
        .webtransport(session)
        .accept(&yes)
        .expect("accepts");
    peer.drive();
    let before = BYTES.get();
    peer.request(&raw::join(&[&[0x01], &field_section, b"x"]));
    peer.request(&raw::join(&[&raw::get(), &[0x00], &huge, b"x"]));
    peer.request(&raw::join(&[&[0x21], &huge, b"x"]));
    peer.write(control, &raw::join(&[&[0x21], &huge, b"x"]));
    peer.write(connect, &raw::data(&raw::join(&[&[0x17], &huge, b"x"])));
    let spent = BYTES.get() - before;
    assert_eq!(peer.closed(), None);
    // Streams, events and the harness itself.
    assert!(spent < 100_000, "{spent} bytes");
}

fn the_hot_path_does_not_allocate() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    pair.stop_recording();
    let (client, server) = pair.session("https://example.com/wt");
    let here = pair
        .client()
        .webtransport(client)
        .open_stream(Dir::Uni)
        .expect("a stream");
    let there = expect_event!(
        pair, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );

    let chunks = allocations(|| {
        let mut chunks = [Bytes::from_static(&[7; 1_000])];
        let taken = pair
            .client()
            .send(here)
            .expect("a stream")
            .write(&mut chunks);
        assert_eq!(taken, Ok(1_000));
        while pair.step() {}
        while pair.take(Side::Server, Ok).is_some() {}
        let mut out = [const { Bytes::new() }; 4];
        let mut access = pair.server();
        let read = access
            .recv(there)
            .expect("a stream")
            .read(usize::MAX, &mut out);
        assert_eq!(read.expect("bytes").bytes, 1_000);
        while pair.step() {}
        while pair.take(Side::Client, Ok).is_some() {}
    });
    assert_eq!(chunks, 0, "allocations in 10,000 stream chunks");

    // Sending copies the payload behind its prefix into a shared buffer, which
    // is renewed once it is full: far less than once per datagram.
    let datagrams = allocations(|| {
        pair.client()
            .send_datagram(client, &[7; 100])
            .expect("room");
        while pair.step() {}
        while pair.take(Side::Server, Ok).is_some() {}
        let datagram = pair.server().recv_datagram(server).expect("a datagram");
        assert_eq!(datagram.len(), 100);
    });
    assert!(
        datagrams <= 100,
        "{datagrams} allocations in 10,000 datagrams"
    );
}
