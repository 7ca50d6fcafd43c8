//! The client's stopwatch: a thread that sleeps beside the load and looks at both
//! processes before and after a stretch of it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::count::{COUNTS, Count, Page};

static READY: AtomicBool = AtomicBool::new(false);

/// The load has begun in earnest.
pub fn ready() {
    READY.store(true, Ordering::Relaxed);
}

/// Ends the process: what was to be measured did not go.
pub fn die(what: impl std::fmt::Display) -> ! {
    eprintln!("{what}");
    std::process::exit(1)
}

// ---- latency -------------------------------------------------------------------------

/// Each power of two of nanoseconds has 16 places.
const FINE: u32 = 16;
static LATENCY: [AtomicU64; 64 * FINE as usize] = [const { AtomicU64::new(0) }; 64 * FINE as usize];

/// Notes how long a request took.
pub fn took(since: Instant) {
    let ns = (since.elapsed().as_nanos() as u64).max(FINE.into());
    let log = ns.ilog2();
    let place = log * FINE + ((ns >> (log - FINE.ilog2())) as u32 & (FINE - 1));
    LATENCY[place as usize].fetch_add(1, Ordering::Relaxed);
}

/// In milliseconds: what such a share of the requests stayed below.
fn quantile(before: &[u64], share: f64) -> Option<f64> {
    let counts: Vec<u64> = (LATENCY.iter().zip(before))
        .map(|(now, before)| now.load(Ordering::Relaxed) - before)
        .collect();
    let wanted = (counts.iter().sum::<u64>() as f64 * share).ceil() as u64;
    let mut seen = 0;
    let place = counts.iter().position(|count| {
        seen += count;
        seen >= wanted && wanted > 0
    })?;
    let (log, fine) = (place as u32 / FINE, place as u32 % FINE);
    let ns = f64::from(FINE + fine) * 2_f64.powi(log as i32 - FINE.ilog2() as i32);
    Some(ns / 1e6)
}

// ---- the processes -------------------------------------------------------------------

/// One of the two processes.
pub struct Process {
    pub pid: libc::pid_t,
    pub page: &'static Page,
}

#[derive(Clone)]
pub struct Look {
    cpu: f64,
    rss: f64,
    pub counts: [u64; COUNTS],
}

impl Process {
    fn look(&self) -> io::Result<Look> {
        Ok(Look {
            cpu: cpu_of(self.pid)?,
            rss: rss_of(self.pid)?,
            counts: std::array::from_fn(|at| self.page[at].load(Ordering::Relaxed)),
        })
    }
}

/// CPU seconds that a process has used, in user and system mode, all its threads.
fn cpu_of(pid: libc::pid_t) -> io::Result<f64> {
    let (mut clock, mut time) = (
        0,
        libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
    );
    // SAFETY: both are given places to write to.
    let failed = unsafe {
        libc::clock_getcpuclockid(pid, &mut clock) != 0
            || libc::clock_gettime(clock, &mut time) != 0
    };
    match failed {
        true => Err(io::Error::other("the process has no clock")),
        false => Ok(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9),
    }
}

/// KiB of memory that a process has. What is cheap to ask for: it is the client that asks.
fn rss_of(pid: libc::pid_t) -> io::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: Option<f64> = text
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok());
    // SAFETY: it asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as f64 / 1024.0;
    pages
        .map(|pages| pages * page)
        .ok_or_else(|| io::Error::other("no size"))
}

/// How long the load runs.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub warm: Duration,
    pub window: Duration,
    /// Ends when this was done so often, for callgrind.
    pub until: Option<(Count, u64)>,
}

/// Waits for the load, measures it, tells, and ends the process.
pub fn watch(client: &Process, server: &Process, span: Span) -> io::Result<()> {
    let begin = [client.look()?, server.look()?];
    while !READY.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(1));
    }
    if let Some((count, n)) = span.until {
        let page = [client.page, server.page];
        while page
            .iter()
            .all(|page| page[count as usize].load(Ordering::Relaxed) < n)
        {
            sleep(Duration::from_millis(1));
        }
        let [c, s] = page.map(|page| page[count as usize].load(Ordering::Relaxed));
        println!("done {}", c.max(s));
        std::process::exit(0);
    }
    sleep(span.warm);
    let latency: Vec<u64> = LATENCY.iter().map(|n| n.load(Ordering::Relaxed)).collect();
    let (start, before) = (Instant::now(), [client.look()?, server.look()?]);
    sleep(span.window);
    let (wall, after) = (
        start.elapsed().as_secs_f64(),
        [client.look()?, server.look()?],
    );
    println!("wall {wall}");
    for (side, at) in [("client", 0), ("server", 1)] {
        println!("{side}.cpu {}", after[at].cpu - before[at].cpu);
        println!("{side}.rss {}", after[at].rss - begin[at].rss);
        for count in 0..COUNTS {
            println!(
                "{side}.{count} {}",
                after[at].counts[count] - before[at].counts[count]
            );
        }
        let held = |look: &Look| {
            let [in_use, freed] = [Count::Allocated, Count::Freed].map(|c| look.counts[c as usize]);
            in_use as f64 - freed as f64
        };
        println!("{side}.held {}", held(&after[at]) - held(&begin[at]));
    }
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        if let Some(ms) = quantile(&latency, share) {
            println!("{name} {ms}");
        }
    }
    std::process::exit(0)
}
