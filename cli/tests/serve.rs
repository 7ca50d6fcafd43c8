//! `aqueduct serve` as a process.

mod support;

use std::fs;

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

    let server = Server::start(&[]);
    let echo = server.url("/echo");
    let from = |origin: &str| server.run(&["wt", &echo, "-H", &format!("origin: {origin}")]);
    from(echo.trim_end_matches("/echo")).ok();
    from("https://example.org").expect(4, "403");
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

#[cfg(unix)]
#[test]
fn a_signal_lets_work_finish_and_ends_the_server() {
    for name in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        let slow = server.url("/slow?ms=700");
        let (cert, first) = (server.cert(), server.url("/bytes/1"));
        let request = std::thread::spawn(move || {
            aqueduct(["get", &first, &slow, "--cacert", cert.to_str().unwrap()])
        });
        // Long enough for the first answer, short enough for the second to be under way.
        std::thread::sleep(std::time::Duration::from_millis(400));
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
    let mut server = Server::start(&["--drain-timeout", "300ms"]);
    let (cert, slow) = (server.cert(), server.url("/slow?ms=30000"));
    let request =
        std::thread::spawn(move || aqueduct(["get", &slow, "--cacert", cert.to_str().unwrap()]));
    std::thread::sleep(std::time::Duration::from_millis(400));
    let begun = std::time::Instant::now();
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    request.join().unwrap().expect(1, "cannot fetch");
}

#[cfg(unix)]
#[test]
fn several_workers_share_a_port_and_drain_together() {
    let mut server = Server::start(&["--workers", "3"]);
    for _ in 0..6 {
        server.run(&["get", &server.url("/bytes/1000")]).ok();
    }
    aqueduct(["serve", "--workers", "0"]).expect(2, "--workers");
    let (cert, slow) = (server.cert(), server.url("/slow?ms=700"));
    let request =
        std::thread::spawn(move || aqueduct(["get", &slow, "--cacert", cert.to_str().unwrap()]));
    std::thread::sleep(std::time::Duration::from_millis(400));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    request.join().unwrap().ok();
}
