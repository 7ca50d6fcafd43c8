//! Recordings: `--record` of the commands that talk, and `replay`.

use std::path::PathBuf;

use clap::Args;

use crate::units::parse_bytes;

pub(super) const EXAMPLES: &str = "\
Examples:
  aqueduct serve --record bug.rec                  until the bug shows
  aqueduct replay bug.rec                          does it the same again?
  aqueduct replay bug.rec --events --connection 3  what the application of one connection saw";

/// What is written down.
#[derive(Args, Clone, Debug)]
pub struct Record {
    /// Write what HTTP/3 is told and does to this file, for `replay` and for bug reports; bodies,
    /// paths and values of fields are masked, hosts are not, keys and peers' addresses are never in it
    #[arg(long, global = true, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// End the recording before it is longer than this, with a line that says so; up to there it can
    /// be replayed, and all else goes on
    #[arg(long, global = true, value_name = "SIZE", default_value = "256MiB", value_parser = parse_limit)]
    pub record_limit: u64,
    /// Keep bodies, paths and values of fields in the recording: passwords and cookies too
    #[arg(long, global = true, requires = "record")]
    pub record_secrets: bool,
    /// Record what HTTP/3 asks of QUIC too, for `replay --transport`; with secrets, to the byte
    #[arg(long, global = true, requires = "record")]
    pub record_transport: bool,
}

/// What of QUIC is traced.
#[cfg(feature = "qlog")]
#[derive(Args, Clone, Debug)]
pub struct Qlog {
    /// Write a QUIC trace of each connection to this folder
    #[arg(long, global = true, value_name = "DIR")]
    pub qlog: Option<PathBuf>,
    /// How long the traces of this run may be, together; they end there, all else goes on
    #[arg(long, global = true, value_name = "SIZE", default_value = "1GiB", value_parser = parse_limit)]
    pub qlog_limit: u64,
}

/// Options of `replay`.
#[derive(Args, Clone, Debug)]
pub struct Replay {
    /// The recording
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print each event with its time
    #[arg(long)]
    pub events: bool,
    /// Compare what HTTP/3 asks of QUIC, too; it has to be in the recording
    #[arg(long)]
    pub transport: bool,
    /// Only the connection of this number
    #[arg(long, value_name = "N")]
    pub connection: Option<u64>,
}

/// The shortest limit of a file.
const SHORTEST: u64 = 1 << 10;

/// The limit of a file that has to have a beginning and an end.
fn parse_limit(text: &str) -> Result<u64, String> {
    match parse_bytes(text)? {
        bytes if bytes < SHORTEST => Err("a file needs at least 1KiB".to_owned()),
        bytes => Ok(bytes),
    }
}
