//! `aqueduct wt`: a WebTransport session, and what is checked or measured in it.

mod echo;
mod ping;
mod throughput;

use aqueduct_tokio::Session;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use serde_json::json;

use crate::args::{Target, Wt, WtCommand, WtEcho};
use crate::client::{Client, Dialer, session_failed};
use crate::exit::{Exit, Failure};
use crate::output::{Output, unprinted};
use crate::record::Recording;

/// Opens the session and does what was asked for.
pub async fn run(options: &Wt, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    let dialer =
        Dialer::new(&options.connect, recording, output)?.http(options.webtransport.config());
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
        Ok(session) => match opened(session, output) {
            Ok(()) => act(session, options, output).await,
            Err(failure) => Err(failure),
        },
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
    request
        .protocols
        .clone_from(&options.webtransport.protocols);
    for (name, value) in &options.header {
        request.headers.append(name, value.clone());
    }
    let session = client.connection().open_session(request).await;
    session.map_err(|error| session_failed(doing(&options.url), error))
}

/// Tells what was negotiated: to programs always, to people with -v.
fn opened(session: &Session, output: Output) -> Result<(), Failure> {
    // A connection that ended meanwhile speaks none, which the action will tell.
    let Ok(agreed) = session.connection().negotiated() else {
        return Ok(());
    };
    let dialect = agreed.dialect.to_string();
    tracing::info!(
        dialect,
        flow_control = agreed.flow_control,
        protocol = session.protocol(),
        "the session is open"
    );
    if !output.is_json() {
        return Ok(());
    }
    let fields = json!({
        "dialect": dialect,
        "flow_control": agreed.flow_control,
        "protocol": session.protocol(),
    });
    output.result("session", "", fields).map_err(unprinted)
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
