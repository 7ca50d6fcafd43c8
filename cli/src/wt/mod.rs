//! `aqueduct wt`: a WebTransport session, and what is checked or measured in it.

mod echo;
mod ping;
mod throughput;

use aqueduct_tokio::Session;
use aqueduct_tokio::core::head::ConnectRequest;

use crate::args::{Target, Wt, WtCommand, WtEcho};
use crate::client::{Client, Dialer, session_failed};
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Opens the session and does what was asked for.
pub async fn run(options: &Wt, output: Output) -> Result<Exit, Failure> {
    let dialer = Dialer::new(&options.connect, output)?;
    let client = dialer.dial(&options.url).await?;
    let limit = options.connect.connect_timeout;
    let session = tokio::time::timeout(limit, open(&client, options))
        .await
        .unwrap_or_else(|_| {
            let limit = crate::units::duration(limit);
            let what = format!("no answer to the session at {} within {limit}", options.url);
            Err(Failure::new(Exit::Failure, what))
        });
    let done = match &session {
        Ok(session) => act(session, options, output).await,
        Err(_) => Ok(()),
    };
    if let Ok(session) = &session {
        // It may have ended already, which is no longer of interest.
        let _ = session.close(0, "");
    }
    let session = session.map(drop);
    client.close().await;
    session.and(done).map(|()| Exit::Ok)
}

async fn open(client: &Client, options: &Wt) -> Result<Session, Failure> {
    let mut request = ConnectRequest::new(options.url.uri().clone());
    for (name, value) in &options.header {
        request.headers.append(name, value.clone());
    }
    let session = client.connection().open_session(request).await;
    session.map_err(|error| session_failed(doing(&options.url), error))
}

fn doing(target: &Target) -> String {
    format!("cannot open a session at {target}")
}

async fn act(session: &Session, options: &Wt, output: Output) -> Result<(), Failure> {
    match &options.action {
        None => echo::run(session, &WtEcho::default(), output).await,
        Some(WtCommand::Echo(options)) => echo::run(session, options, output).await,
        Some(WtCommand::Ping(options)) => ping::run(session, options, output).await,
        Some(WtCommand::Throughput(options)) => throughput::run(session, options, output).await,
    }
}

/// A result that could not be printed.
fn unprinted(error: std::io::Error) -> Failure {
    Failure::because(Exit::Failure, "cannot write to standard output", error)
}
