//! `aqueduct wt throughput`: how fast streams carry data up, and the echo back down.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::{RecvStream, SendStream, Session};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::echo::complete;
use crate::args::WtThroughput;
use crate::client::{read_failed, stream_failed, write_failed};
use crate::demo::pattern::{CHUNK, Pattern, PatternCheck};
use crate::exit::{Context as _, Failure};
use crate::output::{Output, unprinted};
use crate::progress::{Progress, Transfer};
use crate::units;

const DOING: &str = "throughput";

/// What all streams share.
struct Run {
    start: Instant,
    up: Transfer,
    down: Transfer,
}

/// When a stream's two directions came to their end, since the start.
struct Ends {
    up: Duration,
    /// The first byte of the echo, if there was one, and the last.
    down: (Option<Duration>, Duration),
}

/// Sends the bytes on as many streams as asked for, at once, and reads their echo meanwhile.
pub(super) async fn run(
    session: &Session,
    options: &WtThroughput,
    output: Output,
) -> Result<(), Failure> {
    let progress = Progress::new(output.is_json());
    let run = Arc::new(Run {
        start: Instant::now(),
        up: progress.transfer("up", Some(options.bytes)),
        down: progress.transfer("down", Some(options.bytes)),
    });
    let mut running = JoinSet::new();
    for share in shares(options.bytes, options.streams) {
        running.spawn(stream(session.clone(), share, run.clone()));
    }
    let (mut up, mut first, mut last) = (Duration::ZERO, None, Duration::ZERO);
    while let Some(done) = running.join_next().await {
        let ends = done.doing(|| "a stream broke down".to_owned())??;
        up = up.max(ends.up);
        first = [first, ends.down.0].into_iter().flatten().min();
        last = last.max(ends.down.1);
    }
    drop(run);
    let path = session.connection().path().unwrap_or_default();
    let down = last.saturating_sub(first.unwrap_or_default());
    let text = format!(
        "{} on {} stream{}: up {} ({}), back down {} ({})\n\
         round trip {}, {} of {} packets lost, window {}",
        units::bytes(options.bytes),
        options.streams,
        if options.streams == 1 { "" } else { "s" },
        units::rate(options.bytes, up),
        units::duration(up),
        units::rate(options.bytes, down),
        units::duration(down),
        units::duration(path.rtt),
        path.packets_lost,
        path.packets_sent,
        units::bytes(path.congestion_window),
    );
    let rate =
        |time: Duration| (!time.is_zero()).then(|| options.bytes as f64 * 8.0 / time.as_secs_f64());
    let fields = json!({
        "bytes": options.bytes,
        "streams": options.streams,
        "up_seconds": up.as_secs_f64(),
        "up_bits_per_second": rate(up),
        "down_seconds": down.as_secs_f64(),
        "down_bits_per_second": rate(down),
        "rtt_ms": path.rtt.as_secs_f64() * 1e3,
        "packets_sent": path.packets_sent,
        "packets_lost": path.packets_lost,
    });
    output
        .result("throughput", &text, fields)
        .map_err(unprinted)
}

/// `bytes` in `streams` parts that differ by at most one.
fn shares(bytes: u64, streams: u16) -> impl Iterator<Item = u64> {
    let streams = u64::from(streams);
    (0..streams).map(move |at| bytes / streams + u64::from(at < bytes % streams))
}

async fn stream(session: Session, size: u64, run: Arc<Run>) -> Result<Ends, Failure> {
    let opened = session.open_bi().await;
    let (send, recv) = opened.map_err(|error| stream_failed(DOING.to_owned(), error))?;
    let (up, down) = tokio::try_join!(send_all(send, size, &run), receive_all(recv, size, &run))?;
    Ok(Ends { up, down })
}

async fn send_all(mut send: SendStream, size: u64, run: &Run) -> Result<Duration, Failure> {
    let failed = |error| write_failed(DOING.to_owned(), error);
    for chunk in Pattern::new(size) {
        let len = chunk.len() as u64;
        send.write_chunk(chunk).await.map_err(failed)?;
        run.up.add(len);
    }
    send.finish().map_err(failed)?;
    // Sent means acknowledged; what waits in a buffer does not count.
    match send.stopped().await {
        Ok(None) => Ok(run.start.elapsed()),
        Ok(Some(code)) => Err(failed(aqueduct_tokio::error::WriteError::Stopped(code))),
        Err(error) => Err(failed(error)),
    }
}

async fn receive_all(
    mut recv: RecvStream,
    size: u64,
    run: &Run,
) -> Result<(Option<Duration>, Duration), Failure> {
    let mut check = PatternCheck::default();
    let mut first = None;
    while let Some(chunk) = recv
        .read_chunk(CHUNK)
        .await
        .map_err(|error| read_failed(DOING.to_owned(), error))?
    {
        first.get_or_insert_with(|| run.start.elapsed());
        check
            .push(&chunk)
            .doing(|| format!("{DOING}: the echo differs"))?;
        run.down.add(chunk.len() as u64);
    }
    complete(DOING, check.received(), size)?;
    Ok((first, run.start.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        assert_eq!(shares(10, 4).collect::<Vec<_>>(), [3, 3, 2, 2]);
        assert_eq!(shares(2, 4).sum::<u64>(), 2);
        assert_eq!(shares(1 << 40, 1000).sum::<u64>(), 1 << 40);
    }
}
