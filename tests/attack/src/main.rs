//! `attack`: the table, the short form for CI, and the soak.
//!
//! ```text
//! attack short                     every attack on one server, bounds on memory and counters
//! attack full [--json]             every attack on every server, with times
//! attack soak [NAME] [--seconds 600]  everything mixed, or what is named, ten minutes on each server
//! attack one NAME [--server tokio] [--seconds 5] [--after 2]
//! attack list
//! ```

use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aqueduct_attack::attacker::Attack;
use aqueduct_attack::attacks::LIST;
use aqueduct_attack::report::HEAD;
use aqueduct_attack::server::Kind;
use aqueduct_attack::soak;
use aqueduct_attack::trial::{self, Times};

#[derive(Debug, Default)]
struct Options {
    names: Vec<String>,
    server: Option<Kind>,
    seconds: Option<f64>,
    after: Option<f64>,
    seed: u64,
    json: bool,
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let mut options = Options {
        seed: 1,
        ..Options::default()
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => options.json = true,
            "--server" => options.server = args.next().as_deref().and_then(Kind::named),
            "--seconds" => options.seconds = args.next().and_then(|it| it.parse().ok()),
            "--after" => options.after = args.next().and_then(|it| it.parse().ok()),
            "--seed" => options.seed = args.next().and_then(|it| it.parse().ok()).unwrap_or(1),
            name => options.names.push(name.into()),
        }
    }
    let outcome = match command.as_str() {
        "list" => {
            for attack in LIST {
                println!("{:24} {}", attack.name, attack.what);
            }
            Ok(true)
        }
        "short" => table(&options, Times::SHORT, false, 2),
        "full" => table(&options, Times::FULL, true, 1),
        "one" => table(&options, Times::FULL, false, 1),
        "soak" => soak(&options),
        _ => {
            eprintln!("attack short|full|one|soak|list; tests/attack/README.md tells more");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything mixed, on one server or each in turn.
fn soak(options: &Options) -> io::Result<bool> {
    let time = Duration::from_secs_f64(options.seconds.unwrap_or(600.0));
    let pause = Duration::from_secs(60).min(time / 4);
    let mut all = true;
    for kind in Kind::ALL
        .iter()
        .filter(|kind| options.server.is_none_or(|only| only == **kind))
    {
        all &= soak::run(*kind, &options.names, time, pause, options.seed)?;
    }
    Ok(all)
}

/// Runs attacks, `at_once` of them, and prints a line for each; whether all held.
fn table(
    options: &Options,
    mut times: Times,
    every_server: bool,
    at_once: usize,
) -> io::Result<bool> {
    if let Some(seconds) = options.seconds {
        times.attack = Duration::from_secs_f64(seconds);
    }
    if let Some(seconds) = options.after {
        times.after = Duration::from_secs_f64(seconds);
    }
    let chosen = |attack: &Attack| {
        let named = |name: &String| attack.name.contains(name.as_str());
        options.names.is_empty() || options.names.iter().any(named)
    };
    let mut trials = Vec::new();
    for attack in LIST.iter().filter(|attack| chosen(attack)) {
        let servers = attack.on.iter().copied();
        let servers = servers.filter(|kind| options.server.is_none_or(|only| only == *kind));
        let servers = servers.take(if every_server { usize::MAX } else { 1 });
        trials.extend(servers.map(|kind| (*attack, kind)));
    }
    if !options.json {
        println!("{HEAD}");
    }
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<bool> {
        let mut all = true;
        while let Some((attack, kind)) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
            let row = trial::run(*attack, *kind, times, options.seed)?;
            all &= row.faults().is_empty() && row.is_fair();
            let line = if options.json {
                row.to_json().to_string()
            } else {
                row.to_line()
            };
            println!("{line}");
        }
        Ok(all)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let mut all = true;
        for worker in workers {
            let over = worker.join();
            all &= over.map_err(|_| io::Error::other("a trial panicked"))??;
        }
        Ok(all)
    })
}
