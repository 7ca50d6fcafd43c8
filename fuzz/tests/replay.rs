//! Every target over its corpus and over seeded random bytes, on stable, with
//! an allocator that sees what an input makes the core hold.
//!
//! `SEED=n` runs one random input of each target, `ROUNDS=n` more of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use aqueduct_core::testing::loopback::Rng;
use aqueduct_fuzz::{Target, held};

/// Random inputs of each target.
const ROUNDS: u64 = 2_000;

/// The same of one whose inputs each take several handshakes.
const FEW_ROUNDS: u64 = 100;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Counts bytes of this thread.
struct Counting;

fn count(bytes: isize) {
    LIVE.set(LIVE.get() + bytes);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are the ones asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn run((name, target): Target, what: &str, data: &[u8]) {
    // Shown only if the target fails.
    println!("{name}: {what}");
    let before = LIVE.get();
    PEAK.set(before);
    target(data);
    let held = PEAK.get() - before;
    let most = held::most(name, data) as isize;
    assert!(
        held < most,
        "{name}: {what} made the core hold {held} bytes of {most}"
    );
}

/// Replays every file of a target's corpus.
fn replay((name, target): Target) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let files = std::fs::read_dir(&folder).expect("every target has a corpus");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has an empty corpus");
    for path in paths {
        let data = std::fs::read(&path).expect("a readable file");
        run((name, target), &path.display().to_string(), &data);
    }
}

/// Runs random inputs of a target.
fn randomise(target: Target) {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect(name))
    };
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let few = target.0 == "quic_endpoint";
            0..number("ROUNDS").unwrap_or(if few { FEW_ROUNDS } else { ROUNDS })
        }
    };
    for seed in seeds {
        let mut rng = Rng::new(seed);
        let len = rng.below(if seed % 8 == 0 { 2_000 } else { 200 });
        // Small numbers are more often meaningful than large ones.
        let small = rng.percent(50);
        let mut byte = || {
            let limit = if small && rng.percent(70) { 32 } else { 256 };
            rng.below(limit) as u8
        };
        let data: Vec<u8> = (0..len).map(|_| byte()).collect();
        run(target, &format!("SEED={seed}"), &data);
    }
}

/// A test of each kind for each target: they run beside one another, and each has
/// the runner's whole time limit.
macro_rules! tests {
    ($($name:ident)*) => {
        mod corpus {
            $(#[test] fn $name() {
                super::replay((stringify!($name), aqueduct_fuzz::$name::target));
            })*
        }
        mod random {
            $(#[test] fn $name() {
                super::randomise((stringify!($name), aqueduct_fuzz::$name::target));
            })*
        }
    };
}
aqueduct_fuzz::for_each_target!(tests);
