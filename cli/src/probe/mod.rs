//! `aqueduct probe`: what a server speaks, and why a session would be refused.

mod dialects;
mod report;

use aqueduct_tokio::error::OpenSessionError;
use aqueduct_tokio::protocol::error::RequestError;
use aqueduct_tokio::protocol::webtransport::{ConnectRequest, OpenSessionError as Refusal};

use crate::args::Probe;
use crate::client::{Client, Dialer, closed};
use crate::exit::{Exit, Failure};
use crate::identity::fingerprints;
use crate::output::{Output, unprinted};
use crate::record::Recording;
use report::{Attempt, Report};

/// Connects, waits for the server's SETTINGS, tries a session, and tells all about it. A refused
/// session is a result, not a failure.
pub async fn run(options: &Probe, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    let client = Dialer::new(&options.connect, recording, output)?
        .http(options.webtransport.config())
        .dial(&options.url)
        .await?;
    let report = look(&client, options).await;
    let report = match report {
        Ok(report) => report,
        Err(failure) => {
            client.abandon().await;
            return Err(failure);
        }
    };
    client.close().await;
    output
        .result("probe", &report.to_text(), report.to_json())
        .map_err(unprinted)?;
    Ok(Exit::Ok)
}

async fn look(client: &Client, options: &Probe) -> Result<Report, Failure> {
    let connection = client.connection();
    let limit = options.connect.connect_timeout;
    let settings = tokio::time::timeout(limit, connection.settings())
        .await
        .map_err(|_| {
            let limit = crate::units::duration(limit);
            let what = format!("{} sent no HTTP/3 SETTINGS within {limit}", options.url);
            Failure::new(Exit::Failure, what)
        })?;
    let settings = settings
        .map_err(|reason| closed(format!("no HTTP/3 SETTINGS from {}", options.url), &reason))?;
    let attempt = tokio::time::timeout(limit, attempt(client, options)).await;
    let certificates = connection.peer_certificates();
    let leaf = certificates.first().map(fingerprints).transpose()?;
    Ok(Report {
        target: options.url.clone(),
        address: client.address(),
        handshake: client.handshake(),
        rtt: connection.rtt().unwrap_or_default(),
        alpn: connection
            .alpn()
            .map(|alpn| String::from_utf8_lossy(&alpn).into_owned()),
        certificates: certificates.len(),
        fingerprints: leaf,
        parameters: connection.peer_parameters(),
        settings,
        attempt: attempt.unwrap_or(Attempt::Unanswered),
    })
}

/// Opens a session at the URL and closes it.
async fn attempt(client: &Client, options: &Probe) -> Attempt {
    let mut request = ConnectRequest::new(options.url.uri().clone());
    request
        .protocols
        .clone_from(&options.webtransport.protocols);
    match client.connection().open_session(request).await {
        Ok(session) => {
            let max_datagram_size = session.max_datagram_size();
            let agreed = client.connection().negotiated().ok();
            let protocol = session.protocol().map(str::to_owned);
            // The report is about how it was opened.
            let _ = session.close(0, "");
            Attempt::Opened {
                max_datagram_size,
                agreed,
                protocol,
            }
        }
        Err(OpenSessionError::Rejected { status, .. }) => Attempt::Rejected(status),
        Err(OpenSessionError::Refused(why)) => {
            // Everything that is missing, on either side, when that is the cause.
            let missing = client.connection().negotiated().err();
            let words = missing.map_or_else(|| explain(why).to_owned(), |it| it.to_string());
            Attempt::Impossible(why, words)
        }
        Err(other) => Attempt::Failed(other.to_string()),
    }
}

/// What stands in the way when nothing is missing.
fn explain(why: Refusal) -> &'static str {
    match why {
        Refusal::Request(RequestError::Draining) => {
            "it is shutting down (GOAWAY); another connection may work"
        }
        Refusal::TooManySessions => "it allows no session at all (MAX_SESSIONS)",
        _ => "nothing was sent",
    }
}
