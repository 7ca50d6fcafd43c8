//! `--record` and `aqueduct replay` as processes.
#![cfg(unix)]

mod support;

use std::fs;
use std::path::Path;

use support::{Server, aqueduct};

const SECRET: &str = "Basic c2VjcmV0OnBhc3N3b3Jk";

fn text(path: &Path) -> &str {
    path.to_str().expect("a name of ASCII")
}

/// A server and a client that are recorded; gives both files when all has ended.
fn recorded(server_more: &[&str], client_more: &[&str]) -> (tempfile::TempDir, [String; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let files = ["server.rec", "client.rec"].map(|name| folder.path().join(name));
    let record = ["--record", text(&files[0])];
    let mut server = Server::start(&[&record, server_more].concat());
    let url = server.url("/echo?user=MyTokenInQuery");
    let header = format!("authorization: {SECRET}");
    let body = "PlainBodyText".repeat(100);
    let get = [
        "get",
        &url,
        "-H",
        &header,
        "-d",
        &body,
        "--record",
        text(&files[1]),
    ];
    let run = server.run(&[&get, client_more].concat());
    assert_eq!(run.ok().text(), body);
    server.run(&["wt", &server.url("/echo")]).ok();
    server.signal("TERM");
    assert!(server.wait().success());
    let texts = files.map(|file| fs::read_to_string(file).unwrap());
    (folder, texts)
}

#[test]
fn what_was_recorded_is_replayed_without_its_secrets() {
    let (folder, texts) = recorded(&[], &[]);
    let token = SECRET.trim_start_matches("Basic ");
    for text in &texts {
        for secret in [token, "MyTokenInQuery", "PlainBodyText"] {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(!text.contains(secret) && !text.contains(&hex), "{secret}");
        }
        assert!(text.contains(" authorization "), "names are kept");
    }
    let file = folder.path().join("server.rec");
    let run = aqueduct(["replay", text(&file)]);
    let lines = run.ok().text();
    assert_eq!(lines.matches("the same again\n").count(), 2, "{lines}");

    let run = aqueduct(["replay", "--events", "--connection", "1", text(&file)]);
    let lines = run.ok().text();
    assert!(
        lines.contains(" session 0 requested https://127.0.0.1:"),
        "{lines}"
    );
    assert!(!lines.contains("connection 0"), "{lines}");

    let run = aqueduct(["replay", "--json", text(&folder.path().join("client.rec"))]);
    let [line] = &run.ok().json()[..] else {
        panic!("{}", run.text())
    };
    assert_eq!(
        (&line["event"], &line["side"], &line["complete"]),
        (&"replayed".into(), &"client".into(), &true.into())
    );
}

#[test]
fn secrets_are_kept_when_asked_for() {
    let whole = ["--record-secrets", "--record-transport"];
    let (folder, [server, _]) = recorded(&whole, &["--record-secrets"]);
    assert!(server.contains("MyTokenInQuery"), "{server}");
    let files = ["server.rec", "client.rec"].map(|name| folder.path().join(name));
    let [server, client] = files.each_ref().map(|file| text(file));
    aqueduct(["replay", "--transport", server]).ok();
    aqueduct(["replay", client]).ok();
    aqueduct(["replay", "--transport", client]).expect(1, "no calls of the transport");
    aqueduct(["serve", "--record-secrets"]).expect(2, "--record");
    aqueduct(["serve", "--record-transport"]).expect(2, "--record");
}

#[test]
fn a_difference_is_shown_and_fails() {
    let (folder, [server, _]) = recorded(&[], &[]);
    let changed = server.replacen(" stream 0 readable", " stream 0 writable", 1);
    let file = folder.path().join("changed.rec");
    fs::write(&file, changed).unwrap();
    let run = aqueduct(["replay", text(&file)]);
    run.expect(1, "connection 0 does not replay");
    run.expect(1, "0 ev stream 0 writable");
    run.expect(1, "0 ev stream 0 readable");
    assert!(
        run.text().contains("connection 1 (server)"),
        "the other is replayed"
    );

    fs::write(&file, "something else\n").unwrap();
    aqueduct(["replay", text(&file)]).expect(1, "not a recording");
    let missing = folder.path().join("missing");
    aqueduct(["replay", text(&missing)]).expect(1, "cannot replay");
    let server = folder.path().join("server.rec");
    aqueduct(["replay", text(&server), "--connection", "77"]).expect(1, "no connection 77");
}

#[test]
fn a_file_that_cannot_be_written_is_told_before_anything_else() {
    let run = aqueduct(["serve", "--record", "/nonexistent/folder/file"]);
    run.expect(1, "cannot record to `/nonexistent/folder/file`");
}

#[test]
fn a_recording_ends_at_its_limit_and_the_serving_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.rec");
    let limit = ["--record", text(&file), "--record-limit", "8KiB"];
    let mut server = Server::unread(&limit);
    // One connection, which is longer in the recording than the limit.
    let path = server.url("/bytes/50000");
    let get = [&["get"][..], &[path.as_str(); 20]].concat();
    assert_eq!(server.run(&get).ok().stdout.len(), 1_000_000);
    server.signal("TERM");
    assert!(server.wait().success());
    let (_, stderr) = server.rest();
    let told = "the recording cannot be written and ends here error=its limit is reached";
    assert_eq!(stderr.matches(told).count(), 1, "{stderr}");
    let recorded = fs::read_to_string(&file).unwrap();
    assert!(recorded.len() <= 8 << 10, "{}", recorded.len());
    assert!(
        recorded
            .lines()
            .last()
            .unwrap()
            .starts_with("# the recording ends here")
    );
    let lines = aqueduct(["replay", text(&file)]).ok().text();
    assert!(
        lines.contains("; the recording stops before its end\n"),
        "{lines}"
    );
    aqueduct(["serve", "--record", text(&file), "--record-limit", "1000"]).expect(2, "1KiB");
}
