//! The command line.

mod bench;
mod certified;
mod get;
mod proxy;
mod quic;
mod record;
mod target;
mod tunnel;
mod webtransport;

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use http::{HeaderName, HeaderValue};

pub use bench::{Bench, WtLoad};
pub use certified::Certified;
pub use get::{Get, Password};
pub use proxy::Proxy;
pub use quic::{Quic, QuicCommand, QuicConnect, QuicListen, QuicSilence, QuicTalk};
#[cfg(feature = "qlog")]
pub use record::Qlog;
pub use record::{Record, Replay};
pub use target::Target;
pub use tunnel::{ProxyUrl, Tunnel, Via};
pub use webtransport::WebTransport;

use crate::exit;
use crate::identity::Sha256Digest;
use crate::tls::Trust;
use crate::units::{parse_bytes, parse_duration};

const EXAMPLES: &str = "\
Examples:
  aqueduct serve --page 127.0.0.1:8080
  aqueduct serve --root ./public --cert cert.pem --key key.pem --listen [::]:443
  aqueduct get https://localhost:4433/bytes/10000000 -o data --cert-hash <HEX OR BASE64>
  aqueduct wt https://localhost:4433/echo ping --insecure
  aqueduct probe https://cloudflare-quic.com/
  aqueduct proxy --listen [::]:443 --cert cert.pem --key key.pem --bearer-file tokens
  aqueduct tunnel --proxy https://proxy.example --socks 127.0.0.1:1080 --bearer-file token
  aqueduct quic connect localhost:4433 --alpn echo --insecure";

const SERVE_EXAMPLES: &str = "\
Examples:
  aqueduct serve                                   the demonstration, self-signed
  aqueduct serve --page 127.0.0.1:8080             and a page to try it from a browser
  aqueduct serve --root . --cert-out cert.pem      files; then: aqueduct get --cacert cert.pem ...
  aqueduct serve --cert a.pem --key a.key --cert b.pem --key b.key --listen [::]:443";

const WT_EXAMPLES: &str = "\
Examples:
  aqueduct wt https://localhost:4433/echo --insecure
  aqueduct wt https://localhost:4433/echo ping --count 100 --interval 20ms
  aqueduct wt https://localhost:4433/echo throughput --bytes 256MiB --streams 4
  aqueduct wt https://localhost:4433/echo talk";

const PROBE_EXAMPLES: &str = "\
Examples:
  aqueduct probe https://cloudflare-quic.com/
  aqueduct probe https://localhost:4433/echo --json   the certificate is looked at, trusted or not";

const TALK_EXAMPLES: &str = "\
Examples:
  aqueduct wt https://localhost:4433/echo talk                 type, and see what comes
  tar c . | aqueduct wt https://localhost:4433/echo talk > copy.tar
  aqueduct wt https://localhost:4433/echo talk --by datagram   a line is a datagram";

/// HTTP/3 and WebTransport: serve, fetch, measure and probe.
#[derive(Clone, Debug, Parser)]
#[command(name = "aqueduct", version, about, propagate_version = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub struct Cli {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Args, Clone, Debug, Default)]
pub struct Global {
    /// Log to standard error: -v steps, -vv details, -vvv packets (RUST_LOG refines it)
    #[arg(short, long, action = ArgAction::Count, global = true, help_heading = "Output")]
    pub verbose: u8,
    /// Print one JSON object a line on standard output instead of text, and no progress bars
    #[arg(long, global = true, help_heading = "Output")]
    pub json: bool,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Serve files or the demonstration over HTTP/3 and WebTransport
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Fetch URLs over HTTP/3; with --json, bodies without a file are counted and not printed
    #[command(after_help = get::EXAMPLES)]
    Get(Box<Get>),
    /// Open a WebTransport session and check it, measure it or talk in it
    #[command(after_help = WT_EXAMPLES)]
    Wt(Wt),
    /// Measure how many requests a server answers, and how fast; or how much a session carries
    #[command(after_help = bench::EXAMPLES)]
    Bench(Box<Bench>),
    /// Show what a server speaks, and why a session would be refused
    #[command(after_help = PROBE_EXAMPLES)]
    Probe(Probe),
    /// Carry UDP and TCP for others over HTTP/3 (MASQUE), where rules allow it
    #[command(after_help = proxy::EXAMPLES)]
    Proxy(Box<Proxy>),
    /// Bring UDP, TCP or SOCKS5 of this host through a proxy over HTTP/3 (MASQUE)
    #[command(after_help = tunnel::EXAMPLES)]
    Tunnel(Box<Tunnel>),
    /// Connect or listen with a protocol of your own on QUIC, and pipe standard input and output
    #[command(after_help = quic::EXAMPLES)]
    Quic(Quic),
    /// Go through a recording again, offline, and tell the first difference
    #[command(after_help = record::EXAMPLES)]
    Replay(Replay),
}

/// Options of `serve`.
#[derive(Args, Clone, Debug)]
pub struct Serve {
    /// UDP address and port to serve on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4433")]
    pub listen: SocketAddr,
    /// Endpoints that share the port, each with a socket and a task of its own, for more cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Who it is.
    #[command(flatten)]
    pub certified: Certified,
    /// Serve the files of this folder
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// Serve a page to try WebTransport from a browser, over plain HTTP on this address
    #[arg(long, value_name = "ADDR")]
    pub page: Option<SocketAddr>,
    /// Serve the demonstration resources; on without --root
    #[arg(long)]
    pub demo: bool,
    /// Accept sessions from pages of this origin too (repeatable; * for any). Pages of the server's
    /// own authority, the page of --page and programs that are no browsers need no leave
    #[arg(long, value_name = "ORIGIN", value_parser = parse_origin)]
    pub allow_origin: Vec<String>,
    /// What of WebTransport is announced.
    #[command(flatten)]
    pub webtransport: WebTransport,
    /// Give up a connection on which nothing is heard for this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_some_time)]
    pub idle_timeout: Duration,
    /// After so much silence send something, so that connections stay; less than the idle timeouts
    #[arg(long, value_name = "TIME", value_parser = parse_some_time)]
    pub keep_alive: Option<Duration>,
    /// Keep the key of stateless resets in this file, which is made if there is none: after a crash
    /// and a restart, clients with old connections are told at once. Whoever reads it can end
    /// connections
    #[arg(long, value_name = "FILE")]
    pub reset_key: Option<PathBuf>,
    /// Take requests that come before the handshake is complete (0-RTT). They may be replays: those
    /// that are not safe are answered 425
    #[arg(long)]
    pub early_data: bool,
    /// How long to let work finish after SIGINT or SIGTERM
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
    /// What moves the packets; what is served runs on tokio with each
    #[arg(long, value_enum, value_name = "NAME", default_value_t)]
    pub runtime: Runtime,
    /// What is written down.
    #[command(flatten)]
    pub record: Record,
    /// What of QUIC is traced.
    #[cfg(feature = "qlog")]
    #[command(flatten)]
    pub qlog: Qlog,
}

/// An adapter between the core and the system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// A task on tokio
    #[default]
    Tokio,
    /// A thread of async-io, the reactor of async-std and smol
    AsyncStd,
    /// A thread with a mio loop
    Mio,
}

impl Serve {
    /// Whether the demonstration resources are served.
    pub fn demo_enabled(&self) -> bool {
        self.demo || self.root.is_none()
    }

    /// What clap cannot check: each certificate needs a key.
    pub fn check(&self) -> Result<(), String> {
        self.certified.check()
    }
}

/// How a client connects, and whom it trusts.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct Connect {
    /// Accept any certificate. Anyone on the way can read and change everything
    #[arg(long, global = true, conflicts_with_all = ["cacert", "cert_hash"])]
    pub insecure: bool,
    /// Trust the root certificates of this PEM file instead of the system's
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "cert_hash")]
    pub cacert: Option<PathBuf>,
    /// Trust exactly the certificate with this SHA-256, in hex or base64 (repeatable)
    #[arg(long, global = true, value_name = "SHA256", value_parser = Sha256Digest::parse)]
    pub cert_hash: Vec<Sha256Digest>,
    /// Send packets to this address, whatever the URL's host resolves to
    #[arg(long, global = true, value_name = "ADDR")]
    pub connect_to: Option<SocketAddr>,
    /// Send packets for this host, or `*` for all, and port to this address (repeatable); IPv6 may
    /// have brackets. --connect-to goes before it
    #[arg(long, global = true, value_name = "HOST:PORT:ADDR", value_parser = Resolve::parse)]
    pub resolve: Vec<Resolve>,
    /// Give up connecting after this time
    #[arg(long, global = true, value_name = "TIME", default_value = "10s",
          value_parser = parse_duration)]
    pub connect_timeout: Duration,
    /// What is written down.
    #[command(flatten)]
    pub record: Record,
    /// What of QUIC is traced.
    #[cfg(feature = "qlog")]
    #[command(flatten)]
    pub qlog: Qlog,
}

/// Where a host is, whatever the resolver says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Resolve {
    /// `None` for whatever host.
    host: Option<String>,
    port: u16,
    address: IpAddr,
}

impl Resolve {
    fn parse(text: &str) -> Result<Self, String> {
        let form = || format!("`{text}` is not like example.com:443:192.0.2.1");
        // The host may be an IPv6 address in brackets, and so may the address be.
        let after = text
            .rfind(']')
            .filter(|_| text.starts_with('['))
            .filter(|_| !text.ends_with(']'));
        let from = after.unwrap_or_default();
        let colon = text
            .get(from..)
            .and_then(|rest| rest.find(':'))
            .ok_or_else(form)?
            + from;
        let (host, rest) = text.split_at(colon);
        let (port, address) = rest
            .trim_start_matches(':')
            .split_once(':')
            .ok_or_else(form)?;
        let bare = |text: &str| {
            text.trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned()
        };
        // What curl forgets after a minute of a run: no run of ours looks up anew.
        let host = host.strip_prefix('+').unwrap_or(host);
        // What no URL can have would never count, and nobody would know.
        let at = |host: &str| {
            let whole = !host.contains(['/', '?', '#', '*']);
            let target = format!("https://{host}:{port}/").parse::<Target>().ok();
            target.filter(|target| whole && target.port() != 0)
        };
        let host = match host {
            "*" => at("any.example").map(|_| None),
            host => at(host).map(|target| Some(target.host().to_owned())),
        };
        Ok(Self {
            host: host.ok_or_else(form)?,
            port: port.parse().map_err(|_| form())?,
            address: bare(address).parse().map_err(|_| form())?,
        })
    }
}

impl Resolve {
    fn is_for(&self, target: &Target) -> bool {
        let host = self.host.as_deref();
        host.is_none_or(|host| host == target.host()) && self.port == target.port()
    }
}

impl Connect {
    /// Where the command line says that a target is, if it does.
    pub fn address_of(&self, target: &Target) -> Option<SocketAddr> {
        let resolved = || {
            let mut all = self.resolve.iter();
            let it = all.find(|it| it.is_for(target))?;
            Some(SocketAddr::new(it.address, it.port))
        };
        self.connect_to.or_else(resolved)
    }

    /// Whom to trust.
    pub fn trust(&self) -> Trust {
        if self.insecure {
            Trust::Insecure
        } else if !self.cert_hash.is_empty() {
            Trust::Pins(self.cert_hash.clone())
        } else if let Some(path) = &self.cacert {
            Trust::CaFile(path.clone())
        } else {
            Trust::System
        }
    }
}

/// A request body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// The argument itself.
    Text(String),
    /// The contents of a file; `-` is standard input.
    File(PathBuf),
}

/// Options of `wt`.
#[derive(Args, Clone, Debug)]
pub struct Wt {
    /// Where to open the session
    #[arg(value_name = "URL")]
    pub url: Target,
    /// What to do with the session; `echo` when absent
    #[command(subcommand)]
    pub action: Option<WtCommand>,
    /// Request field (repeatable), for example an origin
    #[arg(short = 'H', long, global = true, value_name = "NAME:VALUE", value_parser = parse_header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// What of WebTransport is announced.
    #[command(flatten)]
    pub webtransport: WebTransport,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
}

/// What to do with a session.
#[derive(Clone, Debug, Subcommand)]
pub enum WtCommand {
    /// Send on streams and datagrams, and check that the same comes back
    Echo(WtEcho),
    /// Measure round-trip times with datagrams
    Ping(WtPing),
    /// Measure how fast streams carry data up and back down
    Throughput(WtThroughput),
    /// Send standard input, and print what comes
    #[command(after_help = TALK_EXAMPLES)]
    Talk(WtTalk),
}

/// A way to carry data in a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Carrier {
    /// Bidirectional streams
    Bidi,
    /// Unidirectional streams
    Uni,
    /// Datagrams
    Datagram,
}

/// Options of `wt echo`.
#[derive(Args, Clone, Debug)]
pub struct WtEcho {
    /// What to check
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "bidi,uni,datagram"
    )]
    pub only: Vec<Carrier>,
    /// Bytes on each stream
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_bytes)]
    pub size: u64,
    /// How many streams of each kind, and datagrams
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
    /// Give up waiting for an echo after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
}

impl Default for WtEcho {
    fn default() -> Self {
        Self {
            only: vec![Carrier::Bidi, Carrier::Uni, Carrier::Datagram],
            size: 64 << 10,
            count: 1,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Options of `wt ping`.
#[derive(Args, Clone, Debug)]
pub struct WtPing {
    /// How many datagrams to send
    #[arg(long, value_name = "N", default_value_t = 10,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub count: u32,
    /// Time between datagrams
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = parse_duration)]
    pub interval: Duration,
    /// Bytes in each datagram; at least 16
    #[arg(long, value_name = "N", default_value_t = 32,
          value_parser = clap::value_parser!(u16).range(16..))]
    pub size: u16,
    /// How long to wait for the last replies
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub timeout: Duration,
}

/// Options of `wt throughput`.
#[derive(Args, Clone, Debug)]
pub struct WtThroughput {
    /// Bytes to send in all, and to get back
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_bytes)]
    pub bytes: u64,
    /// Bidirectional streams to share them
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub streams: u16,
}

/// Options of `wt talk`.
#[derive(Args, Clone, Debug)]
pub struct WtTalk {
    /// What carries standard input: one stream, or a datagram for each line. What comes is printed,
    /// whatever carries it
    #[arg(long, value_enum, value_name = "CARRIER", default_value = "bidi")]
    pub by: Carrier,
    /// Give each line a stream of its own
    #[arg(long)]
    pub each_line: bool,
    /// Take bytes as they come for datagrams, too, and print them as they are
    #[arg(long, conflicts_with = "each_line")]
    pub bytes: bool,
    /// After the end of standard input, leave when nothing has come for this time
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub quiet: Duration,
}

/// Options of `probe`.
#[derive(Args, Clone, Debug)]
pub struct Probe {
    /// The server, and the path at which to try a session
    #[arg(value_name = "URL")]
    pub url: Target,
    /// What of WebTransport is announced.
    #[command(flatten)]
    pub webtransport: WebTransport,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
}

/// Reads the arguments of the process. clap prints help and usage errors; the number is then the
/// exit code.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    let parsed = Cli::try_parse_from(args).and_then(|cli| {
        let checked = match &cli.command {
            Command::Get(get) => get.check(cli.global.json),
            Command::Serve(serve) => serve.check(),
            Command::Bench(bench) => bench.check(),
            Command::Proxy(proxy) => proxy.certified.check(),
            Command::Tunnel(tunnel) => tunnel.check(),
            Command::Quic(quic) => quic.check(),
            _ => Ok(()),
        };
        checked.map_err(|why| {
            <Cli as clap::CommandFactory>::command()
                .error(clap::error::ErrorKind::WrongNumberOfValues, why)
        })?;
        Ok(cli)
    });
    parsed.map_err(|error| {
        // Nothing can be said when the terminal is gone.
        let _ = error.print();
        u8::try_from(error.exit_code()).unwrap_or(exit::Exit::Usage as u8)
    })
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a field is `name: value`")?;
    let name = HeaderName::from_bytes(name.trim().as_bytes())
        .map_err(|_| format!("`{name}` is not a field name"))?;
    let value = HeaderValue::from_str(value.trim())
        .map_err(|_| format!("the value of `{name}` has characters that a field cannot carry"))?;
    Ok((name, value))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "clap wants a parser that may fail"
)]
fn parse_data(text: &str) -> Result<Data, String> {
    Ok(match text.strip_prefix('@') {
        Some(path) => Data::File(path.into()),
        None => Data::Text(text.to_owned()),
    })
}

/// A time that is not nothing: QUIC counts in milliseconds.
fn parse_some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        time if time < Duration::from_millis(1) => Err("at least 1ms is needed".to_owned()),
        time => Ok(time),
    }
}

fn parse_origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let uri: http::Uri = text
        .parse()
        .map_err(|_| format!("`{text}` is not an origin"))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(_)) if !text.ends_with('/') && uri.path() == "/" => {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(format!(
            "`{text}` is not an origin like https://example.com:8443"
        )),
    }
}

#[cfg(test)]
mod tests;
