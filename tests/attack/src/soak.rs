//! Everything mixed: attacks by luck, several at once, for minutes. Every minute they pause,
//! and the server is looked at: it must not have grown.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::attacker::{Attack, Luck};
use crate::attacks::LIST;
use crate::honest::{Honest, newcomer};
use crate::report::{Memory, RESIDENT_SLACK, mib};
use crate::server::{Kind, Server};
use crate::trial::raid;

/// Attackers at once.
const AT_ONCE: u64 = 3;
/// Handlers at work in a pause: the honest client's.
const HANDLERS: u64 = 8;
/// Seconds after which a connection whose peer is silent has ended.
const QUIET: u64 = 33;
/// Bytes by which what is held may differ between two pauses: tables grow with use.
const GROWTH: u64 = 2 << 20;

/// Attacks a server for `time`, with a pause every `pause`, by all attacks that fit or by
/// those that are named; whether it held.
///
/// # Errors
/// The server cannot be started, or an attack panicked.
pub fn run(
    kind: Kind,
    names: &[String],
    time: Duration,
    pause: Duration,
    seed: u64,
) -> io::Result<bool> {
    println!("soak of {} with seed {seed}", kind.name());
    let mut server = Server::start(kind, &[], false)?;
    let mut honest = Honest::start(kind, server.address)?;
    let fit = |attack: &&Attack| {
        let usual = attack.args.is_empty() && !attack.lasting;
        let chosen = match names {
            [] => usual && attack.connections <= 64,
            names => names.iter().any(|name| attack.name.contains(name.as_str())),
        };
        chosen && attack.on.contains(&kind)
    };
    let attacks: Vec<Attack> = LIST.iter().filter(fit).copied().collect();
    if attacks.is_empty() {
        println!("no attack fits");
        return Ok(true);
    }
    let (began, mut first) = (Instant::now(), None);
    let mut luck = Luck(seed);
    while began.elapsed() < time {
        let ops = stretch(&attacks, &server, pause, &mut luck)?;
        let seen = honest.seen();
        // Connections that are over are forgotten after three probe timeouts. A close that
        // was lost among all the rest is made up for by the idle timeout.
        let mut now = Memory::of(&server);
        for wait in [3, QUIET] {
            thread::sleep(Duration::from_secs(wait));
            now = Memory::of(&server);
            let grown = first.is_some_and(|base: Memory| now.held > base.held + GROWTH);
            if now.handlers <= HANDLERS && !grown {
                break;
            }
        }
        honest.seen();
        println!(
            "{:4.0} s: {ops} operations, {:.1} MiB resident, {:.1} MiB held, {} handlers; \
             honest: {} answers, p99 {:.1} ms, {} cut off",
            began.elapsed().as_secs_f64(),
            mib(now.resident),
            mib(now.held),
            now.handlers,
            seen.answered,
            seen.p99.as_secs_f64() * 1e3,
            honest.ends().len(),
        );
        // The first pause shows what tables and caches are once they were used.
        let base: &Memory = first.get_or_insert(now);
        let grown = now.held > base.held + GROWTH || now.resident > base.resident + RESIDENT_SLACK;
        let faults = [
            (grown, "it has grown"),
            (now.handlers > HANDLERS, "handlers are left"),
            (server.panics() > 0, "it panicked"),
            (!server.is_alive(), "it died"),
            (seen.answered == 0, "the honest client got no answer"),
        ];
        for (_, fault) in faults.iter().filter(|(is, _)| *is) {
            println!("FAILED: {fault}");
        }
        if faults.iter().any(|(is, _)| *is) {
            return Ok(false);
        }
    }
    Ok(newcomer(kind, server.address, None, Duration::from_secs(5))?.is_some())
}

/// Attacks at random for a time; how many operations that were.
fn stretch(
    attacks: &[Attack],
    server: &Server,
    time: Duration,
    luck: &mut Luck,
) -> io::Result<u64> {
    let over = AtomicBool::new(false);
    let attacker = &|mut luck: Luck| -> io::Result<u64> {
        let mut ops = 0;
        while !over.load(Ordering::Relaxed) {
            let attack = attacks[luck.below(attacks.len() as u64) as usize];
            let time = Duration::from_millis(100 + luck.below(2_900));
            ops += raid(attack, server, luck.below(u64::from(u32::MAX)), time)?;
        }
        Ok(ops)
    };
    thread::scope(|scope| {
        let attackers: Vec<_> = (0..AT_ONCE)
            .map(|_| Luck(luck.below(u64::from(u32::MAX))))
            .map(|luck| scope.spawn(move || attacker(luck)))
            .collect();
        thread::sleep(time);
        over.store(true, Ordering::Relaxed);
        let ended = attackers.into_iter().map(|attacker| {
            let ended = attacker.join();
            ended.map_err(|_| io::Error::other("an attacker panicked"))?
        });
        ended.sum()
    })
}
