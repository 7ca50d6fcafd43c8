//! `aqueduct replay`: a recording gone through again.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use aqueduct_record::{RecordedConnection, Recording, ReplayError, Replayed};
use serde_json::json;

use crate::args::Replay;
use crate::exit::{Context as _, Exit, Failure};
use crate::output::{Output, unprinted};
use crate::units;

/// Replays every connection of the file, or the one asked for.
///
/// # Errors
/// When the file is no recording, or a connection does not behave as it did; the others are
/// replayed all the same.
pub fn run(options: &Replay, output: Output) -> Result<Exit, Failure> {
    let named = || format!("cannot replay `{}`", options.file.display());
    let text = fs::read_to_string(&options.file).doing(named)?;
    let recording = Recording::read(&text).doing(named)?;
    let wanted = |connection: &&RecordedConnection<'_>| {
        options
            .connection
            .is_none_or(|number| number == connection.number())
    };
    let (mut tried, mut failure) = (0, None);
    for connection in recording.connections().iter().filter(wanted) {
        tried += 1;
        let result = replay(connection, options, output).map_err(unprinted)?;
        match result.doing(|| format!("connection {} does not replay", connection.number())) {
            Ok(replayed) => report(connection, replayed, output).map_err(unprinted)?,
            // One is returned, the others are told now.
            Err(why) => {
                if let Some(earlier) = failure.replace(why) {
                    output.failure(&earlier);
                }
            }
        }
    }
    match (failure, options.connection) {
        (Some(failure), _) => Err(failure),
        (None, Some(number)) if tried == 0 => {
            let why = format!("{}: it has no connection {number}", named());
            Err(Failure::new(Exit::Failure, why))
        }
        (None, _) => Ok(Exit::Ok),
    }
}

/// Replays one connection; the outer failure is that of standard output.
fn replay(
    connection: &RecordedConnection<'_>,
    options: &Replay,
    output: Output,
) -> io::Result<Result<Replayed, ReplayError>> {
    let number = connection.number();
    let mut written = Ok(());
    let mut tell = |at: Duration, event: &str| {
        if options.events && written.is_ok() {
            let seconds = at.as_secs_f64();
            let text = format!("{number} {seconds:>12.6} {event}");
            let fields = json!({ "connection": number, "seconds": seconds, "what": event });
            written = output.result("event", &text, fields);
        }
    };
    let now = Instant::now();
    let result = match options.transport {
        true => connection.replay_transport(now, &mut tell),
        false => connection.replay(now, &mut tell),
    };
    written.map(|()| result)
}

fn report(
    connection: &RecordedConnection<'_>,
    replayed: Replayed,
    output: Output,
) -> io::Result<()> {
    let number = connection.number();
    let side = connection.side();
    let Replayed {
        inputs,
        events,
        span,
        complete,
        ..
    } = replayed;
    let end = match complete {
        true => "",
        false => "; the recording stops before its end",
    };
    let span_text = units::duration(span);
    let text = format!(
        "connection {number} ({side}): {inputs} inputs and {events} events in {span_text}, the same again{end}"
    );
    let fields = json!({
        "connection": number,
        "side": side.to_string(),
        "inputs": inputs,
        "events": events,
        "seconds": span.as_secs_f64(),
        "complete": complete,
    });
    output.result("replayed", &text, fields)
}
