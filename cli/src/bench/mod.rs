//! `aqueduct bench`: how many requests a server answers, and how fast; or what a session carries.

mod load;
mod tally;

use std::sync::Arc;

use aqueduct_tokio::Session;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::{Bench, Data, WtLoad};
use crate::client::{Client, Dialer};
use crate::demo::pattern::byte_at;
use crate::exit::{Context as _, Exit, Failure};
use crate::output::{Output, unprinted};
use crate::record::Recording;
use crate::signals::Interrupt;
use load::Work;
use tally::Tally;

/// Asks as often as told, and prints what came of it: also when a signal ends it before.
pub async fn run(options: &Bench, recording: &Recording, output: Output) -> Result<Exit, Failure> {
    let mut dialer = Dialer::new(&options.connect, recording, output)?;
    if options.wt.is_some() {
        dialer = dialer.http(options.webtransport.client_config());
    }
    let body = body(options)?;
    let mut interrupt = Interrupt::listen().doing(|| "cannot listen for signals".to_owned())?;
    let done = interrupt.or(measure(&dialer, options, body, output)).await;
    dialer.leave().await;
    done
}

/// Connects all, has them ask, and prints.
async fn measure(
    dialer: &Dialer,
    options: &Bench,
    body: Option<Bytes>,
    output: Output,
) -> Result<Exit, Failure> {
    let mut tally = Tally::default();
    let mut clients = Vec::new();
    for _ in 0..options.connections {
        let client = dialer.dial(&options.url).await?;
        tally.connects.record(client.handshake());
        let session = match options.wt {
            Some(_) => Some(
                client
                    .open_session(
                        &options.url,
                        &options.header,
                        &options.webtransport,
                        &options.connect,
                    )
                    .await?,
            ),
            None => None,
        };
        clients.push((client, session));
    }
    let begun = Instant::now();
    let until = options.duration.map(|time| begun + time);
    let work = Arc::new(Work::new(options.requests, until, options.timeout));
    let mut running = JoinSet::new();
    for (client, session) in &clients {
        begin(
            &mut running,
            options,
            client,
            session.as_ref(),
            body.clone(),
            &work,
        );
    }
    while let Some(done) = running.join_next().await {
        tally.add(done.doing(|| "one who asks broke down".to_owned())?);
    }
    let elapsed = begun.elapsed();
    if work.left() > 0 {
        tally.fail(work.left(), "there was no connection left");
    }
    for (client, session) in clients {
        // It may have ended already, which is no longer of interest.
        let _ = session.map(|session| session.close(0, ""));
        client.close().await;
    }
    print(options, &tally, elapsed, output)?;
    conclude(&tally)
}

/// Begins all that ask on one connection.
fn begin(
    running: &mut JoinSet<Tally>,
    options: &Bench,
    client: &Client,
    session: Option<&Session>,
    body: Option<Bytes>,
    work: &Arc<Work>,
) {
    if let (Some(WtLoad::Datagrams), Some(session)) = (options.wt, session) {
        let at_once = usize::from(options.streams);
        let size = options.echo_size(WtLoad::Datagrams);
        running.spawn(load::datagrams(
            session.clone(),
            work.clone(),
            at_once,
            size,
        ));
        return;
    }
    let payload: Bytes = match options.wt {
        Some(load) => (0..options.echo_size(load) as u64).map(byte_at).collect(),
        None => Bytes::new(),
    };
    let request = request(options, body.as_ref());
    for _ in 0..options.streams {
        let work = work.clone();
        match session {
            Some(session) => {
                let (session, payload) = (session.clone(), payload.clone());
                running.spawn(load::repeat(work, move || {
                    load::stream(session.clone(), payload.clone())
                }));
            }
            None => {
                let connection = client.connection().clone();
                let (request, body) = (request.clone(), body.clone());
                running.spawn(load::repeat(work, move || {
                    load::request(connection.clone(), request.clone(), body.clone())
                }));
            }
        }
    }
}

/// The body of each request, in memory.
fn body(options: &Bench) -> Result<Option<Bytes>, Failure> {
    Ok(match &options.data {
        None => None,
        Some(Data::Text(text)) => Some(text.clone().into()),
        Some(Data::File(path)) => {
            let read = std::fs::read(path);
            Some(
                read.doing(|| format!("cannot read `{}`", path.display()))?
                    .into(),
            )
        }
    })
}

fn request(options: &Bench, body: Option<&Bytes>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = match (&options.method, body) {
        (Some(method), _) => method.clone(),
        (None, Some(_)) => Method::POST,
        (None, None) => Method::GET,
    };
    *request.uri_mut() = options.url.uri_for(request.method());
    let fields = request.headers_mut();
    for (name, value) in &options.header {
        fields.append(name, value.clone());
    }
    if let Some(body) = body {
        fields
            .entry(header::CONTENT_LENGTH)
            .or_insert_with(|| body.len().into());
    }
    let ours = concat!("aqueduct-bench/", env!("CARGO_PKG_VERSION"));
    fields
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(ours));
    request
}

fn print(
    options: &Bench,
    tally: &Tally,
    elapsed: std::time::Duration,
    output: Output,
) -> Result<(), Failure> {
    let what = match options.wt {
        None => "requests",
        Some(WtLoad::Streams) => "streams",
        Some(WtLoad::Datagrams) => "datagrams",
    };
    let mut fields = json!({
        "url": options.url.to_string(),
        "what": what,
        "connections": options.connections,
        "at_once": options.streams,
    });
    if let (Some(fields), Some(more)) = (fields.as_object_mut(), tally.to_json(elapsed).as_object())
    {
        fields.extend(more.clone());
    }
    let text = tally.to_text(what, elapsed);
    output.result("bench", &text, fields).map_err(unprinted)
}

fn conclude(tally: &Tally) -> Result<Exit, Failure> {
    if let Some(why) = &tally.why {
        let what = format!("{} failed; the first: {why}", tally.failed);
        return Err(Failure::new(Exit::Failure, what));
    }
    match tally.refused() {
        0 => Ok(Exit::Ok),
        refused => {
            let what = format!("{refused} answers have an error status");
            Err(Failure::new(Exit::Refused, what))
        }
    }
}
