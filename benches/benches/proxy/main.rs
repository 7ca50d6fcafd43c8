//! Packets per second and CPU time per packet of a proxy for UDP, beside the relay of the
//! same sockets that does nothing else, and another library's proxy.
//!
//!     cargo bench -p aqueduct-benches --bench proxy -- [WORD...]
//!
//! WORDs choose directions (`up`, `down`, `echo`), proxies (`floor`, `plain`, `aqueduct`,
//! `quic-go`) and numbers of tunnels (`1`, `100`). The environment says how many `ROUNDS`
//! (3) of how many `SAMPLE_SECONDS` (2), with how many `THREADS` in the proxies of this
//! program (1), another `WINDOW` and `BURST` of each tunnel, and where the program of
//! quic-go is (`MASQUE_GO`), which is left out otherwise:
//!
//!     (cd tests/interop/go/masque && go build -o /tmp/masque-go .)
//!
//! Each proxy is a process of its own, and its CPU time is what the system says of that.
//! Clients and their target are one thread of this process. Every tunnel has a few
//! packets on their way and sends more, in bursts, when those arrive, so that each proxy
//! gets what it takes and loses little. Proxies take turns in each round; figures are
//! medians of the rounds. A proxy that is not `busy` sleeps between bursts, and what it
//! costs to wake it is in each packet's time; where the machine has other things to do,
//! bursts pile up, and it is not.
//!
//! - `floor` relays UDP datagrams between one socket towards the clients and one for each
//!   client towards the target, with GSO and GRO: what the system calls of a proxy cost.
//! - `plain` does so with one system call for each datagram received or sent.
//! - `aqueduct` is ours. All tunnels are on one connection.
//! - `quic-go` is `tests/interop/go/masque`, CONNECT-UDP on HTTP/3 of quic-go. It stands
//!   for masque-go, which is made of the same library.

mod load;
mod relays;
mod report;
mod udp;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use load::{Load, Way, pass};
use report::{Report, Sample};
use udp::Udp;

/// Bytes of a UDP payload: what QUIC begins with.
const PAYLOAD: usize = 1200;

/// How long a load runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// Which way packets go.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Direction {
    /// From the clients to the target.
    Up,
    /// Back.
    Down,
    /// There and back: two packets each.
    Echo,
}

/// How many there are, and what each has on its way.
#[derive(Copy, Clone, Debug)]
struct Tunnels {
    count: usize,
    window: u32,
    burst: u32,
}

const DIRECTIONS: [(&str, Direction); 3] = [
    ("up", Direction::Up),
    ("down", Direction::Down),
    ("echo", Direction::Echo),
];

const TUNNELS: [Tunnels; 2] = [
    Tunnels {
        count: 1,
        window: 32,
        burst: 16,
    },
    Tunnels {
        count: 100,
        window: 8,
        burst: 4,
    },
];

const PROXIES: [&str; 4] = ["floor", "plain", "aqueduct", "quic-go"];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, kind, threads, target] = &words[..]
        && mode == "proxy"
    {
        let target = target.parse().expect("an address");
        return relays::run(kind, threads.parse().expect("a number"), target);
    }
    // `cargo bench` says so itself.
    let chosen: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .filter(|word| *word != "--bench")
        .collect();
    let go = Go::find();
    if go.is_none() {
        println!("no program of quic-go: set MASQUE_GO to have it beside");
    }
    let proxies: Vec<&str> = pick(&PROXIES, |name| name, &chosen)
        .into_iter()
        .filter(|name| *name != "quic-go" || go.is_some())
        .collect();
    let tunnels = TUNNELS.map(|tunnels| (tunnels.count.to_string(), tunnels));
    let (rounds, seconds) = (setting("ROUNDS", 3), setting("SAMPLE_SECONDS", 2));
    let time = Duration::from_secs(seconds.into());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let mut report = Report::default();
    for (name, direction) in pick(&DIRECTIONS, |(name, _)| name, &chosen) {
        for (_, tunnels) in pick(&tunnels, |(name, _)| name, &chosen) {
            let tunnels = Tunnels {
                window: setting("WINDOW", tunnels.window),
                burst: setting("BURST", tunnels.burst),
                ..tunnels
            };
            for _ in 0..rounds {
                for proxy in &proxies {
                    let sample = measure(proxy, go.as_ref(), tunnels, direction, time);
                    report.add((name, tunnels.count, proxy), runtime.block_on(sample));
                }
            }
            report.print((name, tunnels.count), &proxies);
        }
    }
}

/// What is named, or all.
fn pick<T: Clone>(all: &[T], name: impl Fn(&T) -> &str, chosen: &[&str]) -> Vec<T> {
    let named = |item: &&T| chosen.contains(&name(item));
    let any = all.iter().any(|item| named(&item));
    all.iter()
        .filter(|item| !any || named(item))
        .cloned()
        .collect()
}

fn setting(name: &str, other: u32) -> u32 {
    std::env::var(name).map_or(other, |value| value.parse().expect("a number"))
}

/// One proxy, one load.
async fn measure(
    proxy: &str,
    go: Option<&Go>,
    tunnels: Tunnels,
    direction: Direction,
    time: Duration,
) -> Sample {
    let target = Udp::bind(None).expect("binds");
    let (running, way) = match (proxy, go) {
        ("quic-go", Some(go)) => {
            let (running, address) = go.start();
            (running, Way::Masque(address, Some(go.certificate.clone())))
        }
        (kind, _) => {
            let (running, address) = Running::ours(kind, target.address());
            let way = match kind {
                "aqueduct" => Way::Masque(address, None),
                _ => Way::Bare(address),
            };
            (running, way)
        }
    };
    let load = Load::start(way, target, tunnels, direction).await;
    pass(WARM_UP).await;
    let (began, cpu, before) = (Instant::now(), running.cpu(), load.count());
    pass(time).await;
    let (lasted, cpu, after) = (began.elapsed(), running.cpu() - cpu, load.count());
    let times = if direction == Direction::Echo { 2 } else { 1 };
    Sample {
        packets: (after.arrived - before.arrived) * times,
        lost: (after.lost - before.lost) * times,
        cpu,
        lasted,
    }
}

/// The process of a proxy.
struct Running(Child);

impl Running {
    fn ours(kind: &str, target: SocketAddr) -> (Self, SocketAddr) {
        let program = std::env::current_exe().expect("runs");
        let mut command = Command::new(program);
        let threads = setting("THREADS", 1).to_string();
        command.args(["proxy", kind, &threads, &target.to_string()]);
        let (running, line) = Self::start(command);
        (running, line.trim().parse().expect("an address"))
    }

    /// Starts it, and reads the first line it prints.
    fn start(mut command: Command) -> (Self, String) {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("says where it is");
        // What else it has to say is not to stop it.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        (Self(child), line)
    }

    /// CPU time up to now, of all its threads.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()));
        let stat = stat.expect("Linux, and it runs");
        // User and system time are fields 14 and 15; a name with spaces is the second.
        let fields = stat.rsplit_once(')').expect("a name").1;
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|n| n.parse::<u64>().expect("a number")).sum();
        // There are 100 ticks in a second (proc(5), USER_HZ).
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program of quic-go, and an identity for it.
struct Go {
    program: PathBuf,
    folder: PathBuf,
    certificate: Vec<u8>,
}

impl Go {
    fn find() -> Option<Self> {
        let program = PathBuf::from(std::env::var_os("MASQUE_GO")?);
        let folder = std::env::temp_dir().join(format!("aqueduct-bench-{}", std::process::id()));
        let key = rcgen::KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned()];
        let params = rcgen::CertificateParams::new(names).expect("a name");
        let cert = params.self_signed(&key).expect("signs");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("cert.pem"), cert.pem()).expect("writes");
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).expect("writes");
        Some(Self {
            program,
            folder,
            certificate: cert.der().to_vec(),
        })
    }

    fn start(&self) -> (Running, SocketAddr) {
        let mut command = Command::new(&self.program);
        command.arg("server");
        command.arg("--cert").arg(self.folder.join("cert.pem"));
        command.arg("--key").arg(self.folder.join("key.pem"));
        let (running, line) = Running::start(command);
        // {"address":"127.0.0.1:1","ready":true}
        let address = line.split('"').find_map(|word| word.parse().ok());
        (running, address.expect("says where it is"))
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
