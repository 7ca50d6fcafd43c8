//! Those who ask, and what they ask for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aqueduct_tokio::error::DatagramError;
use aqueduct_tokio::{Connection, Session};
use bytes::Bytes;
use http::{Request, StatusCode};
use tokio::time::{Instant, sleep_until, timeout};

use super::tally::Tally;
use crate::demo::pattern::byte_at;

/// How much is asked for, shared by all who ask.
#[derive(Debug)]
pub(super) struct Work {
    left: AtomicU64,
    /// When it ends, where that is told.
    pub(super) until: Option<Instant>,
    /// How long an answer may take.
    pub(super) patience: Duration,
}

impl Work {
    /// So many, or as many as there are until a time.
    pub(super) fn new(count: u64, until: Option<Instant>, patience: Duration) -> Self {
        Self {
            left: AtomicU64::new(if until.is_some() { u64::MAX } else { count }),
            until,
            patience,
        }
    }

    /// Whether one more is to be asked for.
    fn take(&self) -> bool {
        let one = |left: u64| left.checked_sub(1);
        let taken = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one);
        taken.is_ok() && !self.is_over()
    }

    /// What nobody asked for.
    pub(super) fn left(&self) -> u64 {
        match self.until {
            Some(_) => 0,
            None => self.left.load(Ordering::Relaxed),
        }
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }

    async fn over(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

/// Does one thing after the other until there is no more, or it does not work any more.
pub(super) async fn repeat<F>(work: Arc<Work>, ask: impl Fn() -> F) -> Tally
where
    F: Future<Output = Result<Answer, String>>,
{
    let mut tally = Tally::default();
    while work.take() {
        let begun = Instant::now();
        let answer = tokio::select! {
            answer = timeout(work.patience, ask()) => answer,
            // What is under way does not count.
            () = work.over() => break,
        };
        match answer {
            Ok(Ok(answer)) => {
                tally.done += 1;
                tally.received += answer.received;
                tally.sent += answer.sent;
                tally.times.record(begun.elapsed());
                if let Some(first) = answer.first {
                    tally.first.record(first.saturating_duration_since(begun));
                }
                let class = answer
                    .status
                    .map(|status| usize::from(status.as_u16() / 100));
                let class = class.and_then(|class| tally.classes.get_mut(class.checked_sub(1)?));
                if let Some(class) = class {
                    *class += 1;
                }
            }
            Ok(Err(why)) => {
                tally.fail(1, &why);
                if work.is_over() {
                    break;
                }
                // Without a connection all fail at once, and nobody else has a turn.
                tokio::task::yield_now().await;
            }
            Err(_) => tally.fail(1, "no answer in time"),
        }
    }
    tally
}

/// What was asked for.
#[derive(Debug)]
pub(super) struct Answer {
    status: Option<StatusCode>,
    /// When its head was there.
    first: Option<Instant>,
    received: u64,
    sent: u64,
}

/// A request, and its answer to the end.
pub(super) async fn request(
    connection: Connection,
    request: Request<()>,
    body: Option<Bytes>,
) -> Result<Answer, String> {
    let sent = body.as_ref().map_or(0, |body| body.len() as u64);
    let mut answer = match body {
        None => {
            let exchange = connection.request_empty(request).await;
            exchange.map_err(|error| error.to_string())?.split().1
        }
        Some(body) => {
            let exchange = connection.request(request).await;
            let (mut sender, answer) = exchange.map_err(|error| error.to_string())?.split();
            // An answer may begin before the body ends; what comes then waits in the window.
            sender
                .send_data(body)
                .await
                .map_err(|error| error.to_string())?;
            sender.finish().map_err(|error| error.to_string())?;
            answer
        }
    };
    let head = answer
        .recv_response()
        .await
        .map_err(|error| error.to_string())?;
    let first = Instant::now();
    let mut body = answer.into_body();
    let mut received = 0;
    while let Some(chunk) = body.recv_data().await.map_err(|error| error.to_string())? {
        received += chunk.len() as u64;
    }
    Ok(Answer {
        status: Some(head.status()),
        first: Some(first),
        received,
        sent,
    })
}

/// A stream, and its echo to the end.
pub(super) async fn stream(session: Session, payload: Bytes) -> Result<Answer, String> {
    let sent = payload.len() as u64;
    let (mut send, mut recv) = session.open_bi().await.map_err(|error| error.to_string())?;
    let up = async {
        send.write_chunk(payload)
            .await
            .map_err(|error| error.to_string())?;
        send.finish().map_err(|error| error.to_string())
    };
    let down = async {
        let (mut received, mut first) = (0, None);
        while let Some(chunk) = recv
            .read_chunk(64 << 10)
            .await
            .map_err(|error| error.to_string())?
        {
            first.get_or_insert_with(Instant::now);
            received += chunk.len() as u64;
        }
        Ok::<_, String>((received, first))
    };
    let ((), (received, first)) = tokio::try_join!(up, down)?;
    if received != sent {
        return Err(format!("{received} of {sent} bytes came back"));
    }
    Ok(Answer {
        status: None,
        first,
        received,
        sent,
    })
}

/// Datagrams, so many of them under way at once.
pub(super) async fn datagrams(
    session: Session,
    work: Arc<Work>,
    at_once: usize,
    size: usize,
) -> Tally {
    let mut tally = Tally::default();
    let mut under_way: BTreeMap<u64, Instant> = BTreeMap::new();
    let (mut number, mut more) = (0_u64, true);
    let mut payload: Vec<u8> = (0..size as u64).map(byte_at).collect();
    loop {
        while more && under_way.len() < at_once {
            more = work.take();
            if !more {
                break;
            }
            for (place, byte) in payload.iter_mut().zip(number.to_be_bytes()) {
                *place = byte;
            }
            match session.send_datagram(&payload) {
                // A full buffer loses it, as the network might.
                Ok(()) | Err(DatagramError::Blocked) => {
                    tally.sent += size as u64;
                    under_way.insert(number, Instant::now());
                }
                Err(error) => {
                    tally.fail(1, &error.to_string());
                    more = false;
                }
            }
            number += 1;
        }
        // Numbers grow with time: the first is the oldest.
        let Some(oldest) = under_way.values().next().copied() else {
            return tally;
        };
        tokio::select! {
            received = session.recv_datagram() => match received {
                Ok(echo) => {
                    let number = echo.first_chunk().map(|number| u64::from_be_bytes(*number));
                    let sent = number.and_then(|number| under_way.remove(&number));
                    if let Some(sent) = sent.filter(|_| echo.len() == size) {
                        tally.done += 1;
                        tally.received += size as u64;
                        tally.times.record(sent.elapsed());
                    }
                }
                Err(close) => {
                    tally.fail(under_way.len() as u64, &close.to_string());
                    return tally;
                }
            },
            () = sleep_until(oldest + work.patience) => {
                let lost = under_way.len();
                under_way.retain(|_, sent| sent.elapsed() < work.patience);
                tally.fail((lost - under_way.len()) as u64, "a datagram did not come back");
            }
            () = work.over() => return tally,
        }
    }
}
