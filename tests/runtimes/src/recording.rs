//! What one end was fed and did, kept in memory, and gone through again.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aqueduct_core::endpoint::EndpointConfig;
use aqueduct_record::{Options, RecordSink, Recording, Replayed, recorder};

use crate::trace::Trace;

/// The recording of the endpoints of one end; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Tape(Arc<Mutex<Vec<u8>>>);

impl Tape {
    /// The configuration of an endpoint that is recorded here, whole: what is
    /// replayed is what the adapter was fed, to the byte.
    #[must_use]
    pub fn of(&self, config: EndpointConfig) -> EndpointConfig {
        let tape = self.clone();
        let options = Options::default().secrets(true).transport(true);
        config.observe(recorder(options, move || {
            Some(RecordSink::new(tape.clone()))
        }))
    }

    /// Replays the only connection, offline, and compares all it says to QUIC.
    ///
    /// # Panics
    /// When there is another number of them, or when the core, fed with what the
    /// adapter was fed, does otherwise than it did there.
    #[must_use]
    pub fn replay(&self) -> Replay {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let text = std::str::from_utf8(&text).expect("lines of text");
        let recording = Recording::read(text).expect("a recording");
        let [connection] = recording.connections() else {
            panic!("{} connections", recording.connections().len());
        };
        let mut events = Vec::new();
        let replayed = connection.replay_transport(Instant::now(), &mut |_, event| {
            events.push(event.to_owned());
        });
        let replayed = replayed.unwrap_or_else(|error| panic!("{error}"));
        Replay { replayed, events }
    }
}

impl Write for Tape {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.extend_from_slice(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A replay that went as the recording did.
#[derive(Debug)]
pub struct Replay {
    /// What the replay counts.
    pub replayed: Replayed,
    /// The events in words of the recording, all of them.
    events: Vec<String>,
}

/// Events that tell where something can go on: how many there are is the affair of
/// the network and of who asks when.
const GOES_ON: [&str; 6] = [
    "readable",
    "writable",
    "delivered",
    "datagrams",
    "datagrams-unblocked",
    "streams-available",
];

impl Replay {
    /// The events as facts by stream, session and connection, without those that
    /// differ from run to run: where something can go on, and the GREASE in settings.
    #[must_use]
    pub fn trace(&self) -> Trace {
        let trace = Trace::default();
        for event in &self.events {
            let mut words = event.splitn(3, ' ');
            let [kind, id, rest] = [(); 3].map(|()| words.next().unwrap_or_default());
            match kind {
                "available" => {}
                "stream" | "session" if GOES_ON.contains(&first(rest)) => {}
                "stream" | "session" => trace.note(format!("{kind} {id}"), rest),
                "request" | "interim" | "response" | "trailers" => {
                    trace.note(format!("stream {id}"), format!("{kind} {rest}"));
                }
                "settings" => trace.note("connection", kind),
                _ => trace.note("connection", event),
            }
        }
        trace
    }
}

fn first(words: &str) -> &str {
    words.split(' ').next().unwrap_or_default()
}
