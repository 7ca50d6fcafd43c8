//! One attack on one server, and what came of it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::attacker::{Attack, Attacker};
use crate::attacks;
use crate::honest::{Honest, Seen, newcomer, visitor};
use crate::report::{Memory, Row};
use crate::server::{Kind, Server};

/// How long the parts of a trial take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The honest client alone.
    pub alone: Duration,
    /// The attack.
    pub attack: Duration,
    /// From the end of the attack to when the memory is to be back.
    pub after: Duration,
    /// A plain load of the same bytes, and the attack on another server; neither when zero.
    pub plain: Duration,
    /// Look as soon as everything is back, without waiting for `after` to pass.
    pub eager: bool,
}

impl Times {
    /// For the table.
    pub const FULL: Self = Self {
        alone: Duration::from_millis(2000),
        attack: Duration::from_millis(5000),
        after: Duration::from_millis(2000),
        plain: Duration::from_millis(2000),
        eager: false,
    };
    /// For CI, where times prove nothing.
    pub const SHORT: Self = Self {
        alone: Duration::from_millis(200),
        attack: Duration::from_millis(1000),
        after: Duration::from_secs(8),
        plain: Duration::ZERO,
        eager: true,
    };
}

/// An attack under way in a thread of its own.
struct Raid {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<Attacker>,
}

impl Raid {
    /// A polite attacker takes no processor from the server and the honest client, as one
    /// on another machine does not.
    fn start(
        attack: Attack,
        server: &Server,
        seed: u64,
        rate: Option<u64>,
        polite: bool,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut attacker = Attacker::new(
            server.kind,
            server.address,
            server.page,
            attack.connections,
            seed,
            Arc::clone(&stop),
        )?;
        attacker.bytes_per_second = rate;
        let thread = thread::spawn(move || {
            #[cfg(target_os = "linux")]
            if polite {
                // If it cannot be had, the times are worse.
                _ = rustix::process::nice(19);
            }
            (attack.run)(&mut attacker);
            attacker.leave();
            attacker
        });
        Ok(Self { stop, thread })
    }

    fn end(self) -> io::Result<Attacker> {
        self.stop.store(true, Ordering::Relaxed);
        let over = self.thread.join();
        over.map_err(|_| io::Error::other("the attacker panicked"))
    }
}

/// Runs an attack for a time and leaves; for the soak.
///
/// # Errors
/// No socket, or the attack panicked.
pub fn raid(attack: Attack, server: &Server, seed: u64, time: Duration) -> io::Result<u64> {
    let raid = Raid::start(attack, server, seed, None, false)?;
    thread::sleep(time);
    let attacker = raid.end()?;
    Ok(attacker.ops + attacker.net.ops())
}

/// How long somebody new waits for an answer, where newcomers matter.
fn comes(attack: Attack, server: &Server) -> io::Result<Option<Duration>> {
    let limit = Duration::from_secs(5);
    match server.page {
        Some(page) if attack.page => Ok(visitor(page, limit)),
        _ => newcomer(server.kind, server.address, attack.file, limit),
    }
}

/// What the honest client sees during a polite attack on a server, which need not be its own.
fn seen_under(
    attack: Attack,
    server: &Server,
    seed: u64,
    rate: Option<u64>,
    time: Duration,
    honest: &mut Honest,
) -> io::Result<Seen> {
    let raid = Raid::start(attack, server, seed, rate, true)?;
    thread::sleep(time);
    let seen = honest.seen();
    raid.end()?;
    Ok(seen)
}

/// Starts a server, attacks it, and looks at it before, meanwhile and afterwards.
///
/// # Errors
/// The server cannot be started, or the attack panicked.
pub fn run(attack: Attack, kind: Kind, times: Times, seed: u64) -> io::Result<Row> {
    let mut server = Server::start(kind, attack.args, attack.cut)?;
    let mut honest = Honest::start(kind, server.address)?;
    // Connected and warm.
    thread::sleep(Duration::from_millis(200));
    honest.seen();
    thread::sleep(times.alone);
    let alone = honest.seen();

    let before = Memory::of(&server);
    let started = server.counters().started;
    server.forget_peak();
    let raid = Raid::start(attack, &server, seed, None, times.plain > Duration::ZERO)?;
    let began = Instant::now();
    let least = Duration::from_secs(if attack.cut { 3 } else { 0 });
    let time = times.attack.max(least);
    thread::sleep(time * 2 / 3);
    // Whoever comes in the middle of it is served, too.
    let newcomer_took = comes(attack, &server)?;
    thread::sleep(time.saturating_sub(began.elapsed()));
    let under = honest.seen();
    let lasted = began.elapsed();
    let attacker = raid.end()?;

    let left = Instant::now();
    let mut after = Memory::of(&server);
    while left.elapsed() < times.after
        && !(times.eager && after.is_back_to(&before, server.kind, attack.connections))
    {
        thread::sleep(Duration::from_millis(50));
        after = Memory::of(&server);
    }
    let mut peak = Memory::peak_of(&server);
    // Handlers of the honest client are there before and after.
    peak.started = server.counters().started - started;
    honest.seen();

    let seconds = lasted.as_secs_f64();
    let bytes_per_second = attacker.net.sent as f64 / seconds;
    let (mut plain, mut neighbour) = (Seen::default(), Seen::default());
    let shown = times.plain;
    if shown > Duration::ZERO {
        let rate = Some(bytes_per_second as u64);
        plain = seen_under(attacks::PLAIN, &server, seed, rate, shown, &mut honest)?;
        let victim = Server::start(kind, attack.args, attack.cut)?;
        // What it took to start is not what the attack takes.
        honest.seen();
        neighbour = seen_under(attack, &victim, seed, None, shown, &mut honest)?;
    }
    let served = comes(attack, &server)?.is_some();
    Ok(Row {
        attack,
        kind,
        ops_per_second: (attacker.ops + attacker.net.ops()) as f64 / seconds,
        bytes_per_second,
        before,
        peak,
        after,
        alone,
        under,
        plain,
        neighbour,
        newcomer: newcomer_took,
        cut: attacker.net.past_cut,
        ends: attacker.net.ends,
        alive: server.is_alive(),
        served,
        panics: server.panics(),
        lost: honest.ends(),
    })
}
