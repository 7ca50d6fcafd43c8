//! `aqueduct get --early-data`: what goes ahead of the handshake (row A18), and what becomes of it.

mod support;

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aqueduct_tokio::protocol::config::Config;
use serde_json::{Value, json};
use support::Server;
use support::scripted::{Answer, Asked, Scripted, config, get, tls};

/// Each URL over a connection of its own, what is safe ahead of its handshake.
const AHEAD: [&str; 3] = ["--early-data", "--reconnect", "-v"];

/// Of each response, what became of early data.
fn words(lines: &[Value]) -> Vec<&str> {
    let responses = lines.iter().filter(|line| line["event"] == "response");
    responses
        .map(|line| line["early_data"].as_str().unwrap())
        .collect()
}

fn early(asked: &[Asked]) -> Vec<bool> {
    asked.iter().map(Asked::is_early).collect()
}

fn answers(_: usize, it: &Asked) -> Answer {
    Answer::text(it.path())
}

async fn ahead(more: &[&str]) -> support::Run {
    get(&[&AHEAD, more].concat()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_safe_request_goes_ahead_on_the_second_connection() {
    let server = Scripted::with(config(&tls(), Config::default()), answers);
    let relay = || Relay::start([server.address; 3]);
    let url = relay().url("/");
    let run = ahead(&["--json", &url, &url, &url]).await;
    let lines = run.ok().json();
    assert_eq!(words(&lines), ["none", "accepted", "accepted"]);
    // There is a connection when the handshake is done, which the request did not wait for.
    for line in &lines[1..] {
        let [sent, connect, first] = ["time_pretransfer", "time_connect", "time_starttransfer"]
            .map(|name| line[name].as_f64().unwrap());
        assert!(sent < connect && connect <= first, "{line}");
    }
    assert_eq!(early(&server.asked()), [false, true, true]);
    assert_eq!(server.connections(), 3);

    let (url, format) = (relay().url("/"), "%{early_data} %{http_code}\\n");
    let files = ["-o/dev/null", "-o/dev/null", "-w", format];
    let run = ahead(&[&files[..], &[&url, &url]].concat()).await;
    let told = run.expect(0, "* sent ahead of the handshake (0-RTT)");
    assert_eq!(told.text(), "none 200\naccepted 200\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_asked_for_or_not_safe_does_not_go_ahead() {
    let server = Scripted::with(config(&tls(), Config::default()), answers);
    // A body would have to be sent twice, and a DELETE might be acted upon twice.
    let bodies = ["-X", "GET", "-d", "x", "--early-data"];
    for what in [&[][..], &["-X", "DELETE", "--early-data"], &bodies] {
        let url = Relay::start([server.address; 2]).url("/");
        let more = ["--reconnect", "--json", &url, &url];
        let run = get(&[what, &more].concat()).await;
        assert_eq!(words(&run.ok().json()), ["none", "none"], "{what:?}");
    }
    assert_eq!(early(&server.asked()), [false; 6]);
    assert_eq!(server.connections(), 6);
    let proxied = [
        "--early-data",
        "--proxy",
        "https://a.example",
        "https://b.example",
    ];
    get(&proxied).await.expect(2, "cannot be used with");
}

/// `serve` takes early data when it is told to.
#[test]
fn the_demonstration_tells_what_it_took() {
    for (arguments, word) in [(&[][..], "none"), (&["--early-data"], "accepted")] {
        let server = Server::start(arguments);
        let url = Relay::start([server.address(); 2]).url("/early-data");
        let run = server.run(&["get", "--early-data", "--reconnect", &url, &url]);
        assert_eq!(run.ok().text(), format!("none\n{word}\n"));
    }
}

/// RFC 8446 section 4.2.10: a server that has lost its sessions, or that offers less than it did, takes
/// nothing of it, and is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_rejected_is_told_and_sent_again_behind_the_handshake() {
    let kept = tls();
    let mut less = Config::default();
    less.limits.field_section /= 2;
    for (now, http) in [(tls(), Config::default()), (kept.clone(), less)] {
        let before = Scripted::with(config(&kept, Config::default()), answers);
        let after = Scripted::with(config(&now, http), answers);
        let relay = || Relay::start([before.address, after.address]).url("/it");
        let url = relay();
        let lines = ahead(&["--json", &url, &url]).await.ok().json();
        assert_eq!(words(&lines), ["none", "rejected"]);
        assert_eq!(
            (&lines[1]["status"], &lines[1]["num_retries"]),
            (&json!(200), &json!(0))
        );
        // It has seen the second request alone, and that one once.
        assert_eq!(early(&after.asked()), [false]);
        assert_eq!(after.connections(), 1);

        let url = relay();
        let told = "* the server did not take what was sent ahead: sending it again";
        assert_eq!(ahead(&[&url, &url]).await.expect(0, told).text(), "/it/it");
    }
}

/// RFC 8470 section 5.2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_too_early_is_sent_again() {
    let server = Scripted::with(config(&tls(), Config::default()), |_, it| {
        match it.is_early() || it.path() == "/ever" {
            true => Answer::new(425, &[], "too early"),
            false => Answer::text("in time"),
        }
    });
    let url = Relay::start([server.address; 2]).url("/");
    let told = ahead(&[&url, &url]).await;
    told.expect(0, "too early for the server: sending it again");
    assert_eq!(told.text(), "in timein time");
    assert_eq!(early(&server.asked()), [false, true, false]);
    // Who answers so to a request that was not early is believed.
    ahead(&[&server.url("/ever")]).await.expect(4, "425");
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_silent_to_it_is_given_up() {
    let server = Scripted::with(config(&tls(), Config::default()), answers);
    let url = Relay::start([server.address]).url("/");
    let run = ahead(&["--connect-timeout", "1s", &url, &url]).await;
    run.expect(1, "* sent ahead")
        .expect(1, "no answer")
        .expect(1, "within 1.00 s");
    assert_eq!(run.text(), "/");
}

/// One address for servers of which each has one client, in turn; after the last, clients hear nothing.
/// What comes from a server takes its time, so that a client has sent what it sends ahead long before
/// its handshake can be complete.
struct Relay(SocketAddr);

impl Relay {
    const DELAY: Duration = Duration::from_millis(100);

    fn start(servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = front.local_addr().unwrap();
        let mut waiting = servers.into_iter().collect::<Vec<_>>().into_iter();
        std::thread::spawn(move || {
            let mut clients = HashMap::new();
            let mut packet = [0; 2048];
            while let Ok((len, from)) = front.recv_from(&mut packet) {
                let back = clients.entry(from).or_insert_with(|| {
                    let server = waiting.next()?;
                    let back = UdpSocket::bind("127.0.0.1:0").unwrap();
                    back.connect(server).unwrap();
                    answer(back.try_clone().unwrap(), front.try_clone().unwrap(), from);
                    Some(back)
                });
                if let Some(back) = back {
                    // The server may be gone.
                    let _ = back.send(&packet[..len]);
                }
            }
        });
        Self(address)
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.0)
    }
}

/// Brings what comes from a server to its client.
fn answer(server: UdpSocket, front: UdpSocket, client: SocketAddr) {
    let (came, goes) = mpsc::channel::<(Instant, Vec<u8>)>();
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok(len) = server.recv(&mut packet) {
            let due = Instant::now() + Relay::DELAY;
            came.send((due, packet[..len].to_vec())).unwrap();
        }
    });
    std::thread::spawn(move || {
        for (due, packet) in goes {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            // The client may be gone.
            let _ = front.send_to(&packet, client);
        }
    });
}
