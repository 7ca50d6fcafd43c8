//! Recordings come from strangers: whatever is in the file, reading and replaying
//! it ends with an answer.

use aqueduct_core::config::Config;
use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::Side;
use aqueduct_core::testing;
use aqueduct_core::testing::loopback::{Knobs, Rng};
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::raw::{RawPeer, WEBTRANSPORT, connect};
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_record::{HEADER, Recording, RecordingError, ReplayError, Replayed};
use aqueduct_tests::{get, seeds};
use http::StatusCode;

fn short() -> String {
    let mut pair = LoopbackPair::connected(Knobs::default());
    pair.client().request(&get(), End::Fin).expect("a request");
    pair.session("https://example.com/wt");
    pair.recording()
}

/// All connections of a text; `None` when it is no recording.
fn replays(text: &str) -> Option<Vec<Result<Replayed, ReplayError>>> {
    let recording = Recording::read(text).ok()?;
    let connections = recording.connections().iter();
    let replays = connections.map(|each| each.replay(testing::epoch(), &mut |_, _| {}));
    Some(replays.collect())
}

/// Cut off anywhere, the rest replays as far as it goes, and the more there is of
/// it, the further. This is what is left when the program is killed.
#[test]
fn a_recording_that_was_cut_off() {
    let lines = short();
    let (mut furthest, mut complete) = (0, 0);
    for at in HEADER.len()..=lines.len() {
        let Some(results) = lines.get(..at).and_then(replays) else {
            panic!("cut off at {at}, it does not read");
        };
        let results: Result<Vec<_>, _> = results.into_iter().collect();
        let replayed = results.unwrap_or_else(|error| panic!("cut off at {at}: {error}"));
        let inputs: usize = replayed.iter().map(|each| each.inputs).sum();
        // The last input counts no more when it turns out to read what is cut off.
        let further = inputs + 1 >= furthest;
        assert!(further, "at {at}: {inputs} inputs after {furthest}");
        furthest = furthest.max(inputs);
        complete = replayed.iter().filter(|each| each.complete).count();
    }
    assert!(furthest > 20 && complete == 2, "{furthest}, {complete}");
}

/// Row A20: lines that are lost, repeated, swapped or scribbled on.
#[test]
fn damage_is_an_answer() {
    let original = short();
    for seed in seeds(300) {
        let mut rng = Rng::new(seed);
        let mut lines: Vec<String> = original.lines().map(str::to_owned).collect();
        for _ in 0..=rng.below(3) {
            let at = 1 + rng.below(lines.len() as u64 - 1) as usize;
            let other = 1 + rng.below(lines.len() as u64 - 1) as usize;
            match rng.below(5) {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[other].clone()),
                2 => lines.swap(at, other),
                3 => lines[at] = lines[at].replace(['0', '4'], "18446744073709551615"),
                _ => {
                    let digit = char::from(b'0' + rng.below(10) as u8).to_string();
                    lines[at] = lines[at].replacen(['0', '1', '2', '3'], &digit, 3);
                }
            }
        }
        // Nothing but coming to an end is asked of it.
        let _ = replays(&(lines.join("\n") + "\n"));
    }
}

/// A stream number with a gap before it would make the table of streams grow.
#[test]
fn streams_come_one_after_the_other() {
    let lines = short();
    for id in [4_u64, 4_000_000, (1 << 62) - 4] {
        let told = replays(&lines.replace("accept bi 0\n", &format!("accept bi {id}\n")));
        let refused = told.is_some_and(|results| {
            let [Ok(_), Err(ReplayError::Divergence(difference))] = &results[..] else {
                return false;
            };
            let recorded = difference.recorded.as_deref();
            recorded.is_some_and(|line| line.contains(" ev request 0 "))
        });
        assert!(refused, "{id}");
    }
}

/// A few words that stand for many bytes are refused as such.
#[test]
fn a_file_asks_for_memory_in_proportion() {
    let mut peer = RawPeer::greeted(Side::Server, Config::default(), WEBTRANSPORT);
    let refusal = ResponseHead::new(StatusCode::FORBIDDEN);
    for _ in 0..10 {
        peer.request(&connect());
        let session = expect_event!(
            peer, Side::Server, Event::WebTransport(key, SessionEvent::Requested(_)) => key
        );
        let mut access = peer.access();
        let content = bytes::Bytes::from("go away");
        let refused = access.webtransport(session).reject_with(&refusal, content);
        refused.expect("asked for");
    }
    let lines = peer.recording();
    let (plain, large) = (" *7.\n", format!(" *{}.\n", 1 << 20));
    assert_eq!(lines.matches(plain).count(), 10);
    let results = replays(&lines.replace(plain, &large)).expect("a recording");
    let [Err(ReplayError::TooMuchMemory { line })] = &results[..] else {
        panic!("{results:?}")
    };
    // Ten times a MiB is more than eight and a little.
    let refused: Vec<_> = lines.lines().take(*line).collect();
    assert!(refused.last().is_some_and(|line| line.ends_with(" *7.")));
    let before = refused.iter().filter(|line| line.ends_with(" *7."));
    assert_eq!(before.count(), 9);
}

/// What is told of a file is fit for a terminal.
#[test]
fn a_difference_is_shown_and_not_obeyed() {
    let lines = "0 new server 1 masked events\n0 in 0 connected none\n0 do 0 close 0 %\n";
    let results = replays(&format!("{HEADER}{lines}0 = \u{1b}[31mred\u{202e}\u{7}\n"));
    let [Err(error)] = &results.expect("a recording")[..] else {
        panic!("it differs");
    };
    let told = error.to_string();
    assert!(told.contains(r"0 = \u{1b}[31mred\u{202e}\u{7}"), "{told}");
    assert!(told.chars().all(|c| matches!(c, ' '..='~' | '\n')));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let read = |text: &str| Recording::read(text).expect_err("no recording");
    let why = |text: &str| read(text).to_string();
    assert_eq!(read(""), RecordingError::NotARecording);
    assert!(why("").starts_with("not a recording"));
    assert!(why("GET / HTTP/1.1\r\n\r\n").contains("aqueduct-recording 2"));
    let older = Recording::read("aqueduct-recording 1\n0 new client 1\n");
    let found = "1".to_owned();
    assert_eq!(older.err(), Some(RecordingError::OtherVersion { found }));
    let body = |lines: &str| why(&format!("{HEADER}{lines}\n"));
    assert!(
        body("0 in 5 connected").contains("line 2 of the recording: connection 0 has not begun")
    );
    assert!(body("# remark\n0 new king 1 masked events").contains("line 3"));
    assert!(body("0 new client 1 masked events speed 9").contains("unknown field \"speed\""));
    assert!(body("0 new client 1 masked events\n0 < open bi 0").contains("follows from no input"));
    assert!(
        body("0 new client 1 masked events\n0 new client 1 masked events").contains("begins twice")
    );
    assert!(
        body("0 new client 1 masked events\n0 shout").contains("unknown kind of line \"shout\"")
    );
    let unknown = read(&format!("{HEADER}0 new king 1 masked events\n"));
    assert!(
        matches!(unknown, RecordingError::Line { line: 2, .. }),
        "{unknown:?}"
    );
    // An input is understood when its turn comes.
    let dancing = format!("{HEADER}0 new client 1 masked events\n0 in 5 dancing\n");
    let results = replays(&dancing).expect("a recording");
    let [Err(ReplayError::Recording(error))] = &results[..] else {
        panic!("{results:?}")
    };
    assert_eq!(error.line(), 3);
    let events = Recording::read(&dancing).expect("a recording");
    let calls = events.connections()[0].replay_transport(testing::epoch(), &mut |_, _| {});
    assert_eq!(calls.err(), Some(ReplayError::NoTransport));
}
