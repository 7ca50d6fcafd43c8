//! Options of `quic`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use aqueduct_tokio::protocol::quic::MAX_CODE;
use clap::{Args, Subcommand};

use super::{Certified, Connect, Target, parse_some_time};
use crate::units::parse_duration;

pub(super) const EXAMPLES: &str = "\
Examples:
  aqueduct quic listen --alpn chat/1                           first, in one terminal
  aqueduct quic connect localhost:4433 --alpn chat/1 --insecure   then in another: type
  aqueduct quic listen --alpn echo --echo                      a server to test clients with
  tar c . | aqueduct quic connect host:4433 --alpn echo --cacert ca.pem > copy.tar
  aqueduct quic connect host:853 --alpn doq --show --no-fin    what is agreed on
  aqueduct quic connect host:4433 --alpn echo --datagrams      a line is a datagram";

/// Options of `quic`.
#[derive(Args, Clone, Debug)]
pub struct Quic {
    /// Which end.
    #[command(subcommand)]
    pub command: QuicCommand,
}

/// An end of a connection of QUIC.
#[derive(Clone, Debug, Subcommand)]
pub enum QuicCommand {
    /// Connect, and pipe standard input and output through a stream
    #[command(after_help = EXAMPLES)]
    Connect(Box<QuicConnect>),
    /// Take connections, and pipe the first stream of one after another; or echo whatever comes
    #[command(after_help = EXAMPLES)]
    Listen(Box<QuicListen>),
}

/// Options of `quic connect`.
#[derive(Args, Clone, Debug)]
pub struct QuicConnect {
    /// The server
    #[arg(value_name = "HOST:PORT", value_parser = parse_place)]
    pub target: Target,
    /// Application protocol to offer, the preferred first (repeatable)
    #[arg(long, required = true, value_name = "NAME", value_parser = parse_alpn)]
    pub alpn: Vec<String>,
    /// Send on a unidirectional stream; nothing is printed, but with --accept
    #[arg(long)]
    pub uni: bool,
    /// Wait for the server's first stream and print that; it is answered on it if it goes both ways
    #[arg(long)]
    pub accept: bool,
    /// Show what was agreed on: protocol, addresses, certificate, limits. On standard error, or
    /// with --json as the first line
    #[arg(long)]
    pub show: bool,
    /// Certificate chain to show the server if it asks, in PEM, leaf first
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Private key of that certificate in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// What is sent, and how it ends.
    #[command(flatten)]
    pub talk: QuicTalk,
    /// How long silence may be.
    #[command(flatten)]
    pub silence: QuicSilence,
    /// How to connect.
    #[command(flatten)]
    pub connect: Connect,
}

/// Options of `quic listen`.
#[derive(Args, Clone, Debug)]
pub struct QuicListen {
    /// UDP address and port to listen on; port 0 takes a free one
    #[arg(value_name = "ADDR", default_value = "127.0.0.1:4433")]
    pub listen: SocketAddr,
    /// Application protocol to take, the preferred first (repeatable)
    #[arg(long, required = true, value_name = "NAME", value_parser = parse_alpn)]
    pub alpn: Vec<String>,
    /// End after the first connection
    #[arg(long, conflicts_with = "echo")]
    pub once: bool,
    /// Send back whatever comes on streams and as datagrams, of any number of connections at once;
    /// resets and stops are sent back with their codes
    #[arg(long, conflicts_with_all = ["datagrams", "uni", "open", "no_fin", "reset", "stop", "code"])]
    pub echo: bool,
    /// Open the stream, and do not wait for the client's
    #[arg(long)]
    pub open: bool,
    /// Send on a unidirectional stream; nothing is printed, but the client's first stream without
    /// --open
    #[arg(long)]
    pub uni: bool,
    /// What is sent, and how it ends.
    #[command(flatten)]
    pub talk: QuicTalk,
    /// How long silence may be.
    #[command(flatten)]
    pub silence: QuicSilence,
    /// Who it is.
    #[command(flatten)]
    pub certified: Certified,
}

/// What is sent, and how it ends.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Conversation")]
pub struct QuicTalk {
    /// No stream: each line of standard input is a datagram, and each datagram that comes a line
    #[arg(long, conflicts_with_all = ["uni", "no_fin", "reset", "stop"])]
    pub datagrams: bool,
    /// Print what comes as it is, also what a terminal would obey; datagrams without ends of line
    #[arg(long)]
    pub raw: bool,
    /// Do not end the stream with standard input (FIN): the peer ends it
    #[arg(long, conflicts_with = "reset")]
    pub no_fin: bool,
    /// At the end of standard input abandon the stream with this code (RESET_STREAM)
    #[arg(long, value_name = "CODE", value_parser = parse_code)]
    pub reset: Option<u64>,
    /// Want nothing that the peer sends on the stream, with this code (STOP_SENDING)
    #[arg(long, value_name = "CODE", value_parser = parse_code)]
    pub stop: Option<u64>,
    /// When it is done close the connection with this code at once [default: 0, and a peer that is
    /// to read everything first is waited for a moment]
    #[arg(long, value_name = "CODE", value_parser = parse_code)]
    pub code: Option<u64>,
    /// And with this reason
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// After the end of standard input, leave when no datagram has come for this time
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub quiet: Duration,
}

/// How long silence may be.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub struct QuicSilence {
    /// Give up a connection on which nothing is heard for this time
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_some_time)]
    pub idle_timeout: Duration,
    /// After so much silence send something, so that the connection stays; less than the idle
    /// timeouts
    #[arg(long, value_name = "TIME", value_parser = parse_some_time)]
    pub keep_alive: Option<Duration>,
}

impl QuicSilence {
    /// What clap cannot check.
    pub fn check(&self) -> Result<(), String> {
        match self.keep_alive {
            Some(keep_alive) if keep_alive >= self.idle_timeout => {
                Err("--keep-alive keeps nothing unless it is less than --idle-timeout".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Quic {
    /// What clap cannot check.
    pub fn check(&self) -> Result<(), String> {
        match &self.command {
            QuicCommand::Connect(options) => options.silence.check(),
            QuicCommand::Listen(options) => {
                options.silence.check()?;
                options.certified.check()
            }
        }
    }
}

/// A host and a port, and nothing else.
fn parse_place(text: &str) -> Result<Target, String> {
    let form = || format!("`{text}` is not like example.com:4433 or [::1]:4433");
    if text.contains(['/', '?', '#', '@']) {
        return Err(form());
    }
    let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
    // A URL forgets the port that is usual, and an address in brackets has no other colon.
    match (port, format!("https://{text}").parse::<Target>()) {
        (Some(Ok(port @ 1..)), Ok(target)) if target.port() == port => Ok(target),
        _ => Err(form()),
    }
}

//= https://www.rfc-editor.org/rfc/rfc7301#section-3.1
// A name has 1 to 255 bytes.
fn parse_alpn(text: &str) -> Result<String, String> {
    match text.len() {
        0 | 256.. => Err("the name of a protocol has 1 to 255 bytes".to_owned()),
        _ if text == "h3" => Err("`h3` is HTTP/3, which `get` and `serve` speak".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// A code of QUIC's applications: 62 bits, decimal or with `0x`.
fn parse_code(text: &str) -> Result<u64, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match number {
        Ok(code) if code <= MAX_CODE => Ok(code),
        _ => Err(format!("`{text}` is no number from 0 to {MAX_CODE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_host_and_a_port() {
        let place = |text| parse_place(text).map(|it| (it.host().to_owned(), it.port()));
        assert_eq!(place("localhost:443"), Ok(("localhost".to_owned(), 443)));
        assert_eq!(place("[::1]:4433"), Ok(("::1".to_owned(), 4433)));
        for wrong in [
            "localhost",
            "localhost:0",
            "https://a:1",
            "a:1/x",
            "a@b:1",
            ":1",
            "",
        ] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn codes_have_62_bits() {
        assert_eq!(parse_code("4611686018427387903"), Ok(MAX_CODE));
        assert_eq!(parse_code("0x3fffffffffffffff"), Ok(MAX_CODE));
        for wrong in ["4611686018427387904", "-1", "0x", "", "one"] {
            assert!(parse_code(wrong).is_err(), "{wrong}");
        }
    }
}
