//! `aqueduct get` as users of curl know it: names of files, redirects, credentials, tries, times.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use aqueduct_tokio::protocol::code::Code;
use serde_json::Value;
use support::scripted::{Answer, Scripted, Then, get, get_with};
use support::{Server, pattern};

#[test]
fn files_are_named_as_their_urls_end() {
    let server = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let cert = server.cert();
    let run = |urls: &[&str]| {
        let urls: Vec<_> = urls.iter().map(|path| server.url(path)).collect();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_aqueduct"))
            .current_dir(folder.path())
            .args(["get", "-O", "-Z", "--cacert"])
            .arg(&cert)
            .args(urls)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), stderr)
    };
    let (code, stderr) = run(&["/bytes/70000?q", "/bytes/5"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(fs::read(folder.path().join("70000")).unwrap() == pattern(70_000));
    assert_eq!(fs::read(folder.path().join("5")).unwrap(), pattern(5));

    // Refused before anything is sent.
    let (code, stderr) = run(&["/bytes/6", "/slow/6"]);
    assert!(
        code == Some(2) && stderr.contains("is the output of several"),
        "{stderr}"
    );
    let (code, stderr) = run(&["/bytes/"]);
    assert!(
        code == Some(2) && stderr.contains("name for a file"),
        "{stderr}"
    );
    assert!(!folder.path().join("6").exists());
}

#[test]
fn outputs_that_would_mix_are_refused() {
    let server = Server::start(&[]);
    let url = server.url("/bytes/5");
    let folder = server.folder().join("x");
    let (file, part) = (folder.to_str().unwrap(), folder.with_extension("part"));
    let part = part.to_str().unwrap();
    server
        .run(&["get", &url, &url, "-o", file, "-o", part])
        .expect(2, "the part of another's");
    server.run(&["get", "-Z", &url, &url]).expect(2, "-o or -O");
    server.run(&["get", "-C", "-", &url]).expect(2, "-o or -O");
    let counted = server.run(&["get", "-Z", "--json", &url, &url]);
    assert_eq!(counted.ok().json().len(), 2);
}

#[test]
fn the_head_alone_comes_on_standard_output() {
    let server = Server::start(&[]);
    let run = server.run(&["get", "-I", &server.url("/bytes/500")]);
    let text = run.ok().text();
    assert!(text.starts_with("HTTP/3 200 OK\n"), "{text}");
    assert!(
        text.contains("\ncontent-length: 500\n") && text.ends_with("\n\n"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_heads_are_shown_and_no_secret() {
    let server = Scripted::start(|_, _| {
        let evil = [("x-evil", "a\u{202e}b")];
        Answer::new(200, &evil, "")
    });
    let run = get(&["-v", "-u", "me:secret", "-H", "x-a: 1", &server.url("/p?q")]).await;
    let shown = &run.ok().stderr;
    for line in [
        "> GET /p?q HTTP/3\n",
        "> x-a: 1\n",
        "> authorization: (not shown)\n",
        "< HTTP/3 200 OK\n",
        "< x-evil: a\\u{202e}b",
    ] {
        assert!(shown.contains(line), "`{line}` is not in: {shown}");
    }
    assert!(!shown.contains("bWU6c2VjcmV0"), "{shown}");
    assert_eq!(
        server.asked()[0].field("authorization"),
        "Basic bWU6c2VjcmV0"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_comes_from_a_file_or_the_environment() {
    let server = Scripted::start(|_, _| Answer::text(""));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    fs::write(&file, "secret\n").unwrap();
    let url = server.url("/");
    get(&["-u", "me", "--password-file", file.to_str().unwrap(), &url])
        .await
        .ok();
    get_with(&[("AQUEDUCT_PASSWORD", "secret")], &["-u", "me", &url])
        .await
        .ok();
    get(&["-u", "me", &url])
        .await
        .expect(2, "AQUEDUCT_PASSWORD");
    let shown: Vec<_> = server
        .asked()
        .iter()
        .map(|it| it.field("authorization").to_owned())
        .collect();
    assert_eq!(shown, ["Basic bWU6c2VjcmV0", "Basic bWU6c2VjcmV0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redirects_are_followed_and_credentials_stay() {
    let other = Scripted::start(|_, it| Answer::text(it.method()));
    let away = other.url("/away");
    let server = Scripted::start(move |_, it| match it.path() {
        "/see-other" => Answer::new(303, &[("location", "/here")], "not this"),
        "/keep" => Answer::new(307, &[("location", "/here")], ""),
        "/away" => Answer::new(302, &[("location", &away)], ""),
        "/lower" => Answer::new(302, &[("location", "http://a.example/")], ""),
        "/round" => Answer::new(302, &[("location", "/round")], ""),
        "/nowhere" => Answer::new(302, &[], "here"),
        _ => Answer::text(&format!("{} {}", it.method(), it.body.len())),
    });
    let (url, auth) = (
        |path| server.url(path),
        ["-u", "me:secret", "-H", "cookie: a=b"],
    );
    let with = |more: &[&str]| {
        [&auth[..], more]
            .concat()
            .iter()
            .map(|it| (*it).to_owned())
            .collect::<Vec<_>>()
    };

    let plain = get(&[&url("/see-other")]).await;
    assert_eq!(plain.ok().text(), "not this");
    let seen = get(&["-L", "-d", "12345", &url("/see-other")]).await;
    assert_eq!(seen.ok().text(), "GET 0");
    let kept = get(&["-L", "-d", "12345", &url("/keep")]).await;
    assert_eq!(kept.ok().text(), "POST 5");
    get(&["-L", &url("/lower")]).await.expect(1, "only https");
    get(&["-L", "--max-redirs", "3", &url("/round")])
        .await
        .expect(1, "more than 3 redirects");
    let rounds = server
        .asked()
        .iter()
        .filter(|it| it.path() == "/round")
        .count();
    assert_eq!(rounds, 4);
    // As with curl: none at all, what is said of it, and what leads nowhere.
    let format = "%{http_code} %{num_redirects} %{exitcode}";
    let none = get(&["-L", "--max-redirs", "0", "-w", format, &url("/round")]).await;
    assert_eq!(none.expect(1, "more than 0 redirects").text(), "302 0 1");
    let nowhere = get(&["-L", &url("/nowhere")]).await;
    assert_eq!(nowhere.ok().text(), "here");

    for (path, server) in [("/away", &other), ("/keep", &server)] {
        let arguments = with(&["-L", &url(path)]);
        let arguments: Vec<_> = arguments.iter().map(|it| &**it).collect();
        get(&arguments).await.ok();
        let last = server.asked().pop().unwrap();
        let stays = path == "/keep";
        assert_eq!(!last.field("authorization").is_empty(), stays, "{path}");
        assert_eq!(!last.field("cookie").is_empty(), stays, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_are_told_with_w_and_in_json() {
    let server = Scripted::start(|_, it| match it.path() {
        "/to" => Answer::new(302, &[("location", "/it")], ""),
        _ => Answer::text("12345"),
    });
    let names = "%{http_code} %{size_download} %{num_redirects} %{remote_ip} %{url_effective}\\n\
                 %{time_namelookup} %{time_connect} %{time_starttransfer} %{time_total}\\n";
    let run = get(&["-L", "-o", "/dev/null", "-w", names, &server.url("/to")]).await;
    let text = run.ok().text();
    let (first, times) = text.split_once('\n').unwrap();
    assert_eq!(first, format!("200 5 1 127.0.0.1 {}", server.url("/it")));
    let times: Vec<f64> = times
        .split_whitespace()
        .map(|it| it.parse().unwrap())
        .collect();
    assert!(
        times.is_sorted() && times[1] > 0.0 && times.len() == 4,
        "{times:?}"
    );

    let run = get(&["-L", "--json", &server.url("/to")]).await;
    let line = &run.ok().json()[0];
    assert_eq!(
        (&line["status"], &line["num_redirects"]),
        (&200.into(), &1.into())
    );
    assert_eq!(line["url_effective"], server.url("/it"));
    assert!(line["time_connect"].as_f64() <= line["time_starttransfer"].as_f64());
    assert!(line["time_connect"].as_f64() > Some(0.0));

    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let none = get(&[
        "--connect-timeout",
        "200ms",
        "-w",
        "%{http_code} %{exitcode}",
        &url,
    ])
    .await;
    assert_eq!(none.expect(1, "").text(), "000 1");
    get(&["-w", "%{nonsense}", &url])
        .await
        .expect(2, "nonsense");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_are_put_under_their_name() {
    let server = Scripted::start(|_, it| {
        Answer::text(&format!("{} {} {}", it.method(), it.path(), it.body.len()))
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a b");
    fs::write(&file, [0, 13, 10, 255]).unwrap();
    let name = file.to_str().unwrap();
    let into = get(&["-T", name, &server.url("/folder/")]).await;
    assert_eq!(into.ok().text(), "PUT /folder/a%20b 4");
    let over = get(&["-T", name, &server.url("/other")]).await;
    assert_eq!(over.ok().text(), "PUT /other 4");
    let data = format!("@{name}");
    let post = get(&["--data-binary", &data, &server.url("/post")]).await;
    assert_eq!(post.ok().text(), "POST /post 4");
    assert_eq!(server.asked().pop().unwrap().body, [0, 13, 10, 255]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_where_resolve_says() {
    let server = Scripted::start(|_, it| Answer::text(it.head.uri().host().unwrap()));
    let port = server.address.port();
    let at = format!("a.invalid:{port}:127.0.0.1");
    let url = format!("https://a.invalid:{port}/");
    let run = get(&["--resolve", &at, &url]).await;
    assert_eq!(run.ok().text(), "a.invalid");
    // Other ports and hosts are not meant.
    let other = "a.invalid:1:127.0.0.1";
    get(&["--resolve", other, &url])
        .await
        .expect(1, "a.invalid");
    get(&["--resolve", "a:1", &url])
        .await
        .expect(2, "192.0.2.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_tried_again_where_that_does_no_harm() {
    let busy = |number: usize| match number {
        0 => Answer::new(503, &[("retry-after", "0")], "busy"),
        _ => Answer::text("done"),
    };
    // A status that passes, to a request that can be repeated.
    let server = Scripted::start(move |number, _| busy(number));
    let run = get(&["--retry", "2", &server.url("/")]).await;
    assert_eq!(run.expect(0, "try 1 of 2").text(), "done");
    // To one that cannot.
    let server = Scripted::start(move |number, _| busy(number));
    let run = get(&["--retry", "2", "-d", "x", &server.url("/")]).await;
    assert_eq!(run.expect(4, "503").text(), "busy");
    assert_eq!(server.asked().len(), 1);
    // Not processed at all, which is why POST is sent again.
    let rejected = Then::Reset(Code::H3_REQUEST_REJECTED);
    let server = Scripted::start(move |number, _| match number {
        0 => Answer::nothing(rejected),
        _ => Answer::text("done"),
    });
    let run = get(&["--retry", "1", "-d", "x", &server.url("/")]).await;
    assert_eq!(run.ok().text(), "done");
    // Another code says that the same would come of it.
    let server = Scripted::start(|_, _| Answer::nothing(Then::Reset(Code::H3_INTERNAL_ERROR)));
    get(&["--retry", "3", "-d", "x", &server.url("/")])
        .await
        .expect(1, "reset");
    assert_eq!(server.asked().len(), 1);
    // A server that wants hours is left alone.
    let server = Scripted::start(|_, _| Answer::new(503, &[("retry-after", "7200")], "busy"));
    let begun = Instant::now();
    let run = get(&["--retry", "3", &server.url("/")]).await;
    let told = run
        .expect(4, "503")
        .expect(4, "left alone for 120 min 00 s");
    assert_eq!(told.text(), "busy");
    assert!(begun.elapsed() < Duration::from_secs(30) && server.asked().len() == 1);
    // Nothing was sent to whom there is no connection.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let run = get(&[
        "--retry",
        "1",
        "--connect-timeout",
        "200ms",
        "-d",
        "x",
        &url,
    ])
    .await;
    run.expect(1, "try 1 of 1")
        .expect(1, "error: cannot connect");
    // Without being asked nothing is tried again.
    let server = Scripted::start(move |number, _| busy(number));
    get(&[&server.url("/")]).await.expect(4, "503");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_ends_when_its_time_is_up() {
    let server = Scripted::start(|_, _| Answer::nothing(Then::Silence));
    let run = get(&["-m", "300ms", &server.url("/")]).await;
    run.expect(1, "not done within 300.00 ms (--max-time)");
    // What came until then is kept, and named.
    let server = Scripted::start(|_, _| {
        Answer::new(200, &[("content-length", "10")], "12345").then(Then::Silence)
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let run = get(&["-m", "2s", "-o", path.to_str().unwrap(), &server.url("/")]).await;
    run.expect(1, "(--max-time)")
        .expect(1, "5 B are kept in")
        .expect(1, "file.part`: -C - goes on");
    assert_eq!(fs::read(path.with_extension("part")).unwrap(), b"12345");
    assert!(!path.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_is_told_and_ends() {
    let server = Scripted::start(|_, _| {
        Answer::new(200, &[("content-length", "10")], "12345").then(Then::Silence)
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let begun = Instant::now();
    let run = get(&[
        "--json",
        "--stall-timeout",
        "6s",
        "-o",
        file.to_str().unwrap(),
        &server.url("/"),
    ])
    .await;
    let lines = run.expect(1, "nothing came or went for 6.00 s").json();
    let events: Vec<_> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["stalled", "error", "part"]);
    let quiet = lines[0]["seconds"].as_f64().unwrap();
    assert!((5.0..6.0).contains(&quiet), "{quiet}");
    assert_eq!(
        (&lines[2]["bytes"], &lines[2]["total"]),
        (&5.into(), &10.into())
    );
    assert!(begun.elapsed() >= Duration::from_secs(6));
    assert_eq!(fs::read(folder.path().join("file.part")).unwrap(), b"12345");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_urls_share_a_connection_to_their_origin() {
    // Both are under way before one is answered.
    let both = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let server = Scripted::start(move |_, it| Answer::text(it.path()).after(&both));
    let folder = tempfile::tempdir().unwrap();
    let files = ["a", "b"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let urls = ["/a", "/b"].map(|path| server.url(path));
    get(&["-Z", &urls[0], &urls[1], "-o", &files[0], "-o", &files[1]])
        .await
        .ok();
    assert_eq!(fs::read_to_string(&files[1]).unwrap(), "/b");
    assert_eq!(server.connections(), 1);
}

/// A server of ten bytes in two versions, which knows ranges, cuts the first answer short, and has
/// the second version from request `changes` on.
fn cut(changes: usize) -> Scripted {
    Scripted::start(move |number, it| {
        let (etag, whole) = match number < changes {
            true => ("\"1\"", "0123456789"),
            false => ("\"2\"", "abcdefghij"),
        };
        let same = matches!(it.field("if-range"), "" | "\"1\"") == (number < changes);
        let from = it.field("range").strip_prefix("bytes=").filter(|_| same);
        let from = from.map(|range| range.trim_end_matches('-').parse::<usize>().unwrap());
        match from {
            Some(from) if from >= 10 => {
                Answer::new(416, &[("content-range", "bytes */10"), ("etag", etag)], "")
            }
            Some(from) => {
                let range = format!("bytes {from}-9/10");
                Answer::new(
                    206,
                    &[("content-range", &range), ("etag", etag)],
                    &whole[from..],
                )
            }
            None if number == 0 => {
                let fields = [("content-length", "10"), ("etag", etag)];
                Answer::new(200, &fields, &whole[..6]).then(Then::Reset(Code::H3_INTERNAL_ERROR))
            }
            None => Answer::new(200, &[("etag", etag)], whole),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_is_gone_on_with() {
    let server = cut(usize::MAX);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (url, file) = (server.url("/x"), path.to_str().unwrap());
    get(&["-o", file, &url])
        .await
        .expect(1, "6 B are kept in")
        .expect(1, "file.part`");
    assert!(!path.exists());
    let run = get(&["-C", "-", "--json", "-o", file, &url]).await;
    let line: &Value = &run.ok().json()[0];
    assert_eq!(
        (&line["bytes"], &line["bytes_before"]),
        (&4.into(), &6.into())
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let asked = server.asked().pop().unwrap();
    assert_eq!(
        (asked.field("range"), asked.field("if-range")),
        ("bytes=6-", "\"1\"")
    );
    // What is whole stays as it is.
    get(&["-C", "-", "-o", file, &url]).await.ok();
    assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_appended_to_another_version() {
    let server = cut(1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let (url, file) = (server.url("/x"), path.to_str().unwrap());
    get(&["-o", file, &url]).await.expect(1, "file.part`");
    let run = get(&["-C", "-", "-o", file, &url]).await;
    run.expect(1, "has changed since")
        .expect(1, "etag was \"1\" and is \"2\"");
    assert_eq!(fs::read(path.with_extension("part")).unwrap(), b"012345");
    get(&["-o", file, &url]).await.ok();
    assert_eq!(fs::read_to_string(&path).unwrap(), "abcdefghij");
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "the part is of no use"
    );
}

/// A range may be shorter than what was asked for, and what comes shorter or longer than the range.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_rest_does_not_make_it_whole() {
    for (range, body, then, why) in [
        ("bytes 4-6/10", "456", "0123456", "sent a part of the rest"),
        ("bytes 4-9/10", "456", "0123456", "sent a part of the rest"),
        ("bytes 4-6/10", "45678", "0123", "sends more than the range"),
    ] {
        let server = Scripted::start(move |number, _| match number {
            0 => Answer::new(200, &[("content-length", "10"), ("etag", "\"1\"")], "0123")
                .then(Then::Reset(Code::H3_INTERNAL_ERROR)),
            1 => Answer::new(206, &[("content-range", range)], body),
            _ => Answer::new(206, &[("content-range", "bytes 7-9/10")], "789"),
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (url, file) = (server.url("/x"), path.to_str().unwrap());
        get(&["-o", file, &url]).await.expect(1, "file.part`");
        get(&["-C", "-", "-o", file, &url]).await.expect(1, why);
        assert!(!path.exists(), "{range}");
        let part = fs::read_to_string(path.with_extension("part")).unwrap();
        assert_eq!(part, then, "{range}");
        if then.len() == 7 {
            get(&["-C", "-", "-o", file, &url]).await.ok();
            assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_try_begins_anew_or_goes_on() {
    for resumes in [false, true] {
        let server = Scripted::start(|number, it| match (number, it.field("range")) {
            (0, _) => Answer::new(200, &[("etag", "\"1\"")], "01234")
                .then(Then::Reset(Code::H3_REQUEST_REJECTED)),
            (_, "bytes=5-") => Answer::new(206, &[("content-range", "bytes 5-9/10")], "56789"),
            _ => Answer::text("0123456789"),
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let (url, file) = (server.url("/x"), path.to_str().unwrap());
        let mut arguments = vec!["--retry", "1", "-o", file, &url];
        if resumes {
            arguments.extend(["-C", "-"]);
        }
        let run = get(&arguments).await;
        assert!(!run.ok().stderr.contains("kept"), "{}", run.stderr);
        assert_eq!(fs::read_to_string(&path).unwrap(), "0123456789");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(!server.asked()[1].field("range").is_empty(), resumes);
    }
}

/// Whoever waits for a connection hears of the one attempt: as many as there are take no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_waited_for_once() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", silent.local_addr().unwrap());
    let urls: Vec<_> = (0..12).map(|it| format!("{url}{it}")).collect();
    let mut arguments = vec!["-Z", "--json", "--connect-timeout", "700ms"];
    arguments.extend(urls.iter().map(|it| &**it));
    let lines = get(&arguments).await.expect(1, "no answer").json();
    // Each attempt has a socket of its own.
    silent.set_nonblocking(true).unwrap();
    let packets = std::iter::from_fn(|| silent.recv_from(&mut [0; 2048]).ok());
    let attempts: std::collections::HashSet<_> = packets.map(|(_, from)| from).collect();
    assert_eq!(attempts.len(), 1);
    let mut failed: Vec<_> = lines.iter().map(|it| it["url"].as_str().unwrap()).collect();
    failed.sort_by_key(|it| (it.len(), (*it).to_owned()));
    assert_eq!(failed, urls);
    assert!(
        lines.iter().all(|it| it["repeatable"] == "safe"),
        "{lines:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_delays_no_other() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = format!("https://{}/", silent.local_addr().unwrap());
    let server = Scripted::start(|_, _| Answer::text("there"));
    let urls = [&*silent, &server.url("/")];
    let run = get(&[&["-Z", "--json", "--connect-timeout", "3s"], &urls[..]].concat()).await;
    let lines = run.expect(1, "no answer").json();
    let events: Vec<_> = lines.iter().map(|it| it["event"].as_str()).collect();
    assert_eq!(events, [Some("response"), Some("error")]);
}
