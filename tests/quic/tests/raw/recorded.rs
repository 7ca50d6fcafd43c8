//! Recordings of raw QUIC: gone through again to the byte with secrets, with the same events
//! without, and none of what streams hold is in those.

use std::sync::{Arc, Mutex};

use aqueduct_core::endpoint::{Endpoint, EndpointConfig};
use aqueduct_core::id::{Dir, Side};
use aqueduct_core::quic::{Config, Shutdown, Start};
use aqueduct_core::testing::loopback::Knobs;
use aqueduct_core::testing::loopback_quic::LoopbackQuic;
use aqueduct_core::testing::{cert::Identity, epoch};
use aqueduct_record::{Options, RecordSink, Recording, Replayed, recorder};
use bytes::Bytes;

use super::talk::{Talk, options};

/// What is taken out of a pair was recorded without secrets.
#[test]
fn a_masked_recording_holds_no_payload_and_no_address() {
    let mut talk = Talk::new();
    let [ours, theirs] = talk.stream(Side::Client, Dir::Bi);
    talk.write(Side::Client, ours, b"a-secret");
    let sent = talk.act(Side::Client, |it| {
        it.send_datagram(Bytes::from_static(b"a-secret"))
    });
    sent.expect("goes");
    talk.pair.rebind_client();
    talk.pair.client.endpoint.handle_rebind(talk.pair.now);
    talk.events(Side::Server);
    assert_eq!(talk.read(Side::Server, theirs).0, b"a-secret");
    let got = talk.act(Side::Server, |access| access.recv_datagram());
    assert_eq!(got.as_deref(), Some(&b"a-secret"[..]));
    talk.close(Side::Client, 5, b"a-secret");
    talk.pair.advance(std::time::Duration::from_secs(20));
    drop(talk.all(Side::Server));
    let mut texts = Vec::new();
    for text in [talk.pair.client.recording(), talk.pair.server.recording()] {
        assert!(text.contains(" quic "), "{text}");
        assert!(
            text.contains("x-xxxxxx"),
            "the reason has its shape: {text}"
        );
        for secret in ["secret", "612d736563726574", "10.0.0"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        replay(&text, 1);
        texts.push(text);
    }
    // As they are read, so that a file that was cut off has them, and to the first byte.
    for counted in [" bytes 0 *5.\n", " bytes 0 *8.\n", " < recv-datagram *8.\n"] {
        assert!(texts[1].contains(counted), "{counted:?} in {}", texts[1]);
    }
}

/// With secrets, what is written is compared byte for byte, on a network that splits,
/// reorders and delays.
#[test]
fn a_whole_recording_is_replayed_to_the_byte() {
    for seed in 0..40 {
        let knobs = Knobs::adversarial(seed);
        let small = Config::new().open_streams(2).queued_starts(3);
        // Dropped at the end of each round, which replays both recordings.
        let mut pair = LoopbackQuic::new(Config::new(), small, knobs);
        pair.drive();
        for number in 0..6 {
            let (side, dir) = match number % 3 {
                0 => (Side::Client, Dir::Bi),
                1 => (Side::Server, Dir::Uni),
                _ => (Side::Client, Dir::Uni),
            };
            let key = pair.access(side).start(dir, Start::new()).expect("begins");
            let mut chunks = [
                Bytes::from_static(b"some bytes"),
                Bytes::from_static(b"more"),
            ];
            let _ = pair.access(side).write(key, &mut chunks);
            let how = match number {
                0..3 => Shutdown::Graceful,
                _ => Shutdown::AbortSend(number),
            };
            pair.access(side).shutdown(key, how).expect("ends");
            let datagram = Bytes::from_static(b"datagram");
            let _ = pair.access(side).send_datagram(datagram);
            pair.drive();
            for side in [Side::Client, Side::Server] {
                pair.events(side);
                let keys: Vec<_> = pair.access(side).streams().collect();
                for key in keys {
                    let mut out = [const { Bytes::new() }; 2];
                    let _ = pair.access(side).read(key, 7, &mut out);
                    let _ = pair.access(side).shutdown(key, Shutdown::Graceful);
                }
                pair.access(side).recv_datagram();
            }
        }
        let until = pair.now() + std::time::Duration::from_secs(1);
        pair.client().drain(until);
        pair.advance(std::time::Duration::from_secs(2));
        pair.events(Side::Client);
        pair.events(Side::Server);
    }
}

/// HTTP/3 and raw QUIC of one endpoint stand in one recording.
#[test]
fn one_file_holds_connections_of_both_protocols() {
    let lines = Lines::default();
    let to = lines.clone();
    let factory = recorder(
        Options::default().secrets(true).transport(true),
        move || Some(RecordSink::new(to.clone())),
    );
    let mut pair = aqueduct_core::testing::pair::Pair::new(options(|options, _| {
        options.record = false;
    }));
    let client = EndpointConfig::client().seed([9; 32]).observe(factory);
    pair.client.endpoint = Endpoint::new(client).expect("suits");
    let quic = pair.connect();
    let tls = Identity::localhost().client_arc();
    let http = aqueduct_core::endpoint::Target::new(pair.server.addr, "localhost", tls);
    pair.client
        .endpoint
        .connect(pair.now, &http)
        .expect("connects");
    pair.drive();
    let mut connection = pair.client_quic(quic);
    let mut access = connection.access();
    let stream = access.start(Dir::Uni, Start::new()).expect("begins");
    let taken = access.write(stream, &mut [Bytes::from_static(b"a-secret")]);
    assert_eq!(taken, Ok(8));
    pair.drive();
    pair.client
        .endpoint
        .close(pair.now, aqueduct_core::code::Code::new(0), "");
    pair.advance(std::time::Duration::from_secs(20));
    let text = lines.0.lock().expect("no panic").clone();
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("612d736563726574"), "HOLDS SECRETS: {text}");
    let recording = Recording::read(&text).expect("a recording");
    assert_eq!(recording.connections().len(), 2);
    for connection in recording.connections() {
        let replayed = connection.replay_transport(epoch(), &mut |_, _| {});
        assert!(replayed.is_ok_and(|it| it.complete));
    }
    replay(&text, 2);
}

/// A word that a build does not know is refused, and not taken for another.
#[test]
fn lines_that_make_no_sense_are_refused() {
    let begin = "aqueduct-recording 2\n0 new client 0 masked events quic";
    let read = |text: &str| Recording::read(text).map(drop);
    assert!(read(&format!("{begin} colour 7\n")).is_err());
    assert_eq!(read(&format!("{begin} open-streams 7\n")), Ok(()));
    for wrong in [
        "in 0 about",
        "in 0 about % - 0 - maybe",
        "do 0 quic",
        "do 0 quic jump 4/0",
        "do 0 quic shutdown 4/0 abort",
        "do 0 quic start bi perhaps 0",
        "do 0 quic read 4/0 1 99999999",
    ] {
        let text = format!("{begin}\n0 {wrong}\n0 end\n");
        let recording = Recording::read(&text).expect("lines are read later");
        let replayed = recording.connections()[0].replay(epoch(), &mut |_, _| {});
        assert!(replayed.is_err(), "{wrong}");
    }
}

/// Replays all connections of a recording.
fn replay(text: &str, connections: usize) {
    let recording = Recording::read(text).expect("a recording");
    assert_eq!(recording.connections().len(), connections);
    for connection in recording.connections() {
        let replayed: Result<Replayed, _> = connection.replay(epoch(), &mut |_, _| {});
        replayed.unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}

/// A recording in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
