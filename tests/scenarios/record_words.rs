//! The words of a recording are a promise: files of earlier builds are replayed.

use std::path::Path;
use std::time::Duration;

use aqueduct_core::event::Event;
use aqueduct_core::expect_event;
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{self, Shutdown, Start, StartError};
use aqueduct_core::testing;
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_pair::LoopbackPair;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::transport::TransportEvent;
use aqueduct_core::webtransport::SessionEvent;
use aqueduct_record::Recording;
use aqueduct_tests::get;
use bytes::Bytes;
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

/// The same of raw QUIC.
fn quic_conversation() -> String {
    let config = quic::Config::new().confirm(Duration::from_secs(3));
    let knobs = Knobs {
        bi_streams: 1,
        ..Knobs::default()
    };
    let mut pair = LoopbackQuic::new(config, quic::Config::new(), knobs);
    let about = quic::About::new(([192, 0, 2, 1], 1).into());
    pair.tell(Side::Server, TransportEvent::About(Box::new(about)));
    pair.drive();
    let mut client = pair.client();
    client.confirm(Ok(())).expect("was asked");
    let first = client
        .start(Dir::Bi, Start::new().priority(1))
        .expect("begins");
    let waits = client.start(Dir::Bi, Start::new()).expect("waits");
    let at_once = client.start(Dir::Bi, Start::new().fail_blocked());
    assert_eq!(at_once, Err(StartError::Blocked));
    let taken = client.write(first, &mut [Bytes::from_static(b"payload")]);
    assert_eq!(taken, Ok(7));
    client
        .send_datagram(Bytes::from_static(b"datagram"))
        .expect("room");
    client.set_priority(first, 2).expect("sends");
    client.shutdown(first, Shutdown::Graceful).expect("ends");
    pair.drive();
    let mut server = pair.server();
    assert!(server.recv_datagram().is_some() && server.recv_datagram().is_none());
    let theirs = server.streams().next().expect("arrived");
    let read = server.read(theirs, 99, &mut [Bytes::new(), Bytes::new()]);
    assert_eq!(read.map(|read| read.bytes), Ok(7));
    server
        .shutdown(theirs, Shutdown::AbortSend(5))
        .expect("ends");
    pair.drive();
    pair.tell(Side::Server, TransportEvent::StreamsBlocked(Dir::Uni));
    pair.client()
        .shutdown(waits, Shutdown::Immediate(6))
        .expect("ends");
    pair.drive();
    let until = pair.now() + Duration::from_secs(1);
    pair.server().drain(until);
    let _ = pair.client().close(7, "a reason");
    pair.drive();
    drop(pair.events(Side::Client));
    drop(pair.events(Side::Server));
    pair.recording()
}

/// A file, and how it is made.
type File = (&'static str, fn() -> String);

/// What there is a file of.
const FILES: [File; 2] = [
    ("version2.rec", conversation),
    ("version2-quic.rec", quic_conversation),
];

/// Files that stand for those of earlier builds: they are replayed as they are, and a
/// word that changes is missed by the first of them. `KEEP=1` writes a new one, which a
/// new version of the format calls for.
#[test]
fn files_of_earlier_builds_are_replayed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../record/tests/data");
    if std::env::var_os("KEEP").is_some() {
        for (name, conversation) in FILES {
            std::fs::write(folder.join(name), conversation()).expect("written");
        }
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
    for (name, conversation) in FILES {
        let kept = std::fs::read_to_string(folder.join(name)).expect("text");
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
}
