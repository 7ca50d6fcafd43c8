//! Every adapter tells the same story, whoever is at the other end.

use aqueduct_runtimes_tests::runtime::{Job, RUNTIMES, Runtime, run};
use aqueduct_runtimes_tests::script::{BIG, DATAGRAMS, ECHO, STREAM, pattern};
use aqueduct_runtimes_tests::trace::Digest;

/// What both ends of an adapter that talks to itself saw, one fact per line.
fn story(client: Runtime, server: Runtime) -> (String, String) {
    let (client, server) = run(client, server, Job::Script);
    (client.to_string(), server.to_string())
}

#[test]
fn the_script_is_played_to_its_end() {
    // The others are compared with this one, so it is looked at closely.
    let (client, server) = run(Runtime::Tokio, Runtime::Tokio, Job::Script);
    let echo = Digest::of(&pattern(ECHO)).to_string();
    assert_eq!(
        client.of("POST /echo"),
        ["200", &*format!("content: {echo}")]
    );
    assert_eq!(client.of("POST /echo trailers"), [r#"{"etag": "3000000"}"#]);
    let stream = Digest::of(&pattern(STREAM)).to_string();
    assert_eq!(client.of("/chat stream"), [&*stream]);
    assert_eq!(server.of("/chat stream"), [&*stream]);
    assert_eq!(client.of("/chat datagrams").len(), DATAGRAMS);
    assert_eq!(client.of("/nowhere"), ["rejected with 404 Not Found"]);
    let closed = r#"Closed { by: Client, code: 7, reason: "done" }"#;
    assert_eq!(client.of("/chat"), ["established", closed]);
    assert_eq!(server.of("/chat"), ["accepted", closed]);
    // The client closes, when it has read all it asked for.
    let closed = r#"closed: Remote { code: H3_NO_ERROR (0x100), reason: b"" }"#;
    let life = ["connected", "draining by Server", closed];
    assert_eq!(server.of("connection"), life);
    assert_eq!(client.of("/late")[..2], ["established", "draining"]);
    let life = client.of("connection");
    assert_eq!(life.last().map(String::as_str), Some("closed: PeerDrained"));
}

#[test]
fn every_adapter_tells_the_same_story() {
    // Row A1
    let expected = story(Runtime::Tokio, Runtime::Tokio);
    for runtime in [Runtime::AsyncStd, Runtime::Smol, Runtime::Mio] {
        assert_eq!(story(runtime, runtime), expected, "{runtime:?}");
    }
}

#[test]
fn the_story_is_the_same_with_a_stranger_at_the_other_end() {
    let expected = story(Runtime::Tokio, Runtime::Tokio);
    let next = RUNTIMES.iter().cycle().skip(1);
    for (client, server) in RUNTIMES.into_iter().zip(next) {
        let found = story(client, *server);
        assert_eq!(found, expected, "{client:?} asks {server:?}");
    }
}

#[test]
fn a_download_survives_a_change_of_port_on_every_adapter() {
    // Row E4
    let content = format!("content: {}", Digest::of(&pattern(BIG)));
    for runtime in RUNTIMES {
        let (client, _) = run(runtime, runtime, Job::Download);
        assert_eq!(client.of("GET /big"), ["200", &*content], "{runtime:?}");
    }
}
