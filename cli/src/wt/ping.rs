//! `aqueduct wt ping`: round-trip times of datagrams.

use std::time::Duration;

use aqueduct_tokio::Session;
use aqueduct_tokio::error::DatagramError;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::args::WtPing;
use crate::client::{datagram_failed, session_closed};
use crate::exit::{Exit, Failure};
use crate::output::{Output, unprinted};
use crate::roundtrips::{Reply, RoundTrips};
use crate::signals::Interrupt;
use crate::units;

/// Sends `count` datagrams, prints each reply, and the statistics at the end or on a signal.
pub(super) async fn run(
    session: &Session,
    options: &WtPing,
    output: Output,
    mut interrupt: Interrupt,
) -> Result<(), Failure> {
    let doing = || "ping".to_owned();
    let start = Instant::now();
    let mut trips = RoundTrips::new(usize::from(options.size));
    // An interval of zero would panic, and a smaller one than this is a flood anyway.
    let mut ticks = interval(options.interval.max(Duration::from_micros(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut left = options.count;
    let mut patience = start;
    loop {
        tokio::select! {
            _ = ticks.tick(), if left > 0 => {
                left -= 1;
                patience = Instant::now() + options.timeout;
                send(session, &mut trips, start)?;
            }
            received = session.recv_datagram() => {
                let payload = received.map_err(|close| session_closed(doing(), &close))?;
                let now = start.elapsed();
                if let Reply::Answer { number, time } = trips.receive(&payload, now) {
                    reply(output, payload.len(), number, time)?;
                }
                if left == 0 && trips.is_complete() {
                    break;
                }
            }
            () = sleep_until(patience), if left == 0 => break,
            _ = interrupt.came() => break,
        }
    }
    let summary = trips.summary();
    output
        .result("ping", &summary.to_text(), summary.to_json())
        .map_err(unprinted)?;
    if summary.received == 0 {
        return Err(Failure::new(Exit::Failure, "no datagram came back"));
    }
    Ok(())
}

fn send(session: &Session, trips: &mut RoundTrips, start: Instant) -> Result<(), Failure> {
    let payload = trips.send(start.elapsed());
    match session.send_datagram(&payload) {
        // A full buffer loses it, as the network might: the statistics show that.
        Ok(()) | Err(DatagramError::Blocked) => Ok(()),
        Err(error) => Err(datagram_failed(session, payload.len(), error)),
    }
}

fn reply(output: Output, len: usize, number: u64, time: Duration) -> Result<(), Failure> {
    let text = format!(
        "{len} bytes back: number {number}, {}",
        units::duration(time)
    );
    let fields = json!({ "number": number, "bytes": len, "ms": time.as_secs_f64() * 1e3 });
    output.result("reply", &text, fields).map_err(unprinted)
}
