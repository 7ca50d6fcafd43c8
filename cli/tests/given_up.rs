//! Requests that nobody waits for any more, and answers that nobody reads, to the program.
#![cfg(unix)]

mod support;

use std::fs;
use std::net::UdpSocket;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aqueduct_cli::tls::{Trust, Verdict, client_config};
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_tokio::{Connection, Endpoint, ResponseReceiver};
use http::{Request, Response};
use support::Server;

fn get(server: &Server, path: &str) -> Request<()> {
    Request::get(server.url(path)).body(()).unwrap()
}

/// A client that lets each stream bring little: unread ones do not stand in the way of others.
async fn narrow(server: &Server, from: &str) -> (Endpoint, Connection) {
    let mut transport = TransportSettings::default();
    transport.stream_receive_window = 32 << 10;
    transport.receive_window = 8 << 20;
    transport.initial_receive_window = 8 << 20;
    let config = EndpointConfig::client().transport(transport).unwrap();
    let endpoint = Endpoint::with_socket(config, UdpSocket::bind((from, 0)).unwrap()).unwrap();
    let tls = client_config(&Trust::CaFile(server.cert()), &Verdict::default()).unwrap();
    let address = server.ready["address"].as_str().unwrap().parse().unwrap();
    let connecting = endpoint
        .connect(address, "127.0.0.1", Arc::new(tls))
        .unwrap();
    let connection = connecting.established().await.unwrap();
    (endpoint, connection)
}

/// Asks for a file, and keeps the answer unread.
async fn unread(connection: &Connection, request: Request<()>) -> (Response<()>, ResponseReceiver) {
    let sent = connection.request_empty(request).await.unwrap();
    let (_, mut answer) = sent.split();
    (answer.recv_response().await.unwrap(), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_for_a_request_ends_when_it_is_given_up() {
    for runtime in ["tokio", "mio"] {
        let mut server = Server::unread(&["-v", "--runtime", runtime]);
        let begun = Instant::now();
        let client = server.connect().await;
        let mut asked = Vec::new();
        for _ in 0..3 {
            let slow = get(&server, "/slow?ms=60000");
            asked.push(client.connection().request_empty(slow).await.unwrap());
        }
        let mut logs = server.logs();
        let mut three = |word: &str| {
            let told = logs.by_ref().filter(|line| line.contains(word));
            told.take(3).collect::<Vec<_>>()
        };
        three(" request method=GET");
        // Nobody will read the answers.
        drop(asked);
        let told = three("a request was given up");
        assert!(told[2].contains("why=the peer "), "{told:?}");
        assert!(begun.elapsed() < Duration::from_secs(30), "{runtime}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_files_leave_places_for_others_and_are_refused_with_few_words() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs::File::create(folder.path().join("large")).unwrap();
    file.set_len(16 << 20).unwrap();
    fs::write(folder.path().join("small"), "small").unwrap();
    let root = folder.path().to_str().unwrap();
    // Half of the descriptors are for files, half of these for one address, and half of those for
    // whoever comes first.
    let mut server = Server::with_descriptors(80, &["--root", root]);
    let begun = Instant::now();
    let (mut kept, mut clients) = (Vec::new(), Vec::new());
    let mut refused = 0_u64;
    let (here, elsewhere) = ("127.0.0.1", "127.0.1.1");
    let mut connections = vec![(here, 10), (here, 4), (here, 4), (here, 2), (here, 0)];
    // Not every system has more than one loopback address.
    if cfg!(target_os = "linux") {
        connections.extend([(elsewhere, 4), (elsewhere, 4)]);
    }
    for (number, (from, wanted)) in connections.into_iter().enumerate() {
        let (endpoint, connection) = narrow(&server, from).await;
        let mut served = 0;
        for _ in 0..30 {
            let (head, answer) = unread(&connection, get(&server, "/large")).await;
            match head.status().as_u16() {
                200 => served += 1,
                503 => {
                    assert_eq!(head.headers()["retry-after"], "1");
                    refused += 1;
                }
                other => panic!("{other}"),
            }
            kept.push(answer);
        }
        assert_eq!(served, wanted, "connection {number}");
        clients.push((endpoint, connection));
        if number == 2 {
            let small = server.run(&["get", &server.url("/small")]);
            assert_eq!(small.ok().text(), "small");
        }
    }

    server.signal("TERM");
    assert!(server.wait().success());
    let (_, stderr) = server.rest();
    let told: Vec<u64> = stderr.lines().filter_map(counted).collect();
    assert_eq!(told[0], 1, "{stderr}");
    assert!(told.iter().sum::<u64>() <= refused, "{stderr}");
    assert!(
        told.len() as u64 <= begun.elapsed().as_secs() + 1,
        "{stderr}"
    );
}

/// The count in a warning of refused requests.
fn counted(line: &str) -> Option<u64> {
    let (_, rest) = line.split_once("requests for files were refused")?;
    rest.split_once("count=")?.1.parse().ok()
}
