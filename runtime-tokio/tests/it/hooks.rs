//! What an application gives a client may fail: hooks and resolvers that panic, or call it again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use aqueduct_tokio::http_client::{Metric, Resolving};
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::endpoint::tls::{Ticket, TicketStore};
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::{Client, ClientBuilder, Connection, Endpoint, client};
use http::Response;

use crate::harness::{ANY, within};

/// A server that answers, and its connections.
fn site() -> (String, Arc<Mutex<Vec<Connection>>>) {
    let tls = Identity::localhost().server().into();
    let config = EndpointConfig::server(tls, Config::default()).expect("suits");
    let endpoint = Endpoint::server(config, ANY).expect("binds");
    let uri = format!("https://localhost:{}/", endpoint.local_addr().port());
    let connections: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let all = connections.clone();
    tokio::spawn(async move {
        while let Some(connection) = endpoint.accept().await {
            all.lock().expect("no panic").push(connection.clone());
            tokio::spawn(async move {
                while let Some((_, mut stream)) = connection.accept_request().await {
                    // The client may have gone.
                    let _ = stream.send.send_empty(Response::new(()));
                }
            });
        }
    });
    (uri, connections)
}

fn builder() -> ClientBuilder {
    ClientBuilder::with_tls(Identity::localhost().client_arc())
}

async fn settled(client: &Client) {
    while client.stats().all.connections > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let stats = client.stats();
    assert_eq!((stats.all.active, stats.all.queued), (0, 0), "{stats:?}");
}

/// Row D17: whatever the hook does, requests go on, and the pool hears of everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_that_panics_does_no_harm() {
    for name in [
        "handshake.start",
        "handshake.stop",
        "queue.start",
        "queue.stop",
        "request.start",
        "request.stop",
        "request.exception",
        "draining",
    ] {
        within(async {
            let (uri, connections) = site();
            let told = Arc::new(AtomicUsize::new(0));
            let counts = told.clone();
            let client = client(builder().metrics(move |metric: &Metric<'_>| {
                if metric.name() == name {
                    counts.fetch_add(1, Ordering::Relaxed);
                    panic!("{name}");
                }
            }));
            let client = client.expect("suits");
            for _ in 0..2 {
                client.get(&*uri).await.expect("is answered");
                for connection in connections.lock().expect("no panic").drain(..) {
                    connection.drain(Duration::from_millis(200));
                }
                settled(&client).await;
                // Given up when it has begun.
                let given_up = tokio::time::timeout(Duration::ZERO, client.get(&*uri)).await;
                assert!(given_up.is_err());
            }
            assert!(told.load(Ordering::Relaxed) > 1, "{name}");
        })
        .await;
    }
}

/// Row D17: it may ask the client, and give it work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hook_may_call_the_client() {
    within(async {
        let (uri, _) = site();
        let this: Arc<OnceLock<Client>> = Arc::default();
        let (hook, again) = (this.clone(), uri.clone());
        let is_first = AtomicBool::new(true);
        let client = client(builder().metrics(move |metric: &Metric<'_>| {
            let Some(client) = hook.get() else {
                return;
            };
            let _ = (client.stats(), client.alternatives(), format!("{client:?}"));
            if metric.name() == "queue.start" && is_first.swap(false, Ordering::Relaxed) {
                drop(client.get(&*again));
                let (client, again) = (client.clone(), again.clone());
                tokio::spawn(async move { client.get(again).await.map(drop) });
            }
        }));
        let client = this.get_or_init(|| client.expect("suits"));
        client.get(uri).await.expect("is answered");
        client.drain();
        client.closed().await;
    })
    .await;
}

/// Row D2: whoever waits for a dial that came to nothing hears of it at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resolver_that_panics_is_a_dial_that_failed() {
    for within_future in [false, true] {
        within(async {
            let (uri, _) = site();
            let broken = Arc::new(AtomicBool::new(true));
            let breaks = broken.clone();
            let client = client(builder().resolver(move |_: &str, _: u16| -> Resolving {
                let is_broken = breaks.load(Ordering::Relaxed);
                assert!(!is_broken || within_future, "no resolver");
                Box::pin(async move {
                    assert!(!is_broken, "no resolver");
                    Ok(vec![([127, 0, 0, 1], 0).into()])
                })
            }));
            let client = client.expect("suits");
            let began = Instant::now();
            let error = client.get(&*uri).await.expect_err("there is no address");
            assert!(began.elapsed() < Duration::from_secs(5), "{error}");
            assert!(error.is_unprocessed(), "{error}");
            settled(&client).await;
            broken.store(false, Ordering::Relaxed);
            client.get(&*uri).await.expect("is answered");
        })
        .await;
    }
}

/// A client that is left when its runtime is gone says so, and does not hang.
#[test]
fn a_client_outlives_its_runtime() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime")
    };
    let (first, second) = (runtime(), runtime());
    let (client, uri, response) = first.block_on(async {
        let (uri, _) = site();
        let client = client(builder()).expect("suits");
        let response = client.get(&*uri).await.expect("is answered");
        (client, uri, response)
    });
    drop(first);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(response)));
    assert!(dropped.is_ok());
    second.block_on(within(async {
        client.get(&*uri).await.expect_err("nobody drives it");
        client
            .get("https://elsewhere.example/")
            .await
            .expect_err("nor there");
        client.drain();
        client.closed().await;
        settled(&client).await;
    }));
}

/// A store that breaks.
#[derive(Debug)]
struct Broken {
    takes: bool,
}

impl TicketStore for Broken {
    fn insert(&self, _: &str, _: Ticket) {
        assert!(!self.takes, "no store");
    }

    fn take(&self, _: &str) -> Option<Ticket> {
        assert!(self.takes, "no store");
        None
    }
}

/// Row A18: a store that panics ends what it is asked for, and nobody waits for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_tickets_that_panics_leaves_nobody_waiting() {
    for takes in [true, false] {
        within(async {
            let (uri, _) = site();
            let client = client(builder().tickets(Arc::new(Broken { takes }))).expect("suits");
            let mut asked = Ok(());
            for _ in 0..3 {
                let answer = tokio::time::timeout(Duration::from_secs(5), client.get(&*uri));
                asked = answer.await.expect("nobody waits").map(drop);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let error = asked.expect_err("the store is needed");
            assert!(error.is_unprocessed(), "{error}");
            settled(&client).await;
        })
        .await;
    }
}
