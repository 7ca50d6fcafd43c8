//! Ends of the program that a signal brings: whoever is at the other end learns it at once.
#![cfg(unix)]

mod support;

use std::net::UdpSocket;

use support::{Running, Server};

fn trusting(server: &Server, arguments: &[&str]) -> Vec<std::ffi::OsString> {
    let mut all: Vec<_> = arguments.iter().map(Into::into).collect();
    all.extend(["--cacert".into(), server.cert().into()]);
    all
}

#[test]
fn get_takes_its_leave_when_a_signal_comes() {
    let mut server = Server::unread(&["-v"]);
    let mut logs = server.logs();
    for (name, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let url = server.url("/slow?ms=60000");
        let get = Running::start(trusting(&server, &["get", &url]));
        logs.find(|line| line.contains(" request method=GET"))
            .expect("a request");
        get.signal(name);
        get.end()
            .expect(code, &format!("SIG{name} came before it was done"));
        let over = logs
            .find(|line| line.contains("a connection is over"))
            .expect("its end");
        assert!(over.contains("H3_NO_ERROR"), "{over}");
    }
}

#[test]
fn a_session_is_closed_in_words_when_a_signal_comes() {
    let mut server = Server::start(&[]);
    let url = server.url("/echo");
    let ping = ["wt", &url, "ping", "--count", "1000", "--json"];
    let mut wt = Running::start(trusting(&server, &ping));
    assert_eq!(server.line()["event"], "session_opened");
    while !wt.line().contains("reply") {}
    wt.signal("TERM");
    let closed = server.line();
    assert_eq!(
        (&closed["event"], &closed["code"]),
        (&"session_closed".into(), &0.into())
    );
    // What was measured until then is told.
    assert!(wt.end().ok().text().contains("median_ms"));

    let throughput = ["wt", &url, "throughput", "--bytes", "100GB", "--json"];
    let mut wt = Running::start(trusting(&server, &throughput));
    assert_eq!(server.line()["event"], "session_opened");
    // Before it knows of the session it could only close the connection.
    assert!(wt.line().contains("\"session\""));
    wt.signal("INT");
    // Its streams end first.
    while server.line()["event"] != "session_closed" {}
    wt.end().expect(130, "SIGINT");
}

#[test]
fn a_signal_ends_the_wait_for_an_answer() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    for command in ["get", "wt", "probe"] {
        let run = [command, &url, "--insecure", "--connect-timeout", "50s"];
        let client = Running::start(run);
        silent.recv(&mut [0; 2000]).expect("a first packet");
        client.signal("INT");
        client.end().expect(130, "SIGINT");
        // What is left of its packets.
        silent.set_nonblocking(true).unwrap();
        while silent.recv(&mut [0; 2000]).is_ok() {}
        silent.set_nonblocking(false).unwrap();
    }
}

#[test]
fn sessions_are_told_that_the_server_shuts_down() {
    let mut server = Server::start(&["--drain-timeout", "300ms"]);
    let url = server.url("/echo");
    let ping = ["wt", &url, "ping", "--count", "100000"];
    let wt = Running::start(trusting(&server, &ping));
    assert_eq!(server.line()["event"], "session_opened");
    server.signal("TERM");
    wt.end().expect(
        1,
        "closed by the server with code 0: the server is shutting down",
    );
    assert!(server.wait().success());
}

#[test]
fn certificates_are_read_again_on_sighup() {
    let mut server = Server::start(&[]);
    let before = server.ready["sha256"].clone();
    let get = |server: &Server| server.run(&["get", &server.url("/bytes/1")]);
    get(&server).ok();
    server.signal("HUP");
    let line = server.line();
    assert_eq!(line["event"], "reloaded");
    assert_ne!(line["sha256"], before);
    // The new one is where the old one was.
    get(&server).ok();
    let print = line["sha256"].as_str().unwrap();
    support::aqueduct(["get", &server.url("/bytes/1"), "--cert-hash", print]).ok();
}

#[test]
fn a_server_says_at_its_end_whether_work_was_left() {
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--drain-timeout",
        "300ms",
    ];
    let mut server = Running::start(serve);
    server.line();
    server.signal("TERM");
    server.end().expect(0, "stopped: all work was finished");

    let folder = tempfile::tempdir().unwrap();
    let cert = folder.path().join("cert.pem");
    let mut arguments: Vec<std::ffi::OsString> = serve.map(Into::into).into();
    arguments.extend(["--cert-out".into(), cert.clone().into()]);
    let mut server = Running::start(arguments);
    let line = server.line();
    let url = line.split(&[' ', ','][..]).nth(1).expect("a URL");
    let url = format!("{url}echo");
    let ping = ["wt", &url, "ping", "--count", "100000", "--cacert"];
    let mut all: Vec<std::ffi::OsString> = ping.map(Into::into).into();
    all.push(cert.into());
    let mut wt = Running::start(all);
    wt.line();
    server.signal("TERM");
    server
        .end()
        .expect(0, "stopped: what was not finished was closed");
    wt.end().expect(1, "the server is shutting down");
}
