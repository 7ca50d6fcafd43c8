//! Requests through the client, and over a connection that is had in hand, in turn: how
//! much of the connection's pace is left. Both ends run on one thread, over loopback.
//!
//!     cargo bench -p aqueduct-benches --bench client [-- ROUNDS [bare|client]]
//!
//! With one of the words only that way is gone, for a profiler: what ROUNDS more cost is
//! what so many times 4,000 requests cost, both ends together.

use std::time::{Duration, Instant};

use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::{Client, ClientBuilder, Connection, Endpoint};
use bytes::Bytes;
use http::Response;
use tokio::task::JoinSet;

const REQUESTS: usize = 4_000;
const AT_ONCE: usize = 16;
const CONTENT: &[u8] = &[7; 200];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let rounds = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(15);
    let identity = Identity::localhost();
    let config = EndpointConfig::server(identity.server().into(), Config::default());
    let any = ([127, 0, 0, 1], 0).into();
    let server = Endpoint::server(config.expect("suits"), any).expect("binds");
    let address = server.local_addr();
    tokio::spawn(serve(server));

    let endpoint = Endpoint::client(any).expect("binds");
    let tls = identity.client_arc();
    let connecting = endpoint.connect(address, "localhost", tls.clone());
    let connection = connecting.expect("begins").await.expect("shakes hands");
    let client = endpoint
        .client_on(ClientBuilder::with_tls(tls))
        .expect("suits");
    let uri = format!("https://localhost:{}/", address.port());

    if let Some(way) = std::env::args().find(|arg| ["bare", "client"].contains(&&**arg)) {
        for _ in 0..rounds {
            match &*way {
                "bare" => over(&connection, &uri).await,
                _ => by(&client, &uri).await,
            };
        }
        return;
    }
    let (mut bare, mut through, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds {
        let paces = (over(&connection, &uri).await, by(&client, &uri).await);
        // The first one warms up.
        if round > 0 {
            bare.push(paces.0);
            through.push(paces.1);
            ratios.push(paces.1 / paces.0);
        }
    }
    let (bare, through, ratio) = (median(bare), median(through), median(ratios));
    println!("requests per second, {AT_ONCE} at once, medians of {rounds} rounds");
    println!("  over a connection   {bare:8.0}");
    println!("  through the client  {through:8.0}   {ratio:.3}");
}

async fn serve(server: Endpoint) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(async move {
            while let Some((_, mut stream)) = connection.accept_request().await {
                stream
                    .send_response(Response::new(()))
                    .expect("not sent yet");
                stream
                    .send_data(Bytes::from_static(CONTENT))
                    .await
                    .expect("is read");
                stream.finish().expect("not finished yet");
            }
        });
    }
}

/// How many a second, when so many tasks share them.
async fn pace<F>(work: impl Fn(usize) -> F) -> f64
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        tasks.spawn(work(REQUESTS / AT_ONCE));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    REQUESTS as f64 / start.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
}

async fn over(connection: &Connection, uri: &str) -> f64 {
    pace(|count| {
        let (connection, uri) = (connection.clone(), uri.to_owned());
        async move {
            for _ in 0..count {
                let uri = uri.parse().expect("a URI");
                let mut stream = connection.get(uri).await.expect("is sent");
                let head = stream.recv_response().await.expect("is answered");
                assert_eq!(head.status(), 200);
                let content = stream.read_to_end(1000).await.expect("whole");
                assert_eq!(content.len(), CONTENT.len());
            }
        }
    })
    .await
}

async fn by(client: &Client, uri: &str) -> f64 {
    pace(|count| {
        let (client, uri) = (client.clone(), uri.to_owned());
        async move {
            for _ in 0..count {
                let response = client.get(&*uri).await.expect("is answered");
                assert_eq!(response.status(), 200);
                let content = response.into_body().bytes(1000).await.expect("whole");
                assert_eq!(content.len(), CONTENT.len());
            }
        }
    })
    .await
}

fn median(mut paces: Vec<f64>) -> f64 {
    paces.sort_by(f64::total_cmp);
    paces[paces.len() / 2]
}
