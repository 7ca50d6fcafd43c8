//! `aqueduct serve` as a process.

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use aqueduct_tokio::error::OpenSessionError;
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use support::{Server, aqueduct};

#[test]
fn the_ready_line_is_one_object_of_an_agreed_shape() {
    let server = Server::start(&["--page", "127.0.0.1:0"]);
    let ready = server.ready.as_object().unwrap();
    let names: Vec<_> = ready.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "ready",
            "url",
            "address",
            "sha256",
            "sha256_base64",
            "spki_sha256_base64",
            "page"
        ]
    );
    assert_eq!(ready["ready"], true);
    let address = ready["address"].as_str().unwrap();
    assert_eq!(ready["url"], format!("https://{address}/"));
    assert_eq!(ready["sha256"].as_str().unwrap().len(), 64);
    assert_eq!(ready["sha256_base64"].as_str().unwrap().len(), 44);
    assert!(
        ready["page"]
            .as_str()
            .unwrap()
            .starts_with("http://127.0.0.1:")
    );
    assert!(Server::start(&[]).ready["page"].is_null());
}

#[test]
fn either_form_of_the_digest_is_trusted() {
    let server = Server::start(&[]);
    for name in ["sha256", "sha256_base64"] {
        let digest = server.ready[name].as_str().unwrap();
        aqueduct(["get", &server.url("/bytes/1"), "--cert-hash", digest]).ok();
    }
}

#[test]
fn every_runtime_serves_requests_and_sessions_and_ends_when_told() {
    for runtime in ["tokio", "async-std", "mio"] {
        let mut server = Server::start(&["--runtime", runtime]);
        let cert = server.cert();
        let cert = cert.to_str().unwrap();
        let got = aqueduct(["get", &server.url("/bytes/100000"), "--cacert", cert]);
        assert_eq!(got.ok().stdout.len(), 100_000, "{runtime}");
        let url = server.url("/echo");
        aqueduct(["wt", &url, "ping", "--count", "3", "--cacert", cert]).ok();
        server.signal("INT");
        assert!(server.wait().success(), "{runtime}");
    }
}

#[test]
fn what_cannot_be_served_is_said_and_has_an_exit_code() {
    let server = Server::start(&[]);
    let taken = server.ready["address"].as_str().unwrap();
    aqueduct(["serve", "--listen", taken]).expect(1, "cannot listen on");
    aqueduct(["serve", "--root", "/no/such/folder"]).expect(1, "/no/such/folder");
    let cert = server.cert();
    let cert = cert.to_str().unwrap();
    aqueduct(["serve", "--cert", cert, "--key", cert]).expect(3, "no unencrypted private key");
    aqueduct(["serve", "--cert", cert, "--key", "/no/key"]).expect(3, "/no/key");
    aqueduct(["serve", "--cert", cert]).expect(2, "--key");
    // Times that QUIC cannot be given, and one that would do nothing.
    aqueduct(["serve", "--idle-timeout", "0"]).expect(2, "at least 1ms");
    aqueduct(["serve", "--keep-alive", "0s"]).expect(2, "at least 1ms");
    let seldom = ["serve", "--keep-alive", "30s", "--listen", "127.0.0.1:0"];
    aqueduct(seldom).expect(2, "less than --idle-timeout");
    aqueduct(["serve", "--runtime", "mio", "--workers", "2"]).expect(2, "--workers");
    let away = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--cert-out",
        "/no/such/folder/cert.pem",
    ];
    aqueduct(away).expect(1, "cannot write the certificate");
}

#[test]
fn files_are_served_and_nothing_outside_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    let root = folder.path().join("site");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("index.html"), "<title>home</title>").unwrap();
    let large: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    fs::write(root.join("large.bin"), &large).unwrap();
    let server = Server::start(&["--root", root.to_str().unwrap()]);

    let home = server.run(&["get", "-i", &server.url("/")]);
    home.expect(0, "content-type: text/html");
    assert_eq!(home.text(), "<title>home</title>");
    assert_eq!(
        server.run(&["get", &server.url("/large.bin")]).ok().stdout,
        large
    );
    let part = server.run(&[
        "get",
        &server.url("/large.bin"),
        "-H",
        "range: bytes=1000000-1000009",
    ]);
    assert_eq!(part.ok().stdout, large[1_000_000..1_000_010]);

    for path in [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/missing",
        "/bytes/10",
    ] {
        let refused = server.run(&["get", &server.url(path)]);
        assert_eq!(refused.code, Some(4), "{path}: {}", refused.stderr);
        assert!(!refused.text().contains("secret"), "{path}");
    }
}

#[test]
fn sessions_of_pages_from_elsewhere_are_refused() {
    let server = Server::start(&["--allow-origin", "https://example.com"]);
    let echo = server.url("/echo");
    let from = |origin: &str| server.run(&["wt", &echo, "-H", &format!("origin: {origin}")]);
    from("https://example.com").ok();
    from("https://example.org").expect(4, "403");

    let mut server = Server::start(&["--page", "127.0.0.1:0"]);
    let echo = server.url("/echo");
    let page = server.ready["page"].as_str().unwrap().to_owned();
    let page = page.trim_end_matches('/');
    for own in [echo.trim_end_matches("/echo"), page] {
        let from = format!("origin: {own}");
        server.run(&["wt", &echo, "-H", &from]).ok();
        assert_eq!(server.line()["event"], "session_opened", "{own}");
        assert_eq!(server.line()["event"], "session_closed", "{own}");
    }
    let refused = server.run(&["wt", &echo, "-H", "origin: https://example.org"]);
    refused.expect(4, "403");
    let told = serde_json::json!({
        "event": "session_rejected",
        "path": "/echo",
        "origin": "https://example.org",
        "status": 403,
    });
    assert_eq!(server.line(), told);
}

#[test]
fn what_clients_do_to_sessions_is_told() {
    let mut server = Server::start(&[]);
    server.run(&["wt", &server.url("/echo")]).ok();
    let opened = server.line();
    assert_eq!(
        (&opened["event"], &opened["path"]),
        (&"session_opened".into(), &"/echo".into())
    );
    let line = server.line();
    assert_eq!(
        (&line["event"], &line["code"]),
        (&"session_closed".into(), &0.into())
    );
}

/// What a server tells of a session: its beginning, and the end that it has.
#[track_caller]
fn session_ends(server: &mut Server, event: &str, field: &str, with: &str) {
    assert_eq!(server.line()["event"], "session_opened", "{with}");
    let line = server.line();
    assert_eq!(line["event"], event, "{line}");
    assert!(line[field].to_string().contains(with), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_session_that_was_opened_has_an_end() {
    let mut server = Server::start(&[]);
    let client = server.connect().await;
    let connection = client.connection();
    let open = || ConnectRequest::new(server.url("/echo").parse().unwrap());
    let (first, second) = (open(), open());
    let session = connection.open_session(first).await.unwrap();
    session.close(7, "enough").unwrap();
    session_ends(&mut server, "session_closed", "reason", "enough");
    let session = connection.open_session(second).await.unwrap();
    connection.close(Code::H3_NO_ERROR, "all of it ends");
    session_ends(&mut server, "session_ended", "why", "all of it ends");
    drop(session);
    server.run(&["wt", &server.url("/close?code=7&reason=ours")]);
    let ours = "closed by the server with code 7: ours";
    session_ends(&mut server, "session_ended", "why", ours);
}

#[cfg(unix)]
#[test]
fn the_end_of_a_session_whose_client_is_dead_is_told() {
    let mut server = Server::start(&["--idle-timeout", "500ms"]);
    let (url, cert) = (server.url("/echo"), server.cert());
    let ping = ["wt", &url, "ping", "--count", "1000", "--json", "--cacert"];
    let mut client = support::Running::start(ping.into_iter().chain(cert.to_str()));
    while !client.line().contains("reply") {}
    client.signal("KILL");
    session_ends(&mut server, "session_ended", "why", "timed out");
    client.end();
}

/// Waits until the server, which runs with `-v`, has taken a request for `/slow`.
#[cfg(unix)]
fn slow_is_under_way(server: &mut Server) {
    let mut logs = server.logs();
    let taken = logs.find(|line| line.contains(" request method=GET path=\"/slow"));
    taken.expect("the request arrives");
    // Somebody has to read the rest, or the server writes to a closed pipe.
    std::thread::spawn(move || logs.count());
}

#[cfg(unix)]
#[test]
fn a_signal_lets_work_finish_and_ends_the_server() {
    for name in ["TERM", "INT"] {
        let mut server = Server::unread(&["-v"]);
        let slow = server.url("/slow?ms=700");
        let (cert, first) = (server.cert(), server.url("/bytes/1"));
        let request = std::thread::spawn(move || {
            aqueduct(["get", &first, &slow, "--cacert", cert.to_str().unwrap()])
        });
        slow_is_under_way(&mut server);
        server.signal(name);
        assert_eq!(server.wait().code(), Some(0), "SIG{name}");
        let request = request.join().unwrap();
        request.ok();
        assert!(
            request.text().ends_with("after 700 ms\n"),
            "SIG{name}: {}",
            request.text()
        );
    }
}

#[cfg(unix)]
#[test]
fn a_client_that_stays_is_left_after_the_deadline() {
    let mut server = Server::unread(&["-v", "--drain-timeout", "300ms"]);
    let (cert, slow) = (server.cert(), server.url("/slow?ms=30000"));
    let request =
        std::thread::spawn(move || aqueduct(["get", &slow, "--cacert", cert.to_str().unwrap()]));
    slow_is_under_way(&mut server);
    let begun = std::time::Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    request.join().unwrap().expect(1, "cannot fetch");
}

#[cfg(unix)]
#[test]
fn several_workers_share_a_port_and_drain_together() {
    let mut server = Server::unread(&["-v", "--workers", "3"]);
    for _ in 0..6 {
        server.run(&["get", &server.url("/bytes/1000")]).ok();
    }
    aqueduct(["serve", "--workers", "0"]).expect(2, "--workers");
    let (cert, slow) = (server.cert(), server.url("/slow?ms=700"));
    let request =
        std::thread::spawn(move || aqueduct(["get", &slow, "--cacert", cert.to_str().unwrap()]));
    slow_is_under_way(&mut server);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    request.join().unwrap().ok();
}

#[test]
fn every_answer_has_a_date() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "text").unwrap();
    let server = Server::start(&["--demo", "--root", folder.path().to_str().unwrap()]);
    for (path, code) in [
        ("/file", 0),
        ("/missing", 4),
        ("/bytes/3", 0),
        ("/status/204", 0),
        ("/status/503", 4),
        ("/trailers", 0),
        ("/echo", 0),
    ] {
        let run = server.run(&["get", "-i", &server.url(path)]);
        run.expect(code, "\ndate: ");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_session_requests_have_a_date() {
    let server = Server::start(&[]);
    let client = server.connect().await;
    let ask = |path| {
        let request = ConnectRequest::new(server.url(path).parse().unwrap());
        client.connection().open_session(request)
    };
    let session = ask("/echo").await.unwrap();
    assert!(session.headers().contains_key("date"));
    match ask("/nothing").await {
        Err(OpenSessionError::Rejected { headers, .. }) => assert!(headers.contains_key("date")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_there_is_said_at_the_start() {
    let mut server = Command::new(env!("CARGO_BIN_EXE_aqueduct"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("requests: /bytes/N "), "{first}");
    let second = lines.next().unwrap().unwrap();
    assert!(second.starts_with("sessions: /echo "), "{second}");
    server.kill().unwrap();
    server.wait().unwrap();
}

/// Files with a certificate for `name` and its key.
fn certificate(folder: &Path, name: &str, days: std::ops::Range<u64>) -> [String; 2] {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let day = |day| {
        SystemTime::now() - Duration::from_secs(30 * 86_400) + Duration::from_secs(day * 86_400)
    };
    params.not_before = day(days.start).into();
    params.not_after = day(days.end).into();
    let paths = ["cert", "key"].map(|kind| folder.join(format!("{name}.{kind}")));
    fs::write(&paths[0], params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&paths[1], key.serialize_pem()).unwrap();
    paths.map(|path| path.to_str().unwrap().to_owned())
}

#[test]
fn each_name_has_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let a = certificate(folder.path(), "a.example", 29..40);
    let b = certificate(folder.path(), "b.example", 29..40);
    let pairs = [
        "--cert", &a[0], "--key", &a[1], "--cert", &b[0], "--key", &b[1],
    ];
    let server = Server::start(&pairs);
    let address = server.ready["address"].as_str().unwrap();
    for (name, [cert, _]) in [("a.example", &a), ("b.example", &b)] {
        let url = format!("https://{name}/bytes/1");
        let to = ["get", &url, "--connect-to", address, "--cacert"];
        aqueduct(to.iter().copied().chain([cert.as_str()])).ok();
    }
    aqueduct(["serve", "--cert", &a[0], "--key", &a[1], "--cert", &b[0]]).expect(2, "--key");
}

#[test]
fn certificates_that_clients_will_not_take_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    for (name, days, why) in [
        (
            "old",
            0..29,
            "clients will not trust the certificate: it expired on 2",
        ),
        (
            "new",
            31..40,
            "clients will not trust the certificate: it is not valid before 2",
        ),
        (
            "long",
            29..50,
            "do not take the certificate by its hash: it is valid for 21 days",
        ),
    ] {
        let [cert, key] = certificate(folder.path(), name, days);
        let mut server = Server::unread(&["--cert", &cert, "--key", &key]);
        let first = server.logs().next().unwrap();
        assert!(
            first.starts_with("warning: ") && first.contains(why),
            "{first}"
        );
    }
}

#[test]
fn the_page_has_the_hash_of_a_certificate_that_browsers_take_by_it() {
    let folder = tempfile::tempdir().unwrap();
    for (name, days) in [("short", 29..40), ("long", 29..50)] {
        let [cert, key] = certificate(folder.path(), name, days);
        let server = Server::start(&["--cert", &cert, "--key", &key, "--page", "127.0.0.1:0"]);
        let digest = server.ready["sha256_base64"].as_str().unwrap();
        let html = aqueduct(["get", "--insecure", &server.url("/")])
            .ok()
            .text();
        let given = html.contains(&format!("\"hash\":\"{digest}\""));
        assert_eq!(given, name == "short", "{name}");
    }
}

#[test]
fn silence_ends_a_connection_when_it_is_told_to() {
    let server = Server::start(&["--idle-timeout", "1234ms"]);
    let run = server.run(&["probe", "--json", &server.url("/echo")]);
    let parameters = &run.ok().json()[0]["transport_parameters"];
    assert_eq!(parameters["max_idle_timeout"], 1234);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_keeps_connections_when_it_is_told_to() {
    // Longer than the timeout, which the server's packets begin anew.
    let server = Server::start(&["--idle-timeout", "600ms", "--keep-alive", "100ms"]);
    let client = server.connect().await;
    let over = tokio::time::timeout(Duration::from_secs(2), client.connection().closed());
    assert!(over.await.is_err(), "it is open");
}
