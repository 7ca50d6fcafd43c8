//! The hot path allocates nothing of its own: datagrams and stream chunks.
//!
//! Counted over a loopback whose own queues are warm; payloads are static or
//! prepared before, so that every allocation counted is the library's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use aqueduct_core::event::{Event, SessionEvent};
use aqueduct_core::expect_event;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use bytes::Bytes;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: passes everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
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
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..10_000 {
        work();
    }
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// One test, so that nothing else allocates meanwhile.
#[test]
fn the_hot_path_does_not_allocate() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let (client, server) = pair.session("https://example.com/wt");
    let here = pair
        .client()
        .open_stream(client, Dir::Uni)
        .expect("a stream");
    let there = expect_event!(
        pair, Side::Server, Event::Session(_, SessionEvent::Opened { stream, .. }) => stream
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
