//! The client over real sockets: connections that come and go below its requests.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_tokio::http_client::Error;
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::{Client, ClientBuilder, Connection, Endpoint, client};
use bytes::Bytes;
use http::Response;

use crate::harness::{ANY, within};

#[path = "../../examples/get.rs"]
#[expect(dead_code, reason = "the example has a main of its own")]
mod get;

/// A server that answers with the path, and counts what it has answered.
#[derive(Clone)]
struct Site {
    endpoint: Endpoint,
    answered: Arc<AtomicUsize>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

impl Site {
    fn new() -> Self {
        Self::at(UdpSocket::bind(ANY).expect("binds"))
    }

    fn at(socket: UdpSocket) -> Self {
        let tls = Identity::localhost().server().into();
        let config = EndpointConfig::server(tls, Config::default()).expect("suits");
        let site = Self {
            endpoint: Endpoint::with_socket(config, socket).expect("binds"),
            answered: Arc::default(),
            connections: Arc::default(),
        };
        tokio::spawn(site.clone().serve());
        site
    }

    async fn serve(self) {
        while let Some(connection) = self.endpoint.accept().await {
            let site = self.clone();
            site.connections
                .lock()
                .expect("no panic")
                .push(connection.clone());
            tokio::spawn(async move {
                while let Some((request, mut stream)) = connection.accept_request().await {
                    let site = site.clone();
                    tokio::spawn(async move {
                        let path = Bytes::from(request.uri().path().to_owned());
                        site.answered.fetch_add(1, Ordering::Relaxed);
                        // The client may have gone.
                        let _ = stream.send_response(Response::new(()));
                        let _ = stream.send_data(path).await;
                        let _ = stream.finish();
                    });
                }
            });
        }
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    fn uri(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.address().port())
    }

    fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

fn builder() -> ClientBuilder {
    // The server has one family, the name two.
    ClientBuilder::with_tls(Identity::localhost().client_arc())
}

async fn get(client: &Client, uri: String) -> Result<Bytes, Error> {
    let response = client.get(uri).await?;
    assert_eq!(response.status(), 200);
    response.into_body().bytes(1 << 20).await
}

#[tokio::test]
async fn the_example_gets_a_page() {
    within(async {
        let site = Site::new();
        let client = client(builder()).expect("suits");
        let page = get::get(&client, &site.uri("/page")).await;
        assert_eq!(page.expect("is there"), "/page");
        client.drain();
        client.closed().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_go_over_one_connection() {
    // Rows D13, D19
    within(async {
        let site = Site::new();
        let client = client(builder()).expect("suits");
        let mut tasks = Vec::new();
        for number in 0..50 {
            let (client, uri) = (client.clone(), site.uri(&format!("/{number}")));
            tasks.push(tokio::spawn(async move { get(&client, uri).await }));
        }
        for (number, task) in tasks.into_iter().enumerate() {
            let page = task.await.expect("no panic").expect("is answered");
            assert_eq!(page, format!("/{number}"));
        }
        let stats = client.stats();
        assert_eq!((stats.dials, stats.all.connections), (1, 1), "{stats:?}");
        assert_eq!((stats.all.active, stats.all.queued), (0, 0), "{stats:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_in_turn_leave_nothing_behind() {
    // Row D19
    within(async {
        let site = Site::new();
        let client = client(builder()).expect("suits");
        for number in 0..2000 {
            let path = format!("/{number}");
            let page = get(&client, site.uri(&path)).await.expect("is answered");
            assert_eq!(page, path);
        }
        let stats = client.stats();
        assert_eq!((stats.dials, stats.lent), (1, 2000), "{stats:?}");
        assert_eq!((stats.all.active, stats.all.idle), (0, 1), "{stats:?}");
        assert_eq!(site.answered(), 2000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_found_again() {
    // Rows D3, D13
    within(async {
        let site = Site::new();
        let address = site.address();
        let client = client(builder()).expect("suits");
        get(&client, site.uri("/before"))
            .await
            .expect("is answered");
        site.endpoint.close(Code::H3_NO_ERROR, "restarts");
        site.endpoint.wait_idle().await;
        drop(site);
        // The driver lets go of the port when all handles are gone.
        let socket = loop {
            match UdpSocket::bind(address) {
                Ok(socket) => break socket,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        let site = Site::at(socket);
        // What was sent in between may have met the old connection.
        let mut tries = 0;
        while let Err(error) = get(&client, site.uri("/after")).await {
            assert!(error.is_retryable(), "{error:?}");
            tries += 1;
            assert!(tries < 10, "{error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(site.answered(), 1);
        assert!(client.stats().dials >= 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_go_away_under_load_lose_nothing() {
    // Row D7
    within(async {
        let site = Site::new();
        let client = client(builder()).expect("suits");
        let mut tasks = Vec::new();
        for task in 0..8 {
            let (client, site) = (client.clone(), site.clone());
            tasks.push(tokio::spawn(async move {
                let (mut done, mut unprocessed) = (0, 0);
                for turn in 0..100 {
                    match get(&client, site.uri(&format!("/{task}/{turn}"))).await {
                        Ok(_) => done += 1,
                        Err(error) => {
                            assert!(error.is_unprocessed(), "{error:?}");
                            unprocessed += 1;
                        }
                    }
                }
                (done, unprocessed)
            }));
        }
        let mut drained = 0;
        while tasks.iter().any(|task| !task.is_finished()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let going = std::mem::take(&mut *site.connections.lock().expect("no panic"));
            drained += going.len();
            for connection in going {
                connection.drain(Duration::from_secs(10));
            }
        }
        let (mut done, mut unprocessed) = (0, 0);
        for task in tasks {
            let (ok, not) = task.await.expect("no panic");
            (done, unprocessed) = (done + ok, unprocessed + not);
        }
        assert!(
            drained > 1 && client.stats().dials > 1,
            "{:?}",
            client.stats()
        );
        assert_eq!(done + unprocessed, 800);
        assert_eq!(
            site.answered(),
            done,
            "what was told unprocessed was not processed"
        );
    })
    .await;
}

/// Rows D4, D6: a tower service asks through the client, and hands its answers on.
#[cfg(feature = "tower")]
#[tokio::test]
async fn the_client_is_a_service_that_takes_any_body() {
    use http::Request;
    use http_body::Body as _;
    use tower::ServiceExt;

    within(async {
        let site = Site::new();
        let client = client(builder()).expect("suits");
        let first = Request::get(site.uri("/first"))
            .body(axum::body::Body::empty())
            .expect("valid");
        let response = client.clone().oneshot(first).await.expect("is answered");
        assert_eq!(
            response.body().size_hint().exact(),
            None,
            "is not announced"
        );
        // The answer's content is the content of another request.
        let second = Request::post(site.uri("/second")).body(response.into_body());
        let response = client.oneshot(second.expect("valid")).await;
        let body = axum::body::Body::new(response.expect("is answered").into_body());
        let content = axum::body::to_bytes(body, 100).await.expect("whole");
        assert_eq!(content, "/second");
    })
    .await;
}
