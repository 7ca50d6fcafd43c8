//! `aqueduct bench` as a process.

mod support;

use support::{Server, aqueduct};

#[test]
fn requests_are_counted_and_timed() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/1000");
    let run = server.run(&["bench", &url, "-n", "60", "-c", "2", "-m", "5", "--json"]);
    let lines = run.ok().json();
    let line = &lines[0];
    assert_eq!(line["event"], "bench");
    assert_eq!((&line["done"], &line["failed"]), (&60.into(), &0.into()));
    assert_eq!(
        (&line["statuses"]["2xx"], &line["bytes"]),
        (&60.into(), &60_000.into())
    );
    let counts = line["histogram"].as_array().unwrap().iter();
    assert_eq!(
        counts
            .map(|bar| bar["count"].as_u64().unwrap())
            .sum::<u64>(),
        60
    );
    let ms = |name: &str| line["latency"][name].as_f64().unwrap();
    assert!(ms("min_ms") > 0.0 && ms("min_ms") <= ms("p50_ms"));
    assert!(ms("p50_ms") <= ms("p99_ms") && ms("p99_ms") <= ms("max_ms"));
    assert!(line["first_byte"]["p50_ms"].as_f64().unwrap() <= ms("max_ms"));

    let run = server.run(&["bench", &server.url("/sha256"), "-d", "12345", "-n", "5"]);
    let text = run.ok().text();
    assert!(
        text.starts_with("5 requests in ") && text.contains("answers: 5 2xx"),
        "{text}"
    );
}

#[test]
fn a_time_is_kept_instead_of_a_number() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/10");
    let begun = std::time::Instant::now();
    let run = server.run(&["bench", &url, "-D", "500ms", "-m", "4", "--json"]);
    assert!(begun.elapsed().as_secs() < 20);
    let line = &run.ok().json()[0];
    assert!(line["done"].as_u64().unwrap() > 10, "{line}");
    assert!(
        (0.5..5.0).contains(&line["seconds"].as_f64().unwrap()),
        "{line}"
    );
}

#[test]
fn what_goes_wrong_has_the_exit_codes_of_the_program() {
    let server = Server::start(&[]);
    let run = server.run(&["bench", &server.url("/status/503"), "-n", "3"]);
    run.expect(4, "3 answers have an error status");
    let run = server.run(&["bench", &server.url("/reset"), "-n", "3"]);
    run.expect(1, "3 failed; the first: the peer reset");
    let run = server.run(&[
        "bench",
        &server.url("/slow?ms=30000"),
        "-n",
        "1",
        "--timeout",
        "200ms",
    ]);
    run.expect(1, "no answer in time");
    aqueduct(["bench", &server.url("/"), "-n", "1"]).expect(3, "not trusted");
    server
        .run(&["bench", &server.url("/echo"), "--size", "9"])
        .expect(2, "--wt");
}

#[test]
fn echoes_in_sessions_are_measured() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    let run = server.run(&[
        "bench", &url, "--wt", "streams", "-n", "20", "-m", "4", "--size", "3KiB", "--json",
    ]);
    let line = &run.ok().json()[0];
    assert_eq!(
        (&line["what"], &line["done"]),
        (&"streams".into(), &20.into())
    );
    assert_eq!(line["bytes"], 20 * 3072);
    let run = server.run(&[
        "bench",
        &url,
        "--wt",
        "datagrams",
        "-n",
        "50",
        "-m",
        "5",
        "-c",
        "2",
        "--json",
        "--timeout",
        "3s",
    ]);
    let line = &run.json()[0];
    let (done, failed) = (
        line["done"].as_u64().unwrap(),
        line["failed"].as_u64().unwrap(),
    );
    assert!(done + failed == 50 && done > 25, "{line}");
    server
        .run(&[
            "bench",
            &server.url("/reject?status=403"),
            "--wt",
            "streams",
        ])
        .expect(4, "403");
}
