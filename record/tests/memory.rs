//! A file from a stranger asks for no more memory than its length allows.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;
use std::time::Instant;

use aqueduct_record::{HEADER, Recording, ReplayError};

/// What the crate's page says: for each byte of the file, and besides.
const PER_BYTE: usize = 64;
const BASE: usize = 256 << 20;

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

/// So many bytes of a stream, as the connection reads them: in pieces.
fn read(lines: &mut String, id: u64, mut bytes: usize) {
    while bytes > 0 {
        let piece = bytes.min(4096);
        writeln!(lines, "0 < read {id} {piece} open").expect("a string");
        bytes -= piece;
    }
}

/// Requests that each hold as much of a field section as they are let, all zeros, which
/// cost a file nothing.
#[test]
fn zeros_that_are_kept_are_counted() {
    let mut lines = String::from(
        "0 new server 1 masked events field-section-encoded 29000000 \
         head-bytes 9999999999 work 4294967295 \
         qpack-blocked-streams 0\n0 in 0 connected none\n",
    );
    for n in 0..100 {
        let id = n * 4;
        // HEADERS of 2^24 bytes.
        writeln!(lines, "0 bytes {id} 0181000000*60000000.").expect("a string");
        writeln!(lines, "0 in 0 opened bi\n0 < accept bi {id}").expect("a string");
        read(&mut lines, id, 400_000);
    }
    let (ended, peak) = replay(&lines);
    assert!(peak > 8 << 20, "{peak}: nothing was held at all, {ended:?}");
    assert!(
        matches!(ended, Err(ReplayError::TooMuchMemory { .. })),
        "{ended:?}"
    );
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

/// Heads that are made of a few references to one long entry of the dynamic table, of
/// many streams at once.
#[test]
fn heads_that_grow_when_decoded_are_counted() {
    for streams in [1, 100] {
        let mut lines = String::from(
            "0 new server 1 masked events field-section 29000000 fields 29000000 \
             field-section-encoded 29000000 qpack-blocked-streams 0 \
             head-bytes 9999999999 work 4294967295\n0 in 0 connected none\n",
        );
        // The peer's encoder stream: an entry whose name is 4,000 bytes long.
        let name = "78".repeat(4_000);
        writeln!(lines, "0 bytes 2 023fe11f5f811f{name}00").expect("a string");
        lines.push_str("0 in 0 opened uni\n0 < accept uni 2\n0 < read 2 4008 open\n");
        lines.push_str("0 in 0 opened bi\n");
        for n in 0..streams {
            let id = n * 4;
            // Two zeros name the entry and give it an empty value.
            writeln!(lines, "0 < accept bi {id}").expect("a string");
            read(&mut lines, id, 14_397);
            writeln!(lines, "0 bytes {id} 01800038380280d1d7c1500161*14384.").expect("a string");
        }
        let (ended, peak) = replay(&lines);
        let refused = matches!(ended, Err(ReplayError::TooMuchMemory { .. }));
        assert!(refused, "{ended:?}");
        assert!(peak > 20 << 20, "{peak}: nothing was held at all");
    }
}

/// The same in interim responses, which all come of one chunk.
#[test]
fn interim_heads_that_grow_are_counted() {
    let mut lines =
        String::from("0 new client 1 masked events work 4294967295\n0 in 0 connected none\n");
    lines.push_str("0 do 0 request parts GET https://a/ 0 0 fin\n0 < open bi 0\n0 = stream 0/0\n");
    let name = "78".repeat(4_000);
    writeln!(lines, "0 bytes 3 023fe11f5f811f{name}00").expect("a string");
    lines.push_str("0 in 0 opened uni\n0 < accept uni 3\n0 < read 3 4008 open\n");
    // Status 103, and the entry fifteen times.
    let interim = "01210280d8*30.".repeat(1_000);
    writeln!(lines, "0 bytes 0 {interim}\n0 in 0 readable 0").expect("a string");
    read(&mut lines, 0, 35_000);
    let (ended, peak) = replay(&lines);
    assert!(peak > 1 << 20, "{peak}: nothing was held at all, {ended:?}");
    assert!(peak < 64 << 20, "{peak}");
}

/// A file of the shortest runs for streams that are never read, beside a connection
/// that takes what it may.
#[test]
fn runs_that_are_never_read_are_counted() {
    for run in ["*1.", "ff*1.", "ffff*0."] {
        let runs = run.repeat(1 << 19);
        let mut lines = String::from(
            "0 new server 1 masked events session-datagrams 99999999 \
             session-datagram-bytes 9999999999999\n0 in 0 connected none\n",
        );
        writeln!(lines, "0 bytes 400 {runs}\n0 bytes 400 *1.").expect("a string");
        for _ in 0..4_000 {
            lines.push_str("0 in 0 datagrams\n");
            lines.push_str("0 < recv-datagram 00*60000.\n");
        }
        let (_, peak) = replay(&lines);
        assert!(peak < lines.len() * PER_BYTE + (16 << 20), "{run}: {peak}");
    }
}

/// What costs a file least for each thing that a connection keeps.
#[test]
fn many_small_things_are_counted() {
    let begin = "0 new server 1 masked events session-datagrams 99999999 \
                 session-datagram-bytes 99999999999 early-streams 9999999 early-datagrams 999999 \
                 early-datagram-bytes 99999999 early-priorities 999999\n0 in 0 connected none\n";
    let one = |what: &str, n: u64| match what {
        "streams" => format!("0 < accept bi {}\n", n * 4),
        "frames" => format!(
            "0 < accept bi {0}\n0 < read {0} 3 open\n0 bytes {0} 0108ff\n",
            n * 4
        ),
        "requests" => format!(
            "0 < accept bi {0}\n0 < read {0} 10 open\n0 bytes {0} 01080000d1d7c1500161\n",
            n * 4
        ),
        "held" => format!(
            "0 < accept uni {0}\n0 < read {0} 3 open\n0 bytes {0} 405400\n",
            n * 4 + 2
        ),
        _ => "0 < recv-datagram 00\n".to_owned(),
    };
    for (what, told) in [
        ("streams", "opened bi"),
        ("frames", "opened bi"),
        ("requests", "opened bi"),
        ("held", "opened uni"),
        ("datagrams", "datagrams"),
    ] {
        let things: String = (0..20_000).map(|n| one(what, n)).collect();
        let lines = format!("{begin}0 in 0 {told}\n{things}");
        let (_, peak) = replay(&lines);
        assert!(peak < lines.len() * PER_BYTE, "{what}: {peak}");
    }
}
