//! Recordings of whole endpoints. Every other test of this harness replays one at
//! its end, too.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::testing::epoch;
use aqueduct_record::{Options as Keep, RecordSink, Recording, recorder};

/// Row A1: datagrams, timeouts and calls with their times, several connections.
#[test]
fn an_endpoint_is_recorded_with_all_its_connections() {
    let (mut pair, first, _) = Pair::connected(Options::default());
    let (second, _) = pair.establish();
    for client in [first, second] {
        let uri = "https://localhost/".parse().expect("an address");
        let head = RequestHead::new(::http::Method::GET, uri);
        let request = pair.client(client).access().request(&head, End::Fin);
        request.expect("a request");
    }
    pair.drive();
    pair.client
        .endpoint
        .close(pair.now, Code::H3_NO_ERROR, "bye");
    pair.drive();
    let text = pair.server.recording();
    let udp = text.lines().filter(|line| line.starts_with("- udp "));
    assert!(udp.count() > 10, "{text}");
    let recording = Recording::read(&text).expect("a recording");
    let numbers: Vec<_> = recording.connections().iter().map(|c| c.number()).collect();
    assert_eq!(numbers, [0, 1]);
    for connection in recording.connections() {
        let mut events = Vec::new();
        let replayed = connection.replay(epoch(), &mut |_, event| events.push(event.to_owned()));
        assert!(replayed.is_ok(), "{replayed:?}");
        assert!(events.iter().any(|event| event.starts_with("request 0 ")));
        assert!(
            events
                .iter()
                .any(|event| event.starts_with("closed remote 256 "))
        );
    }
}

/// A sink that takes some lines and then fails, as a full disk does.
struct Full(Arc<AtomicUsize>);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            0..5 => Ok(bytes.len()),
            _ => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::StorageFull.into())
    }
}

#[test]
fn a_sink_that_fails_ends_the_recording_and_nothing_else() {
    let writes = Arc::new(AtomicUsize::new(0));
    let sink = Arc::clone(&writes);
    let sinks = move || Some(RecordSink::new(Full(Arc::clone(&sink))));
    let config = EndpointConfig::client().observe(recorder(Keep::default(), sinks));
    let mut pair = Pair::new(Options::default());
    pair.client.endpoint = Endpoint::new(config).expect("in range");
    let (client, _) = pair.establish();
    assert!(pair.client.endpoint.info(client).is_some());
    assert_eq!(
        writes.load(Ordering::Relaxed),
        6,
        "five lines and a failure"
    );
}
