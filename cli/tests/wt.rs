//! `aqueduct wt` as a process.

mod support;

use support::{Server, aqueduct};

#[test]
fn everything_is_echoed() {
    let server = Server::start(&[]);
    let run = server.run(&["wt", &server.url("/echo"), "echo", "--count", "5", "--json"]);
    let lines = run.ok().json();
    let (opened, lines) = lines.split_first().unwrap();
    assert_eq!(opened["event"], "session");
    assert_eq!(opened["dialect"], "draft-07..12");
    let kinds: Vec<_> = lines
        .iter()
        .map(|line| line["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["bidi", "uni", "datagram"]);
    assert!(
        lines
            .iter()
            .all(|line| line["event"] == "echo" && line["count"] == 5)
    );
    assert_eq!(lines[0]["bytes"], 65_536);

    let run = server.run(&[
        "wt",
        &server.url("/echo"),
        "echo",
        "--only",
        "uni",
        "--size",
        "0",
    ]);
    assert!(run.ok().text().starts_with("uni"), "{}", run.text());
}

#[test]
fn more_streams_than_the_server_allows_at_once_take_turns() {
    let server = Server::start(&[]);
    let echo = server.url("/echo");
    server
        .run(&[
            "wt", &echo, "echo", "--only", "bidi", "--count", "300", "--size", "2000",
        ])
        .ok();
}

#[test]
fn ping_tells_each_reply_and_the_statistics() {
    let server = Server::start(&[]);
    let arguments = ["ping", "--count", "5", "--interval", "10ms", "--json"];
    let echo = server.url("/echo");
    let run = server.run(&[&["wt", &echo], &arguments[..]].concat());
    let lines = run.ok().json();
    let summary = lines.last().unwrap();
    assert_eq!(
        (&summary["event"], &summary["sent"]),
        (&"ping".into(), &5.into())
    );
    let received = summary["received"].as_u64().unwrap();
    assert_eq!(lines.len() as u64, received + 2);
    assert!(summary["median_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn throughput_is_measured_both_ways() {
    let server = Server::start(&[]);
    let arguments = ["throughput", "--bytes", "3MB", "--streams", "3", "--json"];
    let echo = server.url("/echo");
    let run = server.run(&[&["wt", &echo], &arguments[..]].concat());
    let line = &run.ok().json()[1];
    assert_eq!(
        (&line["event"], &line["bytes"]),
        (&"throughput".into(), &3_000_000.into())
    );
    for name in ["up_bits_per_second", "down_bits_per_second"] {
        assert!(line[name].as_f64().unwrap() > 0.0, "{name}");
    }
}

#[test]
fn a_refusal_has_its_exit_code_and_its_status() {
    let server = Server::start(&[]);
    server
        .run(&["wt", &server.url("/nothing")])
        .expect(4, "404");
    server
        .run(&["wt", &server.url("/reject?status=429")])
        .expect(4, "429");
}

#[test]
fn who_ended_a_session_is_told() {
    let server = Server::start(&[]);
    server
        .run(&["wt", &server.url("/close?code=7&reason=enough")])
        .expect(1, "closed by the server with code 7: enough");
    server
        .run(&["wt", &server.url("/reset?code=9"), "echo", "--only", "bidi"])
        .expect(1, "application code 9");
}

#[test]
fn mistakes_are_named() {
    let server = Server::start(&[]);
    let echo = server.url("/echo");
    aqueduct(["wt", &echo]).expect(3, "certificate is not trusted");
    aqueduct(["wt", &echo, "dance"]).expect(2, "dance");
    server
        .run(&["wt", &echo, "ping", "--size", "60000"])
        .expect(1, "at most");
    // Streams are never refused here, but nothing answers.
    server
        .run(&[
            "wt",
            &server.url("/reset"),
            "echo",
            "--only",
            "datagram",
            "--timeout",
            "500ms",
        ])
        .expect(1, "none came back");
}
