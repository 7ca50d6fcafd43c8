//! `aqueduct quic`: a connection of QUIC with whatever protocol of its own, by hand.

mod connect;
mod echo;
mod half;
mod listen;
mod pipe;
mod shown;
mod talk;

use std::time::Duration;

use aqueduct_tokio::protocol::behaviour::Config;
use aqueduct_tokio::protocol::error::CloseReason;
use aqueduct_tokio::protocol::escape::escaped;

use crate::args::{Quic, QuicCommand};
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::record::Recording;

/// How long the last packets may take to leave.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long what has come may wait for whoever reads standard output: as long as they like.
const READER: Duration = Duration::from_secs(365 * 86_400);

/// Does what was asked for.
pub async fn run(options: &Quic, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    match &options.command {
        QuicCommand::Connect(options) => connect::run(options, recording, output).await,
        QuicCommand::Listen(options) => listen::run(options, output).await,
    }
}

/// Bounds of a connection whose reader is whoever reads standard output.
fn for_a_reader() -> Config {
    let mut config = Config::new();
    config.linger = READER;
    config
}

/// How a connection ended, in words. Codes are the protocol's own, and have no names here.
pub(crate) fn ended(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Remote { code, reason } if reason.is_empty() => {
            format!("closed by the peer with code {}", code.value())
        }
        CloseReason::Remote { code, reason } => {
            format!(
                "closed by the peer with code {}: {}",
                code.value(),
                escaped(reason)
            )
        }
        CloseReason::Local { code, .. } => format!("closed by us with code {}", code.value()),
        other => other.to_string(),
    }
}
