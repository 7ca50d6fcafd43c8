//! `aqueduct get` as a process.

mod support;

use std::fs;
use std::net::UdpSocket;

use support::{Server, aqueduct, pattern};

#[test]
fn bodies_come_on_standard_output_in_order() {
    let server = Server::start(&[]);
    let urls = ["/bytes/70000", "/bytes/0", "/trailers"].map(|path| server.url(path));
    let run = server.run(&["get", &urls[0], &urls[1], &urls[2]]);
    let mut wanted = pattern(70_000);
    wanted.extend(b"body");
    assert!(run.ok().stdout == wanted, "{} bytes", run.stdout.len());
}

#[test]
fn files_are_written_and_sent() {
    let server = Server::start(&[]);
    let [a, b] = ["a", "b"].map(|name| server.folder().join(name).to_str().unwrap().to_owned());
    let (large, small) = (server.url("/bytes/2000000"), server.url("/bytes/5"));
    let run = server.run(&["get", &large, &small, "-o", &a, "-o", &b]);
    run.expect(0, "1.91 MiB in");
    assert!(run.stdout.is_empty());
    assert!(fs::read(&a).unwrap() == pattern(2_000_000));
    assert_eq!(fs::read(&b).unwrap(), pattern(5));

    let upload = format!("@{a}");
    let run = server.run(&["get", &server.url("/sha256"), "-d", &upload]);
    let digest = aqueduct_cli::identity::Sha256Digest::of(&pattern(2_000_000)).to_hex();
    assert_eq!(run.ok().text(), format!("{digest} 2000000\n"));
    let run = server.run(&["get", &server.url("/echo"), "-X", "PUT", "-d", &upload]);
    assert!(run.ok().stdout == pattern(2_000_000));
}

#[test]
fn json_tells_all_about_a_response() {
    let server = Server::start(&[]);
    let url = server.url("/trailers");
    let run = server.run(&["get", "--json", &url]);
    let [line] = &run.ok().json()[..] else {
        panic!("{}", run.text())
    };
    assert_eq!(line["event"], "response");
    assert_eq!(line["url"], url);
    assert_eq!(line["status"], 200);
    assert_eq!(line["bytes"], 4);
    assert_eq!(
        line["trailers"],
        serde_json::json!([["x-trailer-a", "1"], ["x-trailer-b", "2"]])
    );
    assert!(line["seconds"].as_f64().unwrap() > 0.0);

    let run = server.run(&["get", "--json", &server.url("/nothing")]);
    let lines = run.expect(4, "404").json();
    assert_eq!(
        (&lines[0]["status"], &lines[1]["exit_code"]),
        (&404.into(), &4.into())
    );
}

#[test]
fn heads_and_trailers_are_shown_when_asked_for() {
    let server = Server::start(&[]);
    let run = server.run(&["get", "-i", &server.url("/early")]);
    run.expect(0, "HTTP/3 103 Early Hints\nlink: ")
        .expect(0, "HTTP/3 200 OK\n");
    server
        .run(&["get", "-i", &server.url("/trailers")])
        .expect(0, "x-trailer-b: 2");
    let head = server.run(&["get", "-i", "-X", "HEAD", &server.url("/bytes/500")]);
    assert!(head.expect(0, "content-length: 500").stdout.is_empty());
}

#[test]
fn fields_are_sent_as_given() {
    let server = Server::start(&[]);
    let run = server.run(&[
        "get",
        &server.url("/headers"),
        "-H",
        "x-a: 1",
        "-H",
        "User-Agent:me",
    ]);
    let fields: Vec<(String, String)> = serde_json::from_slice(&run.ok().stdout).unwrap();
    let value = |name| {
        fields
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(value(":method"), Some("GET"));
    assert_eq!((value("x-a"), value("user-agent")), (Some("1"), Some("me")));
}

#[test]
fn an_error_status_has_its_exit_code_and_its_body() {
    let server = Server::start(&[]);
    for (path, status) in [("/status/404", "404"), ("/status/503", "503")] {
        let run = server.run(&["get", &server.url(path)]);
        assert!(run.expect(4, status).text().contains(status));
    }
    for path in ["/push", "/drain", "/close", "/reject?status=403"] {
        let run = server.run(&["get", "-i", &server.url(path)]);
        run.expect(4, "405").expect(4, "\nallow: CONNECT");
    }
    for path in ["/status/204", "/status/304"] {
        assert!(
            server
                .run(&["get", &server.url(path)])
                .ok()
                .stdout
                .is_empty()
        );
    }
}

#[test]
fn a_reset_is_a_failure_in_the_words_of_who_did_it() {
    let server = Server::start(&[]);
    let run = server.run(&[
        "get",
        &server.url("/reset?code=0x107"),
        &server.url("/bytes/2"),
    ]);
    run.expect(1, "the peer reset the stream")
        .expect(1, "H3_EXCESSIVE_LOAD");
    assert_eq!(
        run.stdout,
        pattern(2),
        "the next URL is fetched nevertheless"
    );
}

#[test]
fn a_server_that_goes_away_is_connected_to_again() {
    let server = Server::start(&[]);
    let run = server.run(&["get", &server.url("/goaway"), &server.url("/bytes/3")]);
    assert!(run.ok().stdout.ends_with(&pattern(3)), "{}", run.text());
}

#[test]
fn certificates_are_checked() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/1");
    aqueduct(["get", &url]).expect(3, "certificate is not trusted");
    let wrong = "00".repeat(32);
    let digest = server.ready["sha256"].as_str().unwrap();
    aqueduct(["get", &url, "--cert-hash", &wrong]).expect(3, digest);
    aqueduct(["get", &url, "--insecure"]).expect(0, "warning: --insecure");
    // The certificate is for localhost and loopback addresses.
    let elsewhere = url.replace("127.0.0.1", "elsewhere.example");
    let address = server.ready["address"].as_str().unwrap();
    server
        .run(&["get", &elsewhere, "--connect-to", address])
        .expect(3, "certificate");
    let local = url.replace("127.0.0.1", "localhost");
    server.run(&["get", &local]).ok();
}

#[test]
fn mistakes_are_named() {
    let server = Server::start(&[]);
    let url = server.url("/echo");
    aqueduct(["get", "http://localhost/"]).expect(2, "https");
    aqueduct(["get", "https://"]).expect(2, "the URI has no host");
    aqueduct(["get"]).expect(2, "<URL>");
    aqueduct(["get", &url, "--cacert", "/no/ca.pem"]).expect(3, "/no/ca.pem");
    server
        .run(&["get", &url, "-d", "@/no/such/file"])
        .expect(1, "/no/such/file");
    server
        .run(&["get", &url, "-o", "/no/such/folder/x"])
        .expect(1, "/no/such/folder/x");
    server
        .run(&["get", &url, "-H", "nonsense"])
        .expect(2, "name: value");
    aqueduct([
        "get",
        "https://does-not-exist.invalid/",
        "--connect-timeout",
        "5s",
    ])
    .expect(1, "does-not-exist.invalid");
}

#[test]
fn a_port_without_a_server_is_given_up() {
    // Bound, so that no other server can take it; nothing is ever read from it.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let run = aqueduct(["get", &url, "--insecure", "--connect-timeout", "400ms"]);
    run.expect(1, "no answer").expect(1, "400.00 ms");
}

#[test]
fn each_body_has_a_place_of_its_own() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (url, file) = (server.url("/bytes/9"), path("file"));
    let run = server.run(&["get", &url, "-o", "-"]);
    assert_eq!(run.ok().stdout, pattern(9));
    assert!(!std::path::Path::new("-").exists());

    let around = path("./file");
    let twice = ["get", &url, &url, "-o", &file, "-o", &around];
    server
        .run(&twice)
        .expect(2, "is the output of several URLs");
    // Links to what is not there yet, one of them by way of another, and to themselves.
    #[cfg(unix)]
    {
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, path(name)).unwrap();
        link("later", "first");
        link("first", "second");
        link("later", "third");
        link("circle", "circle");
        let (later, [one, two, three]) = (path("later"), ["first", "second", "third"].map(path));
        for pair in [[&one, &two], [&two, &three], [&three, &later]] {
            let [one, other] = pair;
            let twice = ["get", &url, &url, "-o", one, "-o", other];
            server
                .run(&twice)
                .expect(2, "is the output of several URLs");
        }
        let circle = path("circle");
        server
            .run(&["get", &url, "-o", &circle])
            .expect(1, "circle");
        for name in ["first", "second", "third", "circle"] {
            fs::remove_file(path(name)).unwrap();
        }
    }

    assert!(!fs::exists(&file).unwrap());
    let both = ["get", &url, &url, "-o", "-", "-o", "-"];
    server
        .run(&both)
        .expect(2, "standard output takes one body");
    let mixed = server.run(&["get", &url, &url, "-o", "-", "-o", &file]);
    assert_eq!(mixed.ok().stdout, fs::read(&file).unwrap());
}

#[cfg(unix)]
#[test]
fn what_was_not_fetched_whole_has_no_name() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "old").unwrap();
    let (url, cert) = (server.url("/bytes/100000000000"), server.cert());
    let (file_name, cert) = (file.to_str().unwrap(), cert.to_str().unwrap());
    let get = support::Running::start(["get", &url, "-o", file_name, "--cacert", cert]);
    // It is under way.
    let begun = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry.unwrap();
        let draft = entry.file_name().to_string_lossy().ends_with(".part");
        draft && entry.metadata().is_ok_and(|it| it.len() > 0)
    };
    while !fs::read_dir(folder.path()).unwrap().any(begun) {
        std::thread::yield_now();
    }
    get.signal("TERM");
    get.end()
        .expect(143, "SIGTERM")
        .expect(143, "file.part`: -C - goes on");
    assert_eq!(fs::read(&file).unwrap(), b"old");
    let part = fs::read(folder.path().join("file.part")).unwrap();
    assert!(part == pattern(part.len()) && !part.is_empty());
    // And where it came from.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}
