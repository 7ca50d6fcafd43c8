//! What the benchmarks share: an allocator that counts, a stopwatch that looks
//! only at the work, and connections ready to be measured.

pub mod memory;
pub mod pool;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use aqueduct_core::testing::loopback::{Knobs, Loopback};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::transport::{ReadState, Transport, TransportEvent};
use aqueduct_core::webtransport::SessionEvent;
use bytes::Bytes;

/// Counts allocations; a benchmark makes it the global allocator.
#[derive(Debug)]
pub struct Counting;

/// What was allocated, and reallocated, while one side was at work.
#[derive(Copy, Clone, Debug)]
pub struct Allocations {
    /// New ones.
    pub new: u64,
    /// Those that have changed their size.
    pub resized: u64,
}

/// By side: new ones, resized ones.
static ALLOCATIONS: [[AtomicU64; 2]; 2] = [const { [const { AtomicU64::new(0) }; 2] }; 2];
static AT_WORK: AtomicUsize = AtomicUsize::new(0);

/// What is allocated from here on is this side's.
pub fn working_as(side: Side) {
    AT_WORK.store(side as usize, Ordering::Relaxed);
}

/// What was allocated so far.
#[must_use]
pub fn allocations(side: Side) -> Allocations {
    let [new, resized] = &ALLOCATIONS[side as usize];
    Allocations {
        new: new.load(Ordering::Relaxed),
        resized: resized.load(Ordering::Relaxed),
    }
}

fn all_allocations() -> u64 {
    let all = ALLOCATIONS.iter().flatten();
    all.map(|count| count.load(Ordering::Relaxed)).sum()
}

fn count_one(resized: bool) {
    let side = &ALLOCATIONS[AT_WORK.load(Ordering::Relaxed)];
    side[usize::from(resized)].fetch_add(1, Ordering::Relaxed);
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one(false);
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one(true);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

/// Operations between two preparations: what a datagram ring holds, and less.
pub const BATCH: u64 = 200;

/// Best time and allocations of each row measured, in the order of measuring.
#[derive(Debug, Default)]
pub struct Meter(RefCell<Vec<Row>>);

#[derive(Debug)]
struct Row {
    name: String,
    best: f64,
    /// Of the last sample, long after warm-up.
    allocations: f64,
}

impl Meter {
    /// Times `ops` operations in batches; `prepare` and the emptying it does are
    /// not counted. What criterion's `iter_custom` wants.
    pub fn time<F>(
        &self,
        name: &str,
        ops: u64,
        fixture: &mut F,
        mut prepare: impl FnMut(&mut F, u64),
        mut work: impl FnMut(&mut F, u64),
    ) -> Duration {
        let (mut spent, mut allocations, mut left) = (Duration::ZERO, 0, ops);
        while left > 0 {
            let batch = left.min(BATCH);
            prepare(fixture, batch);
            let before = all_allocations();
            let start = Instant::now();
            work(fixture, batch);
            spent += start.elapsed();
            allocations += all_allocations() - before;
            left -= batch;
        }
        self.note(
            name,
            spent.as_nanos() as f64 / ops as f64,
            allocations as f64 / ops as f64,
        );
        spent
    }

    fn note(&self, name: &str, ns: f64, allocations: f64) {
        let mut rows = self.0.borrow_mut();
        if let Some(row) = rows.iter_mut().find(|row| row.name == name) {
            row.best = row.best.min(ns);
            row.allocations = allocations;
        } else {
            rows.push(Row {
                name: name.to_owned(),
                best: ns,
                allocations,
            });
        }
    }

    /// One line per row; rows named `x/core`, `x/handles` and `x/recorded` are set
    /// against `x/floor`.
    pub fn report(&self) {
        let rows = self.0.borrow();
        println!(
            "{:<28} {:>10} {:>12} {:>10}",
            "best of all samples", "ns/op", "allocs/op", "x floor"
        );
        for row in &*rows {
            let against = ["/core", "/handles", "/recorded"];
            let what = against.iter().find_map(|by| row.name.strip_suffix(by));
            let floor = what.map(|what| format!("{what}/floor"));
            let floor = floor.and_then(|name| rows.iter().find(|row| row.name == name));
            let ratio = floor.map(|floor| format!("{:.2}", row.best / floor.best));
            let (best, allocations) = (row.best, row.allocations);
            println!(
                "{:<28} {best:>10.1} {allocations:>12.4} {:>10}",
                row.name,
                ratio.unwrap_or_default()
            );
        }
    }
}

/// The payload of every datagram and chunk.
pub const PAYLOAD: &[u8] = &[7; 1_000];
/// The same as a datagram of the first session: quarter stream id 0.
pub const DATAGRAM: &[u8] = &{
    let mut datagram = [7; 1_001];
    datagram[0] = 0;
    datagram
};

/// A session with streams, and the events that were not handled yet.
#[derive(Debug)]
pub struct Joined {
    /// Both connections and what lies between.
    pub pair: LoopbackPair,
    /// The session, as each side knows it.
    pub client: SessionKey,
    /// See `client`.
    pub server: SessionKey,
    /// Unidirectional streams of the client, as it knows them.
    pub sending: Vec<StreamKey>,
    /// As the server knows them.
    pub receiving: Vec<StreamKey>,
    heard: Vec<(Side, TransportEvent)>,
}

impl Joined {
    /// With `streams` streams open, each with one byte read.
    ///
    /// # Panics
    /// When the connections do not do as told.
    #[must_use]
    pub fn new(streams: usize) -> Self {
        let mut joined = Self::recorded(streams);
        joined.pair.stop_recording();
        joined
    }

    /// The same with both connections recorded; `take_recording` of the pair has to
    /// be called now and then.
    ///
    /// # Panics
    /// When the connections do not do as told.
    #[must_use]
    pub fn recorded(streams: usize) -> Self {
        let knobs = Knobs {
            uni_streams: streams as u64 + 10,
            ..Knobs::default()
        };
        aqueduct_tests::replayed::replay_all();
        let mut pair = LoopbackPair::new(Config::default(), Config::default(), knobs);
        pair.connect();
        let (client, server) = pair.session("https://example.com/wt");
        let (mut sending, mut receiving) = (Vec::new(), Vec::new());
        for _ in 0..streams {
            let stream = pair
                .client()
                .webtransport(client)
                .open_stream(Dir::Uni)
                .expect("a stream");
            pair.write_all(Side::Client, stream, &b"x"[..])
                .expect("room");
            sending.push(stream);
        }
        for event in pair.events(Side::Server) {
            if let Event::WebTransport(_, SessionEvent::Opened { stream, .. }) = event {
                receiving.push(stream);
            }
        }
        for stream in &receiving {
            pair.read_some(Side::Server, *stream, &mut Vec::new())
                .expect("a byte");
        }
        assert_eq!(sending.len(), receiving.len());
        pair.events(Side::Client);
        pair.events(Side::Server);
        drop(pair.take_recording());
        Self {
            pair,
            client,
            server,
            sending,
            receiving,
            heard: Vec::new(),
        }
    }

    /// Moves everything on the wire; neither connection hears of it.
    pub fn carry(&mut self) {
        self.heard.clear();
        carry(&mut self.pair.net, &mut self.heard);
    }

    /// Lets the server hear one transport event, and drains its events.
    pub fn tell_server(&mut self, event: TransportEvent) {
        let now = self.pair.now();
        let (conn, end) = self.pair.connection(Side::Server);
        conn.handle(end, now, event);
        while conn.poll_event().is_some() {}
    }
}

/// Moves everything.
pub fn carry(net: &mut Loopback, heard: &mut Vec<(Side, TransportEvent)>) {
    while net.step(heard) {}
}

/// Reads away all that arrived on a stream, and returns the credit.
pub fn swallow(net: &mut Loopback, side: Side, id: StreamId) {
    let mut out = [const { Bytes::new() }; 16];
    while let Ok(read) = net.end(side).read(id, usize::MAX, &mut out) {
        if read.state != ReadState::Open {
            break;
        }
    }
    carry(net, &mut Vec::new());
}

/// A transport alone, with one stream of the client.
#[derive(Debug)]
pub struct Bare {
    /// Both ends.
    pub net: Loopback,
    /// The client's stream.
    pub stream: StreamId,
    heard: Vec<(Side, TransportEvent)>,
}

impl Default for Bare {
    fn default() -> Self {
        let mut net = Loopback::new(Knobs::default());
        carry(&mut net, &mut Vec::new());
        let stream = net.end(Side::Client).open(Dir::Uni).expect("a stream");
        Self {
            net,
            stream,
            heard: Vec::new(),
        }
    }
}

impl Bare {
    /// Moves everything on the wire.
    pub fn carry(&mut self) {
        self.heard.clear();
        carry(&mut self.net, &mut self.heard);
    }
}
