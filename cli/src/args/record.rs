//! Recordings: `--record` of the commands that talk, and `replay`.

use std::path::PathBuf;

use clap::Args;

pub(super) const EXAMPLES: &str = "\
Examples:
  aqueduct serve --record bug.rec                  until the bug shows
  aqueduct replay bug.rec                          does it the same again?
  aqueduct replay bug.rec --events --connection 3  what the application of one connection saw";

/// What is written down.
#[derive(Args, Clone, Debug, Default)]
pub struct Record {
    /// Write what HTTP/3 is told and does to this file, for `replay` and for bug reports; bodies,
    /// paths and values of fields are masked, hosts are not, keys and peers' addresses are never in it
    #[arg(long, global = true, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Keep bodies, paths and values of fields in the recording: passwords and cookies too
    #[arg(long, global = true, requires = "record")]
    pub record_secrets: bool,
    /// Record what HTTP/3 asks of QUIC too, for `replay --transport`; with secrets, to the byte
    #[arg(long, global = true, requires = "record")]
    pub record_transport: bool,
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
