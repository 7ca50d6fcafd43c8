//! `attack`: the table, the short form for CI, and the soak.
//!
//! ```text
//! attack short                     every attack on one server, bounds on memory and counters
//! attack full [--json]             every attack on every server, with times
//! attack soak [--seconds 600]      everything mixed, ten minutes on each server
//! attack one NAME [--server tokio] [--seconds 5]
//! attack list
//! ```

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use aqueduct_attack::attacker::{ALL, Attack};
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
        "short" => table(&options, Times::SHORT, false),
        "full" => table(&options, Times::FULL, true),
        "one" => table(&options, Times::FULL, false),
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
    for kind in ALL
        .iter()
        .filter(|kind| options.server.is_none_or(|only| only == **kind))
    {
        all &= soak::run(*kind, time, pause, options.seed)?;
    }
    Ok(all)
}

/// Runs attacks one after the other and prints a line for each; whether all held.
fn table(options: &Options, mut times: Times, every_server: bool) -> io::Result<bool> {
    if let Some(seconds) = options.seconds {
        times.attack = Duration::from_secs_f64(seconds);
    }
    let chosen = |attack: &&Attack| {
        options.names.is_empty()
            || options
                .names
                .iter()
                .any(|name| attack.name.contains(name.as_str()))
    };
    if !options.json {
        println!("{HEAD}");
    }
    let mut all = true;
    for attack in LIST.iter().filter(chosen) {
        let servers = attack.on.iter().copied();
        let servers = servers.filter(|kind| options.server.is_none_or(|only| only == *kind));
        for kind in servers.take(if every_server { 3 } else { 1 }) {
            let row = trial::run(*attack, kind, times, options.seed)?;
            all &= row.faults().is_empty() && row.is_fair();
            if options.json {
                println!("{}", row.to_json());
            } else {
                println!("{}", row.to_line());
            }
        }
    }
    Ok(all)
}
