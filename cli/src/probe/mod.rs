//! `aqueduct probe`: what a server speaks, and why a session would be refused.

mod certificate;
mod dialects;
mod report;

use std::time::Duration;

use aqueduct_tokio::error::OpenSessionError;
use aqueduct_tokio::protocol::error::RequestError;
use aqueduct_tokio::protocol::webtransport::{ConnectRequest, OpenSessionError as Refusal};

use crate::args::Probe;
use crate::certificate::Claims;
use crate::client::{Client, Dialer, closed};
use crate::exit::{Context as _, Exit, Failure};
use crate::identity::fingerprints;
use crate::output::{Output, unprinted};
use crate::record::Recording;
use crate::signals::Interrupt;
use certificate::Certificate;
use report::{Attempt, Report};

/// Connects, waits for the server's SETTINGS, tries a session, and tells all about it. A refused
/// session is a result, not a failure. So is a certificate that is not trusted: the rest is told all
/// the same, as nothing is sent that is anyone's secret, and the exit code says it.
pub async fn run(options: &Probe, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    let dialer = Dialer::new(&options.connect, recording, output)?
        .http(options.webtransport.client_config())
        .curious()?;
    let mut interrupt = Interrupt::listen().doing(|| "cannot listen for signals".to_owned())?;
    let work = async {
        let client = dialer.dial(&options.url).await?;
        let report = look(&client, &dialer, options).await?;
        client.close().await;
        Ok(report)
    };
    let report = interrupt.or(work).await;
    dialer.leave().await;
    let report = report?;
    output
        .result("probe", &report.to_text(), report.to_json())
        .map_err(unprinted)?;
    Ok(match report.certificate.objection {
        Some(_) => Exit::Certificate,
        None => Exit::Ok,
    })
}

async fn look(client: &Client, dialer: &Dialer, options: &Probe) -> Result<Report, Failure> {
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
    // They come with the end of the handshake, before the answer for the session.
    let tickets = tokio::time::timeout(Duration::ZERO, connection.ticket()).await;
    let certificates = connection.peer_certificates();
    let leaf = certificates.first();
    let certificate = Certificate {
        count: certificates.len(),
        fingerprints: leaf.map(fingerprints).transpose()?,
        claims: leaf.and_then(Claims::of),
        judged: !options.connect.insecure,
        objection: dialer.verdict().objection(),
    };
    Ok(Report {
        target: options.url.clone(),
        address: client.address(),
        handshake: client.handshake(),
        rtt: connection.rtt().unwrap_or_default(),
        alpn: connection
            .alpn()
            .map(|alpn| String::from_utf8_lossy(&alpn).into_owned()),
        certificate,
        tickets: tickets == Ok(true),
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
