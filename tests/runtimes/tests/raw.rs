//! A behaviour on raw QUIC is told the same on every adapter, whoever is at the other end.

use aqueduct_runtimes_tests::raw::{LARGEST, REFUSED, RESET, STOP, run, run_beside_http};
use aqueduct_runtimes_tests::runtime::{RUNTIMES, Runtime};
use aqueduct_runtimes_tests::script::{STREAM, pattern};
use aqueduct_runtimes_tests::trace::Digest;

/// The callbacks of both ends of an adapter that talks to itself, one per line.
fn story(client: Runtime, server: Runtime) -> (String, String) {
    let (client, server) = run(client, server);
    (client.to_string(), server.to_string())
}

#[test]
fn it_is_played_to_its_end() {
    // The others are compared with this one, so it is looked at closely.
    let (client, server) = run(Runtime::Tokio, Runtime::Tokio);
    let echo = format!("to its end: {}", Digest::of(&pattern(STREAM)));
    assert_eq!(
        client.of("stream 0"),
        ["started", &*echo, "closed in order, None"]
    );
    assert_eq!(
        server.of("stream 0"),
        [
            "opened Bi, early: false",
            &*echo,
            "all has arrived: true",
            "closed in order, None"
        ]
    );
    assert_eq!(
        server.of("stream 4"),
        [
            "opened Bi, early: false",
            "b\"the head\" at 0",
            "handed over, Passive, at 8",
            "\" and the tail\" to the end",
            "closed in order, None"
        ]
    );
    assert_eq!(
        server.of("stream 2"),
        [
            "opened Uni, early: false",
            &format!("abandoned with {RESET}"),
            &format!("closed by the peer, Some({RESET})")
        ]
    );
    assert_eq!(
        server.of("stream 3"),
        [
            format!("stopped with {STOP}"),
            format!("closed by the peer, Some({STOP})")
        ]
    );
    assert_eq!(
        server.of("stream 8"),
        ["opened Bi, early: false", "nobody's, Passive"]
    );
    assert_eq!(
        client.of("stream 8"),
        ["started", &format!("closed by the peer, Some({REFUSED})")]
    );
    let datagrams: Vec<_> = (0..5).map(|n| format!("datagram {n}")).collect();
    assert_eq!(client.of("datagrams"), datagrams);
    assert_eq!(server.of("datagrams"), datagrams);
    let life = server.of("connection");
    assert_eq!(life[0], "new, for Some(\"localhost\")");
    assert_eq!(
        life[3],
        format!("the peer closes with {LARGEST}, b\"done\"")
    );
    let ends = |life: Vec<String>| life.iter().filter(|it| it.starts_with("closed")).count();
    assert_eq!((ends(client.of("connection")), ends(life)), (1, 1));
}

/// Row A1, of behaviours.
#[test]
fn every_adapter_makes_the_same_callbacks() {
    let expected = story(Runtime::Tokio, Runtime::Tokio);
    for runtime in [Runtime::AsyncStd, Runtime::Smol, Runtime::Mio] {
        assert_eq!(story(runtime, runtime), expected, "{runtime:?}");
    }
}

#[test]
fn they_are_the_same_with_a_stranger_at_the_other_end() {
    let expected = story(Runtime::Tokio, Runtime::Tokio);
    let next = RUNTIMES.iter().cycle().skip(1);
    for (client, server) in RUNTIMES.into_iter().zip(next) {
        let found = story(client, *server);
        assert_eq!(found, expected, "{client:?} asks {server:?}");
    }
}

#[test]
fn they_are_the_same_beside_http_on_one_port() {
    let expected = story(Runtime::Tokio, Runtime::Tokio);
    for runtime in RUNTIMES {
        let (client, server) = run_beside_http(runtime, runtime);
        let found = (client.to_string(), server.to_string());
        assert_eq!(found, expected, "{runtime:?}");
    }
}
