//! Where and with what it was measured.

use std::process::Command;

use crate::args::Args;
use crate::setup::{DATAGRAM_BUFFER, MTU, Res, STREAM_WINDOW, STREAMS, WINDOW};
use crate::works::IN_FLIGHT;

/// The packages that are contestants, or below one.
const PACKAGES: &[&str] = &[
    "quinn",
    "quinn-proto",
    "quinn-udp",
    "web-transport-quinn",
    "wtransport",
    "h3",
    "h3-quinn",
    "h3-webtransport",
    "quiche",
    "s2n-quic",
    "tokio",
    "mio",
    "rustls",
    "ring",
];

pub fn told(args: &Args) -> Res<String> {
    let cpu = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("an unknown CPU", |(_, name)| name);
    let cores = std::thread::available_parallelism()?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let day = output("date", &["-u", "+%Y-%m-%d"]);
    let rust = env!("PEERS_RUSTC");
    let commit = output(
        "git",
        &[
            "-C",
            env!("CARGO_MANIFEST_DIR"),
            "rev-parse",
            "--short",
            "HEAD",
        ],
    );
    let [server, client] = args.cores;
    let (streams, in_flight) = (STREAMS, IN_FLIGHT);
    let (window, stream) = (WINDOW >> 20, STREAM_WINDOW >> 20);
    let datagrams = DATAGRAM_BUFFER >> 20;
    Ok(format!(
        "Measured on {day} at commit {commit}: {model}, {cores} cores, Linux {}, {rust}. The server on \
         core {server}, its client on core {client}, each a process with one thread, over loopback. \
         {:?} of each work by each contestant, in turns{}.\n\nThe same for all: packets \
         of at most {MTU} bytes and no search for larger ones, windows of {window} MiB ({stream} MiB \
         a stream), {streams} streams of each direction, {datagrams} MiB for datagrams each way, 2 MiB of \
         the socket's buffers, whole handshakes with ECDSA P-256, crypto by ring where it is rustls'. \
         Of an echo {in_flight} datagrams are on their way.\n\n{}.",
        kernel.trim(),
        args.window,
        match args.repetitions {
            0 => String::new(),
            1 => ", once".to_owned(),
            n => format!(", {n} times"),
        },
        versions(),
    ))
}

/// The versions of the lock file.
fn versions() -> String {
    let lock = include_str!("Cargo.lock");
    let versions = PACKAGES.iter().filter_map(|package| {
        let at = lock.find(&format!("name = \"{package}\"\nversion = \""))?;
        Some(format!("{package} {}", lock[at..].split('"').nth(3)?))
    });
    versions.collect::<Vec<_>>().join(", ")
}

/// The first line that a program says, or that nobody knows.
fn output(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    let line = out.ok().and_then(|out| String::from_utf8(out.stdout).ok());
    let line = line
        .as_deref()
        .and_then(|line| line.lines().next())
        .filter(|line| !line.is_empty());
    line.unwrap_or("unknown").to_owned()
}
