//! The words of a recording are a promise: files of earlier builds are replayed.

use std::path::Path;
use std::time::Duration;

use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::testing;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_record::Recording;
use aqueduct_tests::get;
use http::StatusCode;

/// Something of everything, in few lines.
fn conversation() -> String {
    let mut pair = LoopbackPair::connected(Knobs::default());
    let asking = pair.client().request(&get(), End::Fin).expect("a request");
    let asked = expect_event!(pair, Side::Server, Event::Request { stream, .. } => stream);
    let head = ResponseHead::new(StatusCode::OK);
    pair.server()
        .respond(asked, &head, End::More)
        .expect("answers");
    pair.write_all(Side::Server, asked, &b"some content"[..])
        .expect("room");
    let mut answer = pair.server();
    answer
        .send(asked)
        .expect("a stream")
        .finish()
        .expect("ends");
    assert!(pair.read_to_end(Side::Client, asking).is_ok());
    let (client, server) = pair.session("https://example.com/wt?token=1234");
    let here = pair.client().webtransport(client).open_stream(Dir::Uni);
    let here = here.expect("a stream");
    let there = expect_event!(
        pair, Side::Server,
        Event::WebTransport(_, SessionEvent::Opened { stream, .. }) => stream
    );
    pair.transfer(Side::Client, here, there, b"payload");
    pair.client()
        .send_datagram(client, b"datagram")
        .expect("room");
    pair.drive();
    assert!(pair.server().recv_datagram(server).is_some());
    pair.server()
        .webtransport(server)
        .close(9, "a reason")
        .expect("closes");
    pair.drive();
    let until = pair.now() + Duration::from_secs(1);
    pair.client().drain(until);
    pair.advance(Duration::from_secs(3));
    drop(pair.events(Side::Client));
    drop(pair.events(Side::Server));
    pair.recording()
}

/// Files that stand for those of earlier builds: they are replayed as they are, and a
/// word that changes is missed by the first of them. `KEEP=1` writes a new one, which a
/// new version of the format calls for.
#[test]
fn files_of_earlier_builds_are_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../record/tests/data");
    if std::env::var_os("KEEP").is_some() {
        std::fs::write(folder.join("version2.rec"), conversation()).expect("written");
    }
    let mut replayed = 0;
    for file in std::fs::read_dir(folder).expect("a folder") {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("text");
        let recording = Recording::read(&text).expect("a recording");
        for connection in recording.connections() {
            let result = connection.replay(testing::epoch(), &mut |_, _| replayed += 1);
            let path = path.display();
            assert!(
                result.is_ok_and(|result| result.complete),
                "{path}: {:?}",
                connection.number()
            );
        }
    }
    assert!(replayed > 20, "{replayed} events");
}

/// The kinds of lines and words that there are, without numbers.
#[test]
fn words_are_those_of_the_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../record/tests/data");
    let kept = std::fs::read_to_string(folder.join("version2.rec")).expect("text");
    let shapes = |text: &str| -> Vec<String> {
        let line = |line: &str| -> String {
            let words = line.split(' ').filter(|word| {
                let number = word.starts_with(|c: char| c.is_ascii_digit());
                !number || word.contains("://")
            });
            words.collect::<Vec<_>>().join(" ")
        };
        text.lines().map(line).collect()
    };
    // A build may have more to say than an earlier one had; what that said is said the
    // same and as often. A configuration is a line of many words.
    let words = |text: &str| -> Vec<String> {
        let lines = shapes(text).into_iter();
        lines
            .flat_map(|line| match line.strip_prefix("new ") {
                Some(config) => config.split(' ').map(str::to_owned).collect(),
                None => vec![line],
            })
            .collect()
    };
    let mut now = words(&conversation());
    for then in words(&kept) {
        let same = now.iter().position(|now| *now == then);
        let same = same.unwrap_or_else(|| panic!("not as often as before: {then}"));
        // How often something is read depends on the pieces in which it is written.
        if !["in readable", "< read open", "bytes"].contains(&then.as_str()) {
            now.swap_remove(same);
        }
    }
}
