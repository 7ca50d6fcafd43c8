//! `aqueduct wt`: a WebTransport session, and what is checked, measured or said in it.

mod echo;
mod ping;
mod talk;
mod throughput;

use aqueduct_tokio::Session;
use serde_json::json;

use crate::args::{Wt, WtCommand, WtEcho};
use crate::client::Dialer;
use crate::exit::{Context as _, Exit, Failure};
use crate::output::{Output, unprinted};
use crate::record::Recording;
use crate::signals::Interrupt;

/// Opens the session and does what was asked for.
pub async fn run(options: &Wt, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    let dialer = Dialer::new(&options.connect, recording, output)?
        .http(options.webtransport.client_config());
    let interrupt = Interrupt::listen().doing(|| "cannot listen for signals".to_owned())?;
    let done = visit(&dialer, options, output, interrupt).await;
    dialer.leave().await;
    done.map(|()| Exit::Ok)
}

/// Connects, does what was asked for, and takes its leave.
async fn visit(
    dialer: &Dialer,
    options: &Wt,
    output: Output,
    mut interrupt: Interrupt,
) -> Result<(), Failure> {
    let client = interrupt.or(dialer.dial(&options.url)).await?;
    let session = client.open_session(
        &options.url,
        &options.header,
        &options.webtransport,
        &options.connect,
    );
    let done = match interrupt.or(session).await {
        Ok(session) => {
            let done = match opened(&session, output) {
                Ok(()) => act(&session, options, output, interrupt).await,
                Err(failure) => Err(failure),
            };
            // It may have ended already, which is no longer of interest.
            let _ = session.close(0, "");
            done
        }
        Err(failure) => Err(failure),
    };
    client.close().await;
    done
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

async fn act(
    session: &Session,
    options: &Wt,
    output: Output,
    mut interrupt: Interrupt,
) -> Result<(), Failure> {
    let check = WtEcho::default();
    match &options.action {
        None => interrupt.or(echo::run(session, &check, output)).await,
        Some(WtCommand::Echo(options)) => interrupt.or(echo::run(session, options, output)).await,
        Some(WtCommand::Ping(options)) => ping::run(session, options, output, interrupt).await,
        Some(WtCommand::Throughput(options)) => {
            let work = throughput::run(session, options, output);
            interrupt.or(work).await
        }
        Some(WtCommand::Talk(options)) => interrupt.or(talk::run(session, options, output)).await,
    }
}
