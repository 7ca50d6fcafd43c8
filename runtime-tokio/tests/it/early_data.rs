//! Row A18: a request in early data, over a real socket.

use std::sync::Arc;

use aqueduct_tokio::http_client::EarlyOutcome;
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, Target};
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::protocol::transport::EarlyData;
use aqueduct_tokio::{ClientBuilder, Endpoint, MemoryTickets, client};
use http::Response;

use crate::harness::ANY;

/// A server that says of each request whether it was early.
fn server(identity: &Identity) -> Endpoint {
    let config = EndpointConfig::server(identity.server().into(), Config::default());
    let config = config.and_then(|config| config.early_data(true));
    let server = Endpoint::server(config.expect("suits"), ANY).expect("binds");
    let serving = server.clone();
    tokio::spawn(async move {
        while let Some(connection) = serving.accept().await {
            while let Some((_, mut request)) = connection.accept_request().await {
                let early = request.is_early().to_string();
                let answer = Response::builder().header("early", early).body(());
                request.send_response(answer.expect("valid")).expect("goes");
                request.finish().expect("goes");
            }
        }
    });
    server
}

#[tokio::test]
async fn the_second_connection_asks_with_its_first_flight() {
    let identity = Identity::localhost();
    let server = server(&identity);
    let client = Endpoint::client(ANY).expect("binds");
    let (store, tls) = (Arc::new(MemoryTickets::new()), identity.client_arc());
    for (early, outcome) in [("false", EarlyData::None), ("true", EarlyData::Accepted)] {
        let target = Target::new(server.local_addr(), "localhost", tls.clone())
            .tickets(store.clone())
            .early_data(true);
        let connection = client.connect_with(target).expect("begins").early();
        let uri = "https://localhost/".parse().expect("an address");
        let mut asked = connection.get(uri).await.expect("goes");
        let answer = asked.recv_response().await.expect("arrives");
        assert_eq!(answer.headers()["early"], early);
        assert_eq!(connection.early_data(), Some(outcome));
        assert!(connection.ticket().await);
        connection.close(Code::H3_NO_ERROR, "");
    }
}

/// The same by a client that makes its connections itself.
#[tokio::test]
async fn a_client_asks_with_its_first_flight() {
    let identity = Identity::localhost();
    let server = server(&identity);
    let uri = format!("https://localhost:{}/", server.local_addr().port());
    // A ticket fits the trust that it was got with.
    let (store, tls) = (Arc::new(MemoryTickets::new()), identity.client_arc());
    for (early, outcome) in [("false", None), ("true", Some(EarlyOutcome::Accepted))] {
        let builder = ClientBuilder::with_tls(tls.clone());
        let builder = builder.tickets(store.clone()).early_data(true);
        let client = client(builder).expect("suits");
        let answer = client.get(&uri).await.expect("is answered");
        assert_eq!(answer.extensions().get::<EarlyOutcome>().copied(), outcome);
        assert_eq!(answer.headers()["early"], early);
        while store.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
