//! The client on smol, over real sockets.

use std::time::Duration;

use aqueduct_async_std::protocol::config::Config;
use aqueduct_async_std::protocol::endpoint::EndpointConfig;
use aqueduct_async_std::protocol::testing::cert::Identity;
use aqueduct_async_std::{Client, ClientBuilder, Connection, Driver, Endpoint, client};
use bytes::Bytes;
use http::Response;
use smol::future::FutureExt;

#[path = "../examples/get.rs"]
#[expect(dead_code, reason = "the example has a main of its own")]
mod get;

fn spawn(task: Driver) {
    smol::spawn(task).detach();
}

/// Answers each request with its path.
async fn serve(endpoint: Endpoint) {
    while let Some(connection) = endpoint.accept().await {
        smol::spawn(answer(connection)).detach();
    }
}

async fn answer(connection: Connection) {
    while let Some((request, mut stream)) = connection.accept_request().await {
        let path = Bytes::from(request.uri().path().to_owned());
        stream
            .send_response(Response::new(()))
            .expect("not sent yet");
        stream.send_data(path).await.expect("is read");
        stream.finish().expect("not finished yet");
    }
}

fn with_client<F: Future>(test: impl FnOnce(Client, String) -> F) -> F::Output {
    let all = async {
        let identity = Identity::localhost();
        let config = EndpointConfig::server(identity.server().into(), Config::default());
        let any = ([127, 0, 0, 1], 0).into();
        let server = Endpoint::server(config.expect("suits"), any, spawn).expect("binds");
        let root = format!("https://localhost:{}", server.local_addr().port());
        smol::spawn(serve(server)).detach();
        let client = client(ClientBuilder::with_tls(identity.client_arc()), spawn);
        test(client.expect("suits"), root).await
    };
    let limit = async {
        smol::Timer::after(Duration::from_secs(60)).await;
        panic!("the test hangs");
    };
    smol::block_on(all.or(limit))
}

#[test]
fn the_example_gets_a_page() {
    with_client(|client, root| async move {
        let page = get::get(&client, &format!("{root}/page")).await;
        assert_eq!(page.expect("is there"), "/page");
        client.drain();
        client.closed().await;
    });
}

/// Row D19.
#[test]
fn fifty_at_once_and_two_thousand_in_turn_go_over_one_connection() {
    with_client(|client, root| async move {
        let mut asked = Vec::new();
        for number in 0..50 {
            let (client, uri) = (client.clone(), format!("{root}/{number}"));
            asked.push(smol::spawn(async move { get::get(&client, &uri).await }));
        }
        for (number, asked) in asked.into_iter().enumerate() {
            assert_eq!(asked.await.expect("is answered"), format!("/{number}"));
        }
        for number in 0..2000 {
            let path = format!("/{number}");
            let page = get::get(&client, &format!("{root}{path}")).await;
            assert_eq!(page.expect("is answered"), path);
        }
        let stats = client.stats();
        assert_eq!((stats.dials, stats.lent), (1, 2050), "{stats:?}");
        assert_eq!((stats.all.active, stats.all.idle), (0, 1), "{stats:?}");
    });
}
