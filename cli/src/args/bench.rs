//! Options of `bench`, under the names that users of h2load know.

use std::time::Duration;

use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue, Method};

use super::{Connect, Data, Target, WebTransport, parse_data, parse_header, parse_some_time};
use crate::units::{parse_bytes, parse_duration};

pub(super) const EXAMPLES: &str = "\
Examples:
  aqueduct bench https://localhost:4433/bytes/100 --insecure -n 10000 -c 4 -m 20
  aqueduct bench https://localhost:4433/ --insecure -D 10s -c 2 -m 10 --json
  aqueduct bench https://localhost:4433/echo --insecure --wt streams -n 1000 -m 10 --size 4KiB
  aqueduct bench https://localhost:4433/echo --insecure --wt datagrams -D 5s -m 50";

/// Options of `bench`.
#[derive(Args, Clone, Debug)]
pub struct Bench {
    /// What to ask for
    #[arg(value_name = "URL")]
    pub url: Target,
    /// Requests in all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 1000, conflicts_with = "duration",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: u64,
    /// Ask for this time instead of a number of requests; those under way at its end do not count
    #[arg(short = 'D', long, value_name = "TIME", value_parser = parse_some_time)]
    pub duration: Option<Duration>,
    /// Connections at once
    #[arg(short = 'c', long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub connections: u16,
    /// Requests at once on each connection; no more than the server allows streams
    #[arg(short = 'm', long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub streams: u16,
    /// Request method; POST when there is data, else GET
    #[arg(short = 'X', long, value_name = "METHOD")]
    pub method: Option<Method>,
    /// Request body, or @FILE for what is in a file
    #[arg(short, long, value_name = "DATA|@FILE", value_parser = parse_data)]
    pub data: Option<Data>,
    /// Request field (repeatable)
    #[arg(short = 'H', long, value_name = "NAME:VALUE", value_parser = parse_header)]
    pub header: Vec<(HeaderName, HeaderValue)>,
    /// Open a WebTransport session on each connection, and measure echoes in it instead of requests
    #[arg(long, value_enum, value_name = "CARRIER", conflicts_with_all = ["data", "method"])]
    pub wt: Option<WtLoad>,
    /// Bytes on each stream of --wt, or in each datagram, which has at least 8 and by default 64
    #[arg(long, value_name = "SIZE", requires = "wt", value_parser = parse_bytes)]
    pub size: Option<u64>,
    /// Give up an answer or an echo after this time
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub timeout: Duration,
    /// What of WebTransport is announced.
    #[command(flatten)]
    pub webtransport: WebTransport,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
}

/// What carries echoes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum WtLoad {
    /// A bidirectional stream for each
    Streams,
    /// A datagram for each; one that does not come back in time is lost
    Datagrams,
}

impl WtLoad {
    /// The largest size of its echoes, and the one when none is given.
    fn sizes(self) -> (u64, u64) {
        match self {
            Self::Streams => (64 << 20, 1 << 10),
            Self::Datagrams => (65_535, 64),
        }
    }
}

impl Bench {
    /// Bytes of an echo.
    pub fn echo_size(&self, load: WtLoad) -> usize {
        let (most, default) = load.sizes();
        let size = self.size.unwrap_or(default).clamp(8, most);
        usize::try_from(size).unwrap_or(usize::MAX)
    }

    /// What clap cannot check.
    pub fn check(&self) -> Result<(), String> {
        if let (Some(load), Some(size)) = (self.wt, self.size)
            && !(8..=load.sizes().0).contains(&size)
        {
            let most = load.sizes().0;
            return Err(format!("--size is from 8 to {most} bytes"));
        }
        if self.data == Some(Data::File("-".into())) {
            return Err("standard input cannot be sent many times".to_owned());
        }
        Ok(())
    }
}
