//! For the servers: an allocator that counts what is held, and the line that tells it.
//!
//! What a process holds of the system is blurred by what its allocator keeps; what it
//! has allocated is exact.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use serde_json::json;

/// The system's allocator, counting.
#[derive(Debug)]
pub struct Counting;

static HELD: AtomicU64 = AtomicU64::new(0);
static HELD_PEAK: AtomicU64 = AtomicU64::new(0);
static HANDLERS: AtomicU64 = AtomicU64::new(0);
static HANDLERS_PEAK: AtomicU64 = AtomicU64::new(0);
static STARTED: AtomicU64 = AtomicU64::new(0);

fn up(now: &AtomicU64, peak: &AtomicU64, by: u64) {
    peak.fetch_max(now.fetch_add(by, Relaxed) + by, Relaxed);
}

// SAFETY: passes everything to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        up(&HELD, &HELD_PEAK, layout.size() as u64);
        // SAFETY: the caller's promises are the system allocator's conditions.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        up(&HELD, &HELD_PEAK, layout.size() as u64);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as u64, Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        up(&HELD, &HELD_PEAK, size as u64);
        HELD.fetch_sub(layout.size() as u64, Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

/// A handler at work, for as long as this is kept.
#[derive(Debug)]
pub struct Handler(());

impl Handler {
    /// One more.
    #[must_use]
    pub fn start() -> Self {
        STARTED.fetch_add(1, Relaxed);
        up(&HANDLERS, &HANDLERS_PEAK, 1);
        Self(())
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        HANDLERS.fetch_sub(1, Relaxed);
    }
}

/// Prints the line that says where a server listens.
///
/// # Errors
/// Standard output is gone.
pub fn ready(address: std::net::SocketAddr) -> io::Result<()> {
    let ready = json!({ "ready": true, "address": address.to_string() });
    writeln!(io::stdout(), "{ready}")
}

/// Prints a line with the counters every 20 ms, until nobody reads.
///
/// # Errors
/// There is no thread to be had.
pub fn report() -> io::Result<()> {
    let tell = || {
        loop {
            thread::sleep(Duration::from_millis(20));
            let line = json!({
                "held": HELD.load(Relaxed),
                "held_peak": HELD_PEAK.load(Relaxed),
                "handlers": HANDLERS.load(Relaxed),
                "handlers_peak": HANDLERS_PEAK.load(Relaxed),
                "started": STARTED.load(Relaxed),
            });
            if writeln!(io::stdout(), "{line}").is_err() {
                // Whoever started the server is gone.
                std::process::exit(0);
            }
        }
    };
    thread::Builder::new().name("report".into()).spawn(tell)?;
    Ok(())
}
