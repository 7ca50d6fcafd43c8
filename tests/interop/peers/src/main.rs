//! WebTransport by other people's crates, to be driven by scripts.
//!
//! ```text
//! peers STACK client CASE URL --hash SHA256 [--protocols A,B] [NAME=VALUE...]
//! peers STACK server --cert FILE --key FILE [--protocols A,B]
//! ```
//!
//! STACK is `wtransport` or `web-transport-quinn`. A client does one thing, prints what it saw as
//! one JSON object and ends with status 0; what it did not expect goes to standard error with
//! status 1. A server prints a ready line with its address, then a JSON object for each event, and
//! ends when it is killed.

mod client;
mod codes;
mod peer;
mod server;
mod web_transport_quinn;
mod wtransport;

use std::process::ExitCode;
use std::time::Duration;

use peer::{Arguments, Result, Stack};

/// No case takes longer; a client that hangs must not outlive its script.
const PATIENCE: Duration = Duration::from_secs(45);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = tokio::task::LocalSet::new().run_until(run()).await;
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("wtransport") => act::<wtransport::Wtransport>(words).await,
        Some("web-transport-quinn") => act::<web_transport_quinn::WebTransportQuinn>(words).await,
        other => Err(format!("no such stack: {other:?}").into()),
    }
}

async fn act<S: Stack>(mut words: impl Iterator<Item = String>) -> Result<()> {
    match words.next().as_deref() {
        Some("client") => {
            let case = words.next().ok_or("which case?")?;
            let arguments = Arguments::parse(words)?;
            tokio::time::timeout(PATIENCE, client::run::<S>(&case, &arguments)).await?
        }
        Some("server") => server::run::<S>(&Arguments::parse(words)?).await,
        other => Err(format!("neither client nor server: {other:?}").into()),
    }
}
