//! The client on smol through a proxy on smol: QUIC in QUIC, over real sockets.

use std::time::Duration;

use aqueduct_async_std::http_client::ClientProxy;
use aqueduct_async_std::protocol::config::Config;
use aqueduct_async_std::protocol::endpoint::EndpointConfig;
use aqueduct_async_std::protocol::testing::cert::Identity;
use aqueduct_async_std::{ClientBuilder, Driver, Endpoint};
use http::Response;
use smol::future::FutureExt;

#[path = "../examples/proxy.rs"]
#[expect(dead_code, reason = "its client and its main are not wanted here")]
mod proxy;

fn spawn(task: Driver) {
    smol::spawn(task).detach();
}

fn server() -> Endpoint {
    let config = EndpointConfig::server(Identity::localhost().server().into(), Config::default());
    Endpoint::server(config.expect("suits"), ([127, 0, 0, 1], 0).into(), spawn).expect("binds")
}

#[test]
fn a_page_is_got_through_the_proxy() {
    let test = async {
        let (carrier, site) = (server(), server());
        let at =
            |endpoint: &Endpoint| format!("https://127.0.0.1:{}", endpoint.local_addr().port());
        let (through, uri) = (at(&carrier), at(&site));
        smol::spawn(proxy::serve(carrier)).detach();
        let answering = smol::spawn(async move {
            let connection = site.accept().await.expect("arrives");
            let (_, mut stream) = connection.accept_request().await.expect("arrives");
            stream
                .send
                .send_empty(Response::new(()))
                .expect("not sent yet");
            let from = connection.remote_address().expect("is there");
            connection.closed().await;
            from
        });
        let known = ClientProxy::new(&through).expect("a URI");
        let builder = ClientBuilder::with_tls(Identity::localhost().client_arc()).proxy(known);
        let ours = Endpoint::client(([127, 0, 0, 1], 0).into(), spawn).expect("binds");
        let client = ours.client_on(builder, spawn).expect("suits");
        let answer = client.get(&uri).await.expect("is answered");
        assert_eq!(answer.status(), 200);
        drop(answer);
        assert_eq!(client.stats().dials, 2);
        client.drain();
        client.closed().await;
        assert_ne!(answering.await, ours.local_addr(), "the proxy's socket");
    };
    let limit = async {
        smol::Timer::after(Duration::from_secs(20)).await;
        panic!("the test hangs");
    };
    smol::block_on(test.or(limit));
}
