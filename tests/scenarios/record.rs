//! A recording is gone through again with the same events, and where a connection
//! would behave otherwise, the first such line is told.

use std::time::Duration;

use aqueduct_core::error::CloseReason;
use aqueduct_core::event::Event;
use aqueduct_core::head::End;
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use aqueduct_core::{expect_event, testing};
use aqueduct_record::{Recording, ReplayError};
use aqueduct_tests::{get, seeds};

/// A request, a session with a stream and datagrams, a drain; recorded.
fn conversation(seed: u64) -> (String, usize) {
    let mut pair = LoopbackPair::connected(Knobs::adversarial(seed));
    pair.client().request(&get(), End::Fin).expect("a request");
    expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
    let (client, server) = pair.session("https://example.com/wt");
    let here = pair.client().webtransport(client).open_stream(Dir::Uni);
    let here = here.expect("a stream");
    let there = expect_event!(
        pair, Side::Server, Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    pair.transfer(Side::Client, here, there, &[7; 200]);
    pair.server()
        .webtransport(server)
        .close(9, "enough")
        .expect("closes");
    pair.drive();
    let until = pair.now() + Duration::from_secs(1);
    pair.client().drain(until);
    pair.advance(Duration::from_secs(3));
    expect_event!(
        pair, Side::Client,
        Event::Closed(reason) if matches!(*reason, CloseReason::Drained) => ()
    );
    let lines = pair.recording();
    let events = lines.lines().filter(|line| line[2..].starts_with("ev "));
    let events = events.count();
    (lines, events)
}

/// Row A1: the same inputs give the same answers, calls and events.
#[test]
fn the_same_again() {
    for seed in seeds(10) {
        let (lines, recorded) = conversation(seed);
        let recording = Recording::read(&lines).expect("a recording");
        let mut events = Vec::new();
        for connection in recording.connections() {
            let replayed = connection
                .replay(testing::epoch(), &mut |_, event| {
                    events.push(event.to_owned());
                })
                .unwrap_or_else(|error| panic!("SEED={seed}: {error}"));
            assert!(replayed.complete && replayed.inputs > 20, "{replayed:?}");
            assert!(replayed.span >= Duration::from_secs(1), "{replayed:?}");
        }
        assert_eq!(events.len(), recorded);
        assert_eq!(events[0], "connected none");
        assert!(events.iter().any(|event| event.starts_with("request 0 ")));
        let opened =
            |event: &String| event.starts_with("session 4 opened ") && event.ends_with(" uni");
        assert!(events.iter().any(opened));
    }
}

/// What is changed in a recording is found, at its line or where it shows.
#[test]
fn a_difference_is_told_with_its_line() {
    let (lines, _) = conversation(3);
    let mut found = 0;
    for (at, line) in lines.lines().enumerate() {
        let changed = match line.split(' ').nth(1) {
            Some("ev") => line.replace("ev ", "ev un"),
            Some("=") => line.replace("= ", "= Not"),
            Some(".") => line.replace(". ", ". re"),
            _ => continue,
        };
        let text = lines.replacen(&format!("\n{line}\n"), &format!("\n{changed}\n"), 1);
        // The same line may stand further up, too.
        let first = lines.lines().position(|other| other == line);
        let result = Recording::read(&text).expect("still readable");
        let first = first.expect("it is there").min(at) + 1;
        let errors: Vec<ReplayError> = result
            .connections()
            .iter()
            .filter_map(|connection| connection.replay(testing::epoch(), &mut |_, _| {}).err())
            .collect();
        let [ReplayError::Divergence(difference)] = &errors[..] else {
            panic!("{changed}: {errors:?}");
        };
        assert_eq!((difference.line, difference.missing_bytes), (first, false));
        assert_eq!(difference.recorded.as_deref(), Some(&*changed));
        found += 1;
    }
    assert!(found > 50, "only {found} lines");
}

/// An input that is left out shows where it is missed.
#[test]
fn a_missing_input_is_noticed() {
    let (lines, _) = conversation(1);
    let opened = lines
        .lines()
        .position(|line| line.contains("in ") && line.ends_with("opened uni"));
    let kept = lines
        .lines()
        .enumerate()
        .filter(|(at, _)| Some(*at) != opened);
    let text: String = kept.map(|(_, line)| format!("{line}\n")).collect();
    let recording = Recording::read(&text).expect("still readable");
    let replays = recording.connections().iter();
    let results: Vec<_> = replays
        .map(|connection| connection.replay(testing::epoch(), &mut |_, _| {}))
        .collect();
    assert!(results.iter().any(Result::is_err), "{results:?}");
}

/// What the application asked in vain is recorded and asked again, too.
#[test]
fn refusals_are_repeated() {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let request = ConnectRequest::new("https://example.com/".parse().expect("an address"));
    let pending = pair.client().open_session(&request).expect("a session");
    let early = pair.client().webtransport(pending).open_stream(Dir::Bi);
    assert!(early.is_err(), "{early:?}");
    let asked = expect_event!(
        pair, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
    );
    let yes = ConnectAnswer::default();
    pair.server()
        .webtransport(asked)
        .accept(&yes)
        .expect("accepts");
    pair.drive();
    let reason = "x".repeat(2_000);
    let closed = pair.client().webtransport(pending).close(1, &reason);
    assert!(closed.is_err(), "{closed:?}");
    let lines = pair.recording();
    assert!(
        lines.contains(" = error open-stream session-pending\n"),
        "{lines}"
    );
    assert!(
        lines.contains(" = error session reason-too-long\n"),
        "{lines}"
    );
    let recording = Recording::read(&lines).expect("a recording");
    for connection in recording.connections() {
        let replayed = connection.replay(testing::epoch(), &mut |_, _| {});
        assert!(replayed.is_ok(), "{replayed:?}");
    }
}
