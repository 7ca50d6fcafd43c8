//! `aqueduct wt` as a process.

mod support;

use std::io::Write as _;

use support::{Run, Running, Server, aqueduct, pattern};

#[test]
fn everything_is_echoed() {
    let server = Server::start(&[]);
    let run = server.run(&["wt", &server.url("/echo"), "echo", "--count", "5", "--json"]);
    let lines = run.ok().json();
    let (opened, lines) = lines.split_first().unwrap();
    assert_eq!(opened["event"], "session");
    assert_eq!(opened["dialect"], "draft-15/16");
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

/// `wt talk` with this on standard input.
fn talk(server: &Server, path: &str, arguments: &[&str], input: &[u8]) -> Run {
    let (url, cert) = (server.url(path), server.cert());
    let fixed = ["wt", &url, "talk", "--cacert", cert.to_str().unwrap()];
    let mut run = Running::start(fixed.iter().chain(arguments));
    let mut stdin = run.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let run = run.end();
    writer.join().unwrap().unwrap();
    run
}

#[test]
fn what_is_piped_into_a_stream_comes_back_as_it_was() {
    let server = Server::start(&[]);
    let run = talk(&server, "/echo", &["--quiet", "50s"], &pattern(1_000_000));
    assert!(
        run.ok().stdout == pattern(1_000_000),
        "{}",
        run.stdout.len()
    );
    let run = talk(&server, "/echo", &["--by", "uni"], b"one way");
    assert_eq!(run.ok().text(), "one way");
}

#[test]
fn lines_are_datagrams_or_streams_and_come_back_as_lines() {
    let server = Server::start(&[]);
    for how in [
        ["--by", "datagram"],
        ["--by=bidi", "--each-line"],
        ["--by=uni", "--each-line"],
    ] {
        let run = talk(&server, "/echo", &how, b"salve\namice\n");
        let text = run.ok().text();
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["amice", "salve"], "{how:?}");
    }
    let run = talk(
        &server,
        "/echo",
        &["--by", "datagram", "--json"],
        b"salve\n",
    );
    let line = &run.ok().json()[1];
    let got = (&line["event"], &line["by"], &line["text"]);
    assert_eq!(
        got,
        (&"received".into(), &"datagram".into(), &"salve".into())
    );
}

#[test]
fn what_the_server_says_by_itself_is_printed() {
    let server = Server::start(&[]);
    let text = talk(&server, "/push", &["--by", "uni"], b"").ok().text();
    for word in [
        "bidirectional stream",
        "unidirectional stream",
        "a datagram from the server\n",
    ] {
        assert!(text.contains(word), "{text}");
    }
    let closed = talk(
        &server,
        "/close?code=7&reason=enough",
        &["--quiet", "50s"],
        b"",
    );
    closed.expect(1, "closed by the server with code 7: enough");
}

#[test]
fn a_line_is_answered_before_the_next_is_typed() {
    let server = Server::start(&[]);
    let (url, cert) = (server.url("/echo"), server.cert());
    let mut run = Running::start(["wt", &url, "talk", "--cacert", cert.to_str().unwrap()]);
    for line in ["salve", "amice"] {
        let stdin = run.stdin.as_mut().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
        assert_eq!(run.line(), line);
    }
    run.end().ok();
}
