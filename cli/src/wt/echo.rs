//! `aqueduct wt echo`: what is sent must come back, byte for byte.

use std::time::Duration;

use aqueduct_tokio::{RecvStream, SendStream, Session};
use serde_json::json;
use tokio::task::JoinSet;

use crate::args::{Carrier, WtEcho};
use crate::client::{datagram_failed, read_failed, session_closed, stream_failed, write_failed};
use crate::demo::pattern::{CHUNK, Pattern, PatternCheck};
use crate::exit::{Context as _, Exit, Failure};
use crate::output::{Output, unprinted};
use crate::roundtrips::{MIN_SIZE, Reply, RoundTrips};
use crate::units;

/// Datagrams may be lost: how often each is sent before the check fails.
const TRIES: u32 = 5;
/// Bytes of a datagram, or fewer when less fits.
const DATAGRAM: usize = 1000;

/// Checks each carrier that was asked for, in the order they were named.
pub(super) async fn run(
    session: &Session,
    options: &WtEcho,
    output: Output,
) -> Result<(), Failure> {
    for carrier in &options.only {
        let begun = tokio::time::Instant::now();
        let (name, bytes) = match carrier {
            Carrier::Bidi => ("bidi", streams(session, options, *carrier).await?),
            Carrier::Uni => ("uni", streams(session, options, *carrier).await?),
            Carrier::Datagram => ("datagram", datagrams(session, options).await?),
        };
        let time = begun.elapsed();
        let text = format!(
            "{name:<8} ok  {} × {} came back in {}",
            options.count,
            units::bytes(bytes),
            units::duration(time)
        );
        let fields = json!({
            "kind": name,
            "count": options.count,
            "bytes": bytes,
            "seconds": time.as_secs_f64(),
        });
        output.result("echo", &text, fields).map_err(unprinted)?;
    }
    Ok(())
}

async fn in_time<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = units::duration(limit);
        Err(Failure::new(
            Exit::Failure,
            format!("{what}: no echo within {limit}"),
        ))
    })
}

/// Echoes on `count` streams side by side; returns the bytes on each.
async fn streams(session: &Session, options: &WtEcho, kind: Carrier) -> Result<u64, Failure> {
    let WtEcho {
        size,
        count,
        timeout,
        ..
    } = *options;
    let mut running = JoinSet::new();
    for _ in 0..count {
        let session = session.clone();
        running.spawn(async move {
            match kind {
                Carrier::Bidi => {
                    in_time(timeout, "bidirectional stream", bidi(session, size)).await
                }
                _ => in_time(timeout, "unidirectional stream", uni(session, size)).await,
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.doing(|| "an echo check broke down".to_owned())??;
    }
    Ok(size)
}

async fn bidi(session: Session, size: u64) -> Result<(), Failure> {
    let doing = "bidirectional stream";
    let opened = session.open_bi().await;
    let (send, recv) = opened.map_err(|error| stream_failed(doing.to_owned(), error))?;
    tokio::try_join!(write(doing, send, size), check(doing, recv, size)).map(drop)
}

async fn uni(session: Session, size: u64) -> Result<(), Failure> {
    let doing = "unidirectional stream";
    let opened = session.open_uni().await;
    let send = opened.map_err(|error| stream_failed(doing.to_owned(), error))?;
    let answer = async {
        // Streams of equal content: which answer belongs to which does not matter.
        let accepted = session.accept_uni().await;
        let recv = accepted.map_err(|close| session_closed(doing.to_owned(), &close))?;
        check(doing, recv, size).await
    };
    tokio::try_join!(write(doing, send, size), answer).map(drop)
}

async fn write(doing: &str, mut send: SendStream, size: u64) -> Result<(), Failure> {
    let failed = |error| write_failed(doing.to_owned(), error);
    for chunk in Pattern::new(size) {
        send.write_chunk(chunk).await.map_err(failed)?;
    }
    send.finish().map_err(failed)
}

async fn check(doing: &str, mut recv: RecvStream, size: u64) -> Result<(), Failure> {
    let mut check = PatternCheck::default();
    while let Some(chunk) = recv
        .read_chunk(CHUNK)
        .await
        .map_err(|error| read_failed(doing.to_owned(), error))?
    {
        check
            .push(&chunk)
            .doing(|| format!("{doing}: the echo differs"))?;
    }
    complete(doing, check.received(), size)
}

pub(super) fn complete(doing: &str, received: u64, size: u64) -> Result<(), Failure> {
    if received == size {
        return Ok(());
    }
    let what = format!("{doing}: {received} bytes came back, not {size}");
    Err(Failure::new(Exit::Failure, what))
}

/// Echoes `count` datagrams one after the other; returns the bytes of each.
async fn datagrams(session: &Session, options: &WtEcho) -> Result<u64, Failure> {
    let doing = "datagram";
    let Some(most) = session.max_datagram_size() else {
        return Err(Failure::new(
            Exit::Failure,
            "datagram: the session carries none",
        ));
    };
    let size = DATAGRAM.min(most).max(MIN_SIZE);
    let start = tokio::time::Instant::now();
    let mut trips = RoundTrips::new(size);
    for _ in 0..options.count {
        let answered = trips.summary().received + 1;
        let mut tries = TRIES;
        while trips.summary().received < answered {
            if tries == 0 {
                let what = format!(
                    "{doing}: {TRIES} of {size} bytes sent, none came back within {}",
                    units::duration(options.timeout)
                );
                return Err(Failure::new(Exit::Failure, what));
            }
            tries -= 1;
            let payload = trips.send(start.elapsed());
            let sent = session.send_datagram_wait(&payload).await;
            sent.map_err(|error| datagram_failed(session, size, error))?;
            let answer = receive(session, &mut trips, start);
            if let Ok(done) = tokio::time::timeout(options.timeout / TRIES, answer).await {
                done?;
            }
        }
    }
    Ok(size as u64)
}

async fn receive(
    session: &Session,
    trips: &mut RoundTrips,
    start: tokio::time::Instant,
) -> Result<(), Failure> {
    loop {
        let received = session.recv_datagram().await;
        let payload = received.map_err(|close| session_closed("datagram".to_owned(), &close))?;
        match trips.receive(&payload, start.elapsed()) {
            Reply::Answer { .. } => return Ok(()),
            Reply::Duplicate(_) => {}
            Reply::Foreign => {
                let what = format!("datagram: {} bytes came that were not sent", payload.len());
                return Err(Failure::new(Exit::Failure, what));
            }
        }
    }
}
