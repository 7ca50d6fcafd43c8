//! Options of `proxy`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aqueduct_tokio::proxy::{PathTemplate, Rule};
use clap::Args;

#[cfg(feature = "qlog")]
use super::Qlog;
use super::{Certified, Record, parse_some_time};
use crate::units::parse_duration;

pub(super) const EXAMPLES: &str = "\
Examples:
  aqueduct proxy                                   on loopback, to public addresses, for this host
  aqueduct proxy --listen [::]:443 --cert a.pem --key a.key --bearer-file tokens
  aqueduct proxy --allow-private --deny '*:25'     into private networks too; no mail
  aqueduct proxy --only-allowed --allow '*.example.com:443' --allow 192.0.2.0/24:53

Rules: HOST, *.SUFFIX, ADDRESS, NETWORK/LENGTH or *, each with :PORT or :FIRST-LAST if it is about
these ports alone; IPv6 with ports has brackets, [2001:db8::]/32:443. Deny wins over allow.";

/// Options of `proxy`.
#[derive(Args, Clone, Debug)]
pub struct Proxy {
    /// UDP address and port to serve on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:4433")]
    pub listen: SocketAddr,
    /// Endpoints that share the port, each with a socket and a task of its own, for more cores
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Who it is.
    #[command(flatten)]
    pub certified: Certified,
    /// Keep the key of stateless resets in this file, which is made if there is none: after a crash
    /// and a restart, clients with old connections are told at once. Whoever reads it can end
    /// connections
    #[arg(long, value_name = "FILE")]
    pub reset_key: Option<PathBuf>,
    /// Let tunnels lead there (repeatable). An address or a prefix opens private ones as well: 0.0.0.0/0
    /// and ::/0 lift every ban, also of loopback, of multicast and of broadcast, but not of this host's
    /// own addresses, which need a rule for each. A name never does, since whoever owns it chooses what
    /// it stands for
    #[arg(long, value_name = "RULE", help_heading = "Targets")]
    pub allow: Vec<Rule>,
    /// Let no tunnels lead there, whatever else allows it (repeatable)
    #[arg(long, value_name = "RULE", help_heading = "Targets")]
    pub deny: Vec<Rule>,
    /// Let tunnels lead nowhere but where --allow says
    #[arg(long, help_heading = "Targets")]
    pub only_allowed: bool,
    /// Let tunnels lead into private networks and to this host's loopback: 10.0.0.0/8,
    /// 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, 127.0.0.0/8, fc00::/7 and ::1. Link-local,
    /// multicast and the like stay closed
    #[arg(long, help_heading = "Targets")]
    pub allow_private: bool,
    /// Serve only who shows one of the bearer tokens in this file, one a line, or in the environment
    /// as AQUEDUCT_BEARER
    #[arg(long, value_name = "FILE", help_heading = "Clients")]
    pub bearer_file: Option<PathBuf>,
    /// Serve only who shows one of the names and passwords in this file, NAME:PASSWORD a line, or in
    /// the environment as AQUEDUCT_BASIC
    #[arg(long, value_name = "FILE", help_heading = "Clients")]
    pub basic_file: Option<PathBuf>,
    /// Serve everybody who can reach it. Others will find it and do in your name what they like
    #[arg(long, help_heading = "Clients")]
    pub open: bool,
    /// Tunnels at once
    #[arg(long, value_name = "N", default_value_t = 1000, help_heading = "Clients",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_tunnels: u32,
    /// Tunnels at once of one client address
    #[arg(long, value_name = "N", default_value_t = 100, help_heading = "Clients",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_tunnels_per_client: u32,
    /// Path on which UDP is asked for, with {target_host} and {target_port}
    /// [default: /.well-known/masque/udp/{target_host}/{target_port}/]
    #[arg(long, value_name = "PATH", help_heading = "Paths")]
    pub udp_template: Option<PathTemplate>,
    /// Path on which TCP is asked for by connect-tcp, with {target_host} and {target_port}
    /// [default: /.well-known/masque/tcp/{target_host}/{target_port}/]
    #[arg(long, value_name = "PATH", help_heading = "Paths")]
    pub tcp_template: Option<PathTemplate>,
    /// Take no CONNECT as HTTP always had it, which has no path
    #[arg(long, help_heading = "Paths")]
    pub no_connect: bool,
    /// What the proxy calls itself in the field proxy-status
    #[arg(
        long,
        value_name = "NAME",
        default_value = "aqueduct",
        help_heading = "Paths"
    )]
    pub name: String,
    /// End a tunnel through which nothing goes for this time
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_some_time)]
    pub tunnel_idle_timeout: Duration,
    /// Go on with a tunnel for UDP when its target does not listen, which otherwise ends it
    #[arg(long)]
    pub keep_unreachable: bool,
    /// Give up a connection on which nothing is heard for this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_some_time)]
    pub idle_timeout: Duration,
    /// How long to let tunnels go on after SIGINT or SIGTERM, while new ones are refused
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub drain_timeout: Duration,
    /// What is written down.
    #[command(flatten)]
    pub record: Record,
    /// What of QUIC is traced.
    #[cfg(feature = "qlog")]
    #[command(flatten)]
    pub qlog: Qlog,
}
