//! A server whose output nobody reads, as a process.
#![cfg(unix)]

mod support;

use std::io::{BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use aqueduct_cli::outlet::ROOM;
use aqueduct_tokio::Connection;
use aqueduct_tokio::error::OpenSessionError;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use support::Server;

/// What one event of [`rejected`] takes on standard output, at least.
const EVENT: usize = 400;

/// Of 200 bytes, as the path of what is asked for.
fn origin() -> String {
    format!("https://{}", "o".repeat(192))
}

/// Has the server tell that it rejected a session, with a path of 200 bytes and an origin as long.
async fn rejected(connection: &Connection, url: &str) {
    let mut request = ConnectRequest::new(url.parse().unwrap());
    request.headers.insert("origin", origin().parse().unwrap());
    match connection.open_session(request).await {
        Err(OpenSessionError::Rejected { status, .. }) => assert_eq!(status, 404),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_that_nobody_reads_stops_no_connection() {
    let mut server = Server::unread(&["-v", "--allow-origin", &origin()]);
    let url = server.url(&format!("/{}", "p".repeat(199)));
    let client = server.connect().await;
    // More than a pipe and the queue before it hold, of events and of logs.
    let count = (ROOM + (128 << 10)) / EVENT;
    for _ in 0..count {
        rejected(client.connection(), &url).await;
    }
    client.close().await;
    // A new client is served, too.
    server.run(&["get", &server.url("/bytes/1000")]).ok();

    // The end waits for no reader for long.
    let begun = Instant::now();
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    let (stdout, stderr) = server.rest();
    assert!(stdout.lines().count() < count && stderr.lines().count() < count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_events_are_counted_to_the_last_one() {
    let mut server = Server::unread(&["--allow-origin", &origin()]);
    let url = server.url(&format!("/{}", "p".repeat(199)));
    let client = server.connect().await;
    let count = (ROOM + (128 << 10)) / EVENT;
    for _ in 0..count {
        rejected(client.connection(), &url).await;
    }
    // Now they are read, and what comes later is told again.
    let (mut told, mut dropped) = (0, 0);
    while dropped == 0 {
        let line = server.line();
        match line["event"].as_str() {
            Some("session_rejected") => told += 1,
            Some("dropped") => dropped = line["lines"].as_u64().unwrap(),
            _ => panic!("{line}"),
        }
    }
    assert_eq!(told + dropped, count as u64);
    rejected(client.connection(), &url).await;
    assert_eq!(server.line()["event"], "session_rejected");
    client.close().await;
    server.signal("TERM");
    assert!(server.wait().success());
    let (stdout, stderr) = server.rest();
    assert_eq!(stdout, "");
    let warning = "warning: nobody reads standard output: lines are dropped\n";
    assert_eq!(stderr.matches(warning).count(), 1, "{stderr}");
}

#[test]
fn results_wait_for_their_reader_and_lose_nothing() {
    let server = Server::start(&[]);
    let len = 3_000_000;
    let mut get = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
        .args(["get", &server.url(&format!("/bytes/{len}")), "--cacert"])
        .arg(server.cert())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The pipe is full now and then, as it is emptied in small pieces.
    let mut stdout = BufReader::with_capacity(1000, get.stdout.take().unwrap());
    let mut body = Vec::new();
    stdout.read_to_end(&mut body).unwrap();
    assert!(get.wait().unwrap().success());
    assert!(body == support::pattern(len));
}
