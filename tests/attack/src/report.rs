//! What is measured, what is allowed, and how both are shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::attacker::Attack;
use crate::honest::Seen;
use crate::server::{Kind, Server};

const MIB: u64 = 1 << 20;
/// What one hostile connection may make a server hold.
pub const PER_CONNECTION: u64 = 6 * MIB;
/// Handlers that one hostile connection may keep at work.
pub const HANDLERS: u64 = 100;
/// How far from where it was allocated memory may be two seconds later: tables grow with use.
pub const HELD_SLACK: u64 = MIB;
/// And by how much more for each hostile connection: a closed one is remembered for three
/// probe timeouts (RFC 9000 section 10.2), and TLS remembers 256 to be resumed.
pub const CLOSED: u64 = 64 << 10;
/// By how much more than what is held resident memory may grow: the allocator keeps fragments,
/// and the code that was needed stays.
pub const RESIDENT_SLACK: u64 = 16 * MIB;
/// The honest client's p99 may be this times that under a plain load of the same bytes.
pub const SLOWER: f64 = 3.0;

/// Answers within this time prove nothing about fairness: two cores are shared by three.
pub const NOISE: Duration = Duration::from_millis(2);

/// What a server has at one time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident bytes.
    pub resident: u64,
    /// Allocated bytes.
    pub held: u64,
    /// Handlers at work; 0 for the program.
    pub handlers: u64,
    /// Handlers that began during the attack (only in a peak).
    pub started: u64,
}

impl Memory {
    /// What it has now.
    #[must_use]
    pub fn of(server: &Server) -> Self {
        let counters = server.fresh_counters();
        Self {
            resident: server.resident(),
            held: counters.held,
            handlers: counters.handlers,
            started: 0,
        }
    }

    /// The most it had.
    #[must_use]
    pub fn peak_of(server: &Server) -> Self {
        let counters = server.fresh_counters();
        Self {
            resident: server.resident_peak(),
            held: counters.held_peak,
            handlers: counters.handlers_peak,
            started: 0,
        }
    }

    /// Whether a server's is where it was before so many hostile connections.
    #[must_use]
    pub fn is_back_to(&self, before: &Self, kind: Kind, connections: u64) -> bool {
        let closed = connections * CLOSED;
        let held = self.held <= before.held + HELD_SLACK + closed;
        // The program is a process as others run it, so its fragments count, too.
        let resident =
            kind != Kind::Program || self.resident <= before.resident + RESIDENT_SLACK + closed;
        held && resident && self.handlers <= before.handlers + 8
    }
}

/// What came of one attack on one server.
#[derive(Clone, Debug)]
pub struct Row {
    /// The attack.
    pub attack: Attack,
    /// The server.
    pub kind: Kind,
    /// The attacker's operations per second.
    pub ops_per_second: f64,
    /// The attacker's bytes of UDP payload per second.
    pub bytes_per_second: f64,
    /// Before the attack.
    pub before: Memory,
    /// The most of it.
    pub peak: Memory,
    /// Two seconds after.
    pub after: Memory,
    /// The honest client before the attack.
    pub alone: Seen,
    /// The honest client under attack.
    pub under: Seen,
    /// The honest client under a plain load of the same bytes; empty when there was none.
    pub plain: Seen,
    /// The honest client while another server beside its own is attacked: what is plain
    /// sharing of the processors. Shown, and not judged by; empty when not measured.
    pub neighbour: Seen,
    /// How long somebody new waited for an answer in the middle of the attack.
    pub newcomer: Option<Duration>,
    /// Streams of the attacker's that the server reset or stopped.
    pub cut: u64,
    /// How the attacker's connections ended.
    pub ends: BTreeMap<String, u64>,
    /// Whether the server lives.
    pub alive: bool,
    /// Whether somebody new is served afterwards.
    pub served: bool,
    /// Panics the server printed.
    pub panics: u64,
    /// How the honest client's connections ended, each time it lost one.
    pub lost: Vec<String>,
}

impl Row {
    /// What is not as it must be, without times.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut check = |good: bool, text: String| {
            if !good {
                faults.push(text);
            }
        };
        check(self.alive, "the server died".into());
        check(self.panics == 0, format!("{} panics", self.panics));
        check(self.served, "nobody is served afterwards".into());
        check(self.newcomer.is_some(), "newcomers are kept out".into());
        let lost = self.lost.join(", ");
        check(
            lost.is_empty(),
            format!("the honest client was cut off: {lost}"),
        );
        check(
            self.under.answered > 0,
            "the honest client got no answer".into(),
        );
        let connections = self.attack.connections;
        let allowed = connections * HANDLERS + 64;
        let handlers = self.peak.handlers;
        check(
            handlers <= allowed,
            format!("{handlers} handlers, allowed {allowed}"),
        );
        let may_hold = connections * PER_CONNECTION;
        let held = self.peak.held.saturating_sub(self.before.held);
        check(
            held <= may_hold + HELD_SLACK,
            format!("{} MiB held", held / MIB),
        );
        let resident = self.peak.resident.saturating_sub(self.before.resident);
        let resident_ok = resident <= may_hold + RESIDENT_SLACK;
        check(resident_ok, format!("{} MiB resident", resident / MIB));
        check(
            self.attack.lasting
                || (self.after).is_back_to(&self.before, self.kind, self.attack.connections),
            format!(
                "afterwards {:+.1} MiB held, {:+.1} MiB resident, {} handlers",
                mib(self.after.held) - mib(self.before.held),
                mib(self.after.resident) - mib(self.before.resident),
                self.after.handlers,
            ),
        );
        faults
    }

    /// The honest client's p99 by that before the attack.
    #[must_use]
    pub fn slower(&self) -> f64 {
        self.under.p99.as_secs_f64() / self.alone.p99.as_secs_f64().max(1e-6)
    }

    /// The honest client's p99 by that under a plain load; `None` when there was none.
    #[must_use]
    pub fn slower_than_plain(&self) -> Option<f64> {
        let plain = self.plain.p99.as_secs_f64();
        (plain > 0.0).then(|| self.under.p99.as_secs_f64() / plain)
    }

    /// Whether the honest client is as fast as it must be. A machine that others use is slow
    /// at times by itself: the worst time without an attack is what counts.
    #[must_use]
    pub fn is_fair(&self) -> bool {
        let calm = self.plain.p99.max(self.alone.p99).max(NOISE);
        self.plain.answered == 0 || self.under.p99.as_secs_f64() <= SLOWER * calm.as_secs_f64()
    }

    fn ends(&self) -> String {
        let ends = self.ends.iter().map(|(end, n)| format!("{end} x{n}"));
        ends.collect::<Vec<_>>().join(", ")
    }

    /// As an object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let memory = |it: &Memory| json!({ "resident": it.resident, "held": it.held, "handlers": it.handlers });
        let seen = |it: &Seen| {
            json!({
                "answered": it.answered,
                "unanswered": it.unanswered,
                "p50_us": it.p50.as_micros() as u64,
                "p99_us": it.p99.as_micros() as u64,
                "seconds": it.lasted.as_secs_f64(),
            })
        };
        json!({
            "attack": self.attack.name,
            "server": self.kind.name(),
            "connections": self.attack.connections,
            "ops_per_second": self.ops_per_second,
            "bytes_per_second": self.bytes_per_second,
            "before": memory(&self.before),
            "peak": memory(&self.peak),
            "after": memory(&self.after),
            "handlers_started": self.peak.started,
            "alone": seen(&self.alone),
            "under_attack": seen(&self.under),
            "plain_load": seen(&self.plain),
            "attack_beside": seen(&self.neighbour),
            "slower_than_alone": self.slower(),
            "slower_than_plain": self.slower_than_plain(),
            "newcomer_us": self.newcomer.map(|it| it.as_micros() as u64),
            "streams_cut": self.cut,
            "ends": self.ends,
            "alive": self.alive,
            "served": self.served,
            "panics": self.panics,
            "honest_lost": self.lost,
            "faults": self.faults(),
            "fair": self.is_fair(),
        })
    }

    /// As a line of the table.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = String::new();
        let three = |before: u64, peak: u64, after: u64| {
            format!("{:.1}/{:.1}/{:.1}", mib(before), mib(peak), mib(after))
        };
        let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
        let measured = |seen: &Seen| match seen.answered {
            0 => "-".into(),
            _ => ms(seen.p99),
        };
        let held = three(self.before.held, self.peak.held, self.after.held);
        let plain = self.slower_than_plain();
        let verdict = match (self.faults().is_empty(), self.is_fair()) {
            (true, true) => "held".into(),
            (true, false) => "UNFAIR".into(),
            (false, _) => format!("FAILED: {}", self.faults().join("; ")),
        };
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "| {} | {} | {} | {:.0} | {:.2} | {} | {} | {}/{} | {}/{}/{}/{} | {:.1} | {} | {:.0} | {} | {} | {} |",
            self.attack.name,
            self.kind.name(),
            self.attack.connections,
            self.ops_per_second,
            self.bytes_per_second / 1e6,
            three(
                self.before.resident,
                self.peak.resident,
                self.after.resident
            ),
            held,
            self.peak.handlers,
            self.after.handlers,
            ms(self.alone.p99),
            ms(self.under.p99),
            measured(&self.plain),
            measured(&self.neighbour),
            self.slower(),
            plain.map_or_else(|| "-".into(), |it| format!("{it:.1}")),
            self.under.answered as f64 / self.under.lasted.as_secs_f64().max(1e-3),
            self.newcomer.map_or_else(|| "never".into(), ms),
            self.ends(),
            verdict,
        );
        line
    }
}

/// The head of the table.
pub const HEAD: &str = "\
| attack | server | conns | ops/s | MB/s | resident MiB before/peak/after | held MiB before/peak/after \
| handlers peak/after | honest p99 ms alone/attack/plain/attack beside | by alone | by plain | honest answers/s \
| newcomer ms | ends | verdict |
|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|";

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}
