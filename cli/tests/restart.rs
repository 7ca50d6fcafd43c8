//! A server that crashed and is up again.
#![cfg(unix)]

mod support;

use std::time::{Duration, Instant};

use support::Server;

/// Has a server of this runtime crash and come up again, and answers how a client's old connection
/// ended, and how long that took.
async fn crash(arguments: &[&str]) -> (String, Duration) {
    let server = Server::start(arguments);
    let client = server.connect().await;
    let address = server.ready["address"].as_str().unwrap().to_owned();
    // SIGKILL.
    drop(server);
    let again = ["--listen", address.as_str()];
    let _server = Server::start(&[arguments, &again].concat());
    let begun = Instant::now();
    // The client says something, which nobody knows what to make of.
    let request = http::Request::get(format!("https://{address}/bytes/1"));
    let asked = client.connection().request_empty(request.body(()).unwrap());
    // It may have heard already, of an acknowledgement that was late.
    let _asked = asked.await;
    let reason = client.connection().closed().await;
    (reason.to_string(), begun.elapsed())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_learn_at_once_that_their_connections_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    let key = key.to_str().unwrap();
    for runtime in ["tokio", "mio"] {
        let (reason, time) = crash(&["--reset-key", key, "--runtime", runtime]).await;
        assert!(
            reason.contains("lost the connection's state"),
            "{runtime}: {reason}"
        );
        assert!(time < Duration::from_secs(10), "{runtime}: {time:?}");
    }
}
