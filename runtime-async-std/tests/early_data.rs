//! Row A18: a request in early data, over a real socket and on async-io.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_async_std::protocol::code::Code;
use aqueduct_async_std::protocol::config::Config;
use aqueduct_async_std::protocol::endpoint::{EndpointConfig, Target};
use aqueduct_async_std::protocol::testing::cert::Identity;
use aqueduct_async_std::protocol::transport::EarlyData;
use aqueduct_async_std::{Endpoint, MemoryTickets};
use http::Response;
use smol::future::FutureExt;

/// One thread for all: no handshake is complete before the request has been asked.
static ONE: smol::Executor<'static> = smol::Executor::new();

#[test]
fn the_second_connection_asks_with_its_first_flight() {
    let limit = async {
        smol::Timer::after(Duration::from_secs(20)).await;
        panic!("the test hangs");
    };
    smol::block_on(ONE.run(two_connections().or(limit)));
}

async fn two_connections() {
    let any = ([127, 0, 0, 1], 0).into();
    let spawn = |driver| ONE.spawn(driver).detach();
    let identity = Identity::localhost();
    let config = EndpointConfig::server(identity.server().into(), Config::default());
    let config = config.and_then(|config| config.early_data(true));
    let server = Endpoint::server(config.expect("suits"), any, spawn).expect("binds");
    let client = Endpoint::client(any, spawn).expect("binds");
    let serving = server.clone();
    ONE.spawn(async move {
        while let Some(connection) = serving.accept().await {
            while let Some((_, mut request)) = connection.accept_request().await {
                let early = request.is_early().to_string();
                let answer = Response::builder().header("early", early).body(());
                request.send_response(answer.expect("valid")).expect("goes");
                request.finish().expect("goes");
            }
        }
    })
    .detach();
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
