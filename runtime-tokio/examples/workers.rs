//! Requests per second of a server of so many endpoints, with its clients in the
//! same process: `cargo run --release -p aqueduct-tokio --example workers -- 2`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, Target};
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::{Connection, Endpoint, ServerGroup};
use bytes::Bytes;

const CLIENTS: usize = 8;
/// Requests of each client at once.
const AT_ONCE: usize = 16;
const TIME: Duration = Duration::from_secs(5);

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Failure> {
    let workers = std::env::args().nth(1).map_or(Ok(1), |arg| arg.parse())?;
    let any: SocketAddr = "127.0.0.1:0".parse()?;
    let identity = Identity::localhost();
    let config = EndpointConfig::server(Arc::new(identity.server()), Config::default())?;
    let server = ServerGroup::bind(config, any, workers)?;
    tokio::spawn(serve(server.clone()));

    let done = Arc::new(AtomicU64::new(0));
    let (mut endpoints, mut tasks) = (Vec::new(), Vec::new());
    for _ in 0..CLIENTS {
        let endpoint = Endpoint::client(any)?;
        let target = Target::new(server.local_addr(), "localhost", identity.client_arc());
        let connection = endpoint.connect_with(target)?.await?;
        endpoints.push(endpoint);
        for _ in 0..AT_ONCE {
            tasks.push(tokio::spawn(ask(connection.clone(), done.clone())));
        }
    }
    let begin = Instant::now();
    tokio::time::sleep(TIME).await;
    let (requests, time) = (done.load(Ordering::Relaxed), begin.elapsed());
    println!("{:.0} requests/s", requests as f64 / time.as_secs_f64());
    for (at, stats) in server.stats().iter().enumerate() {
        println!("endpoint {at}: {} connections", stats.open_connections);
    }
    for task in tasks {
        task.abort();
    }
    server.close(Code::H3_NO_ERROR, "");
    server.wait_idle().await;
    Ok(())
}

async fn serve(server: ServerGroup) {
    while let Some(connection) = server.accept().await {
        tokio::spawn(async move {
            while let Some((_, mut stream)) = connection.accept_request().await {
                tokio::spawn(async move {
                    stream.send_response(http::Response::new(()))?;
                    stream.send_data(Bytes::from_static(b"hello")).await?;
                    stream.finish()
                });
            }
        });
    }
}

async fn ask(connection: Connection, done: Arc<AtomicU64>) -> Result<(), Failure> {
    loop {
        let mut stream = connection.get("https://localhost/".parse()?).await?;
        stream.recv_response().await?;
        stream.read_to_end(100).await?;
        done.fetch_add(1, Ordering::Relaxed);
    }
}
