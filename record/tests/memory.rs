//! A file from a stranger asks for no more memory than its length allows.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;
use std::time::Instant;

use aqueduct_record::{HEADER, Recording, ReplayError};

/// What the crate's page says: for each byte of the file, and besides.
const PER_BYTE: usize = 64;
const BASE: usize = 80 << 20;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// Counts bytes of this thread.
struct Counting;

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size());
        PEAK.set(PEAK.get().max(LIVE.get()));
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().saturating_sub(layout.size()));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How a recording ends, and the most bytes that were held meanwhile.
#[expect(clippy::disallowed_methods, reason = "a time is made of nothing else")]
fn replay(lines: &str) -> (Result<(), ReplayError>, usize) {
    let text = format!("{HEADER}{lines}");
    let before = LIVE.get();
    PEAK.set(before);
    let recording = Recording::read(&text).expect("readable");
    let replayed = recording.connections()[0].replay(Instant::now(), &mut |_, _| {});
    let peak = PEAK.get() - before;
    let most = text.len() * PER_BYTE + BASE;
    assert!(peak <= most, "{peak} bytes for {} of text", text.len());
    (replayed.map(drop), peak)
}

/// Requests that each hold as much of a field section as they are let, all zeros, which
/// cost a file nothing.
#[test]
fn zeros_that_are_kept_are_counted() {
    let mut lines = String::from(
        "0 new server 1 masked events field-section-encoded 60000000 \
         qpack-blocked-streams 0\n0 in 0 connected none\n",
    );
    for n in 0..100 {
        let id = n * 4;
        // HEADERS of 50,000,000 bytes.
        writeln!(lines, "0 bytes {id} 0182faf080*60000000.").expect("a string");
        writeln!(
            lines,
            "0 in 0 opened bi\n0 < accept bi {id}\n0 < read {id} 60000 open"
        )
        .expect("a string");
        for _ in 0..20 {
            writeln!(lines, "0 in 0 readable {id}\n0 < read {id} 65536 open").expect("a string");
        }
    }
    let (ended, peak) = replay(&lines);
    assert!(
        matches!(ended, Err(ReplayError::TooMuchMemory { .. })),
        "{ended:?}"
    );
    assert!(peak > 1 << 20, "{peak}: nothing was held at all");
}

/// What a session's datagrams or a single read may stand for.
#[test]
fn long_runs_in_one_piece_are_counted() {
    let mut lines = String::from("0 new server 1 masked events\n0 in 0 connected none\n");
    for _ in 0..2_000 {
        lines.push_str("0 in 0 datagrams\n0 < recv-datagram 00*60000.\n");
    }
    let _ = replay(&lines);
    let whole = "0 new server 1 masked events\n0 in 0 connected none\n0 bytes 0 0*9.00*4000000000.\n\
                 0 in 0 opened bi\n0 < accept bi 0\n0 < read 0 60000000,60000000 open\n";
    let _ = replay(whole.replace("0*9.", "").as_str());
}

/// Calls that offer and ask for more than there is.
#[test]
fn calls_cost_what_they_say() {
    let calls = [
        "write 0/0 67108864",
        "write 0/0 9999999999999",
        "read 0/0 18446744073709551615 4096",
        "read 0/0 1 99999999",
        "send-datagram 0/0 *18446744073709551615.",
        "reject-session 0/0 parts 404 0 *4000000000.",
        "close-session 0/0 1 %",
        "request fin lines 99999999999",
    ];
    for call in calls {
        let lines = format!("0 new client 1 masked events\n0 in 0 connected none\n0 do 0 {call}\n");
        let (_, peak) = replay(&lines);
        assert!(peak < 2 << 20, "{call}: {peak}");
    }
}
