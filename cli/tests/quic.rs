//! `aqueduct quic` as a process: a stream, or datagrams, between two of them.

mod support;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;

use support::{Run, Running, aqueduct, pattern};
use tempfile::TempDir;

const LARGEST: &str = "4611686018427387903";

/// `aqueduct quic listen` on a free port.
struct Listener {
    running: Running,
    address: String,
    folder: TempDir,
}

impl Listener {
    /// With JSON on standard output.
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cert = folder.path().join("cert.pem");
        let fixed = ["quic", "listen", "127.0.0.1:0", "--json", "--cert-out"];
        let mut all: Vec<std::ffi::OsString> = fixed.iter().map(Into::into).collect();
        all.push(cert.into());
        all.extend(arguments.iter().map(Into::into));
        let mut running = Running::start(all);
        let ready: serde_json::Value = serde_json::from_str(&running.line()).unwrap();
        assert_eq!(ready["ready"], true);
        let address = ready["address"].as_str().unwrap().to_owned();
        Self {
            running,
            address,
            folder,
        }
    }

    fn echo() -> Self {
        Self::start(&["--alpn", "echo", "--echo"])
    }

    /// The next event of this name.
    fn event(&mut self, name: &str) -> serde_json::Value {
        loop {
            let line = self.running.line();
            assert!(!line.is_empty(), "no {name}");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["event"] == name {
                return line;
            }
        }
    }

    fn connect(&self, alpn: &str, arguments: &[&str]) -> Running {
        let cert = self.folder.path().join("cert.pem");
        let fixed = ["quic", "connect", &self.address, "--alpn", alpn, "--cacert"];
        let mut all: Vec<std::ffi::OsString> = fixed.iter().map(Into::into).collect();
        all.push(cert.into());
        all.extend(arguments.iter().map(Into::into));
        Running::start(all)
    }

    /// `aqueduct quic connect` with this on standard input, to its end.
    fn run(&self, alpn: &str, arguments: &[&str], input: &[u8]) -> Run {
        say(self.connect(alpn, arguments), input)
    }
}

fn say(mut running: Running, input: &[u8]) -> Run {
    let mut stdin = running.stdin.take().unwrap();
    let input = input.to_vec();
    // Whoever stops reading has a reason of its own.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let run = running.end();
    writer.join().unwrap();
    run
}

#[test]
fn ten_mebibytes_go_both_ways_and_arrive_as_they_were() {
    let listener = Listener::echo();
    for len in [0, 1, 10 << 20] {
        let run = listener.run("echo", &[], &pattern(len));
        assert!(
            run.ok().stdout == pattern(len),
            "{len}: {}",
            run.stdout.len()
        );
    }
}

#[test]
fn two_pipes_are_joined_and_both_end() {
    let folder = tempfile::tempdir().unwrap();
    let cert = folder.path().join("cert.pem");
    let fixed = [
        "quic",
        "listen",
        "127.0.0.1:0",
        "--alpn",
        "pipe",
        "--once",
        "--cert-out",
    ];
    let mut all: Vec<std::ffi::OsString> = fixed.iter().map(Into::into).collect();
    all.push(cert.clone().into());
    let mut listener = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
        .args(all)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = std::io::BufReader::new(listener.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut stderr, &mut line).unwrap();
    let address = line.split(' ').nth(2).unwrap().to_owned();
    let (theirs, ours) = (pattern(3 << 20), pattern(2 << 20));
    let mut stdin = listener.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(&pattern(3 << 20)).unwrap());
    let mut stdout = listener.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).unwrap();
        all
    });
    let trust = ["--cacert", cert.to_str().unwrap()];
    let fixed = ["quic", "connect", &address, "--alpn", "pipe"];
    let run = say(Running::start(fixed.iter().chain(&trust)), &ours);
    assert!(run.ok().stdout == theirs, "{}", run.stdout.len());
    assert!(reader.join().unwrap() == ours);
    writer.join().unwrap();
    assert_eq!(listener.wait().unwrap().code(), Some(0));
}

#[test]
fn lines_are_datagrams_and_come_back_escaped() {
    let listener = Listener::echo();
    let datagrams = ["--datagrams", "--quiet", "500ms"];
    let run = listener.run("echo", &datagrams, b"salve\nami\x1b[2Jce\n");
    let text = run.ok().text();
    assert_eq!(text, "salve\nami\\u{1b}[2Jce\n");
    let raw = [&datagrams[..], &["--raw"]].concat();
    let run = listener.run("echo", &raw, b"a\x1b[2Jb");
    assert_eq!(run.ok().stdout, b"a\x1b[2Jb");
    let large = "x".repeat(60_000);
    listener
        .run("echo", &datagrams, large.as_bytes())
        .expect(1, "cannot send a datagram of 60000 bytes (at most ");
}

#[test]
fn a_protocol_that_the_server_does_not_have_is_named() {
    let listener = Listener::echo();
    listener
        .run("no\u{202e}thing", &[], b"")
        .expect(1, r"the server does not speak no\u{202e}thing (ALPN)")
        .expect(1, "0x178");
    listener.run("nothing", &["--alpn", "echo"], b"").ok();
}

#[test]
fn codes_of_62_bits_are_told_by_both_ends() {
    let mut listener = Listener::echo();
    let run = listener.run("echo", &["--reset", LARGEST], b"abc");
    run.expect(1, &format!("the peer reset the stream with code {LARGEST}"));
    let code = listener.event("stream_reset")["code"].as_u64();
    assert_eq!(code, Some((1 << 62) - 1));
    listener.run("echo", &["--stop", "0x7"], b"abc");
    assert_eq!(listener.event("stream_stopped")["code"], 7);
    listener.event("closed");
    let close = ["--code", LARGEST, "--reason", "good\nbye"];
    assert_eq!(listener.run("echo", &close, b"abc").ok().text(), "abc");
    let closed = listener.event("closed");
    assert_eq!(closed["code"].as_u64(), Some((1 << 62) - 1));
    assert_eq!(closed["reason"], "good\nbye");
}

#[test]
fn a_close_before_the_end_is_a_failure_and_its_reason_is_escaped() {
    let close = ["--code", LARGEST, "--reason", "\u{1b}[2Jbye"];
    let listener =
        Listener::start(&[&["--alpn", "x", "--once", "--stop", "5"], &close[..]].concat());
    let words = format!(r"closed by the peer with code {LARGEST}: \u{{1b}}[2Jbye");
    let mut running = listener.connect("x", &["--no-fin"]);
    running.stdin.as_mut().unwrap().write_all(b"a").unwrap();
    // The listener has nothing to say, wants nothing, and leaves.
    listener.running.end().ok();
    let run = running.end();
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let stopped = "the peer stopped the stream with code 5";
    assert!(
        run.stderr.contains(stopped) || run.stderr.contains(&words),
        "{}",
        run.stderr
    );
}

#[test]
fn unidirectional_streams_go_one_way() {
    let mut listener = Listener::start(&["--alpn", "x"]);
    let run = listener.run("x", &["--uni"], b"one way");
    assert_eq!(run.ok().text(), "");
    assert_eq!(listener.event("received")["text"], "one way");
    let echo = Listener::echo();
    let run = echo.run("echo", &["--uni", "--accept"], &pattern(300_000));
    assert!(run.ok().stdout == pattern(300_000));
}

#[test]
fn a_listener_serves_one_after_another_until_a_signal_comes() {
    let mut listener = Listener::start(&["--alpn", "x"]);
    // Nothing is typed there.
    drop(listener.running.stdin.take());
    for text in ["first", "second"] {
        listener.run("x", &[], text.as_bytes()).ok();
        assert_eq!(listener.event("connected")["alpn"], "x");
        assert_eq!(listener.event("received")["text"], text);
    }
    listener.running.signal("TERM");
    listener.running.end().ok();
}

#[test]
fn a_signal_ends_a_client_and_the_server_hears_of_it() {
    let mut listener = Listener::echo();
    let mut client = listener.connect("echo", &[]);
    client
        .stdin
        .as_mut()
        .unwrap()
        .write_all(b"salve\n")
        .unwrap();
    assert_eq!(client.line(), "salve");
    client.signal("INT");
    client.end().expect(130, "SIGINT came before it was done");
    assert_eq!(listener.event("closed")["code"], 0);
}

#[test]
fn a_closed_output_is_a_failure_and_a_closed_input_is_an_end() {
    let listener = Listener::echo();
    let cert = listener.folder.path().join("cert.pem");
    let shell = |script: &str| {
        Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_aqueduct")])
            .env("AT", &listener.address)
            .env("CERT", &cert)
            .output()
            .unwrap()
    };
    let connect = "\"$0\" quic connect \"$AT\" --alpn echo --cacert \"$CERT\"";
    let closed = shell(&format!("{connect} <&-"));
    assert_eq!(
        (closed.status.code(), &closed.stdout[..]),
        (Some(0), &b""[..])
    );
    let gone = shell(&format!(
        "{{ head -c 3000000 /dev/zero | {connect}; echo $? >&2; }} | head -c 10 >/dev/null"
    ));
    let stderr = String::from_utf8_lossy(&gone.stderr);
    assert!(
        stderr.contains("cannot write to standard output"),
        "{stderr}"
    );
    assert!(stderr.trim_end().ends_with('1'), "{stderr}");
}

#[test]
fn what_was_agreed_on_is_shown() {
    let listener = Listener::echo();
    let run = listener.run("echo", &["--show"], b"abc");
    assert_eq!(run.ok().text(), "abc");
    for word in ["protocol     echo", "for localhost", "initial_max_data = "] {
        assert!(run.stderr.contains(word), "{}", run.stderr);
    }
    let run = listener.run("echo", &["--show", "--json"], b"");
    let lines = run.ok().json();
    assert_eq!(
        (&lines[0]["event"], &lines[0]["alpn"]),
        (&"connected".into(), &"echo".into())
    );
    assert!(lines[0]["parameters"]["initial_max_streams_bidi"].is_u64());
}

#[test]
fn mistakes_are_named() {
    aqueduct(["quic", "connect", "localhost:1"]).expect(2, "--alpn");
    aqueduct(["quic", "connect", "localhost", "--alpn", "x"]).expect(2, "is not like");
    aqueduct(["quic", "connect", "localhost:1", "--alpn", "h3"]).expect(2, "HTTP/3");
    let listener = Listener::echo();
    let connect = ["quic", "connect", &listener.address, "--alpn", "echo"];
    aqueduct(connect).expect(3, "is not trusted");
}
