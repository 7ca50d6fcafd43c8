//! The server and the client of the crate's page, which somebody may well start with.

use std::time::Duration;

use aqueduct_async_std::Endpoint;
use aqueduct_async_std::protocol::config::Config;
use aqueduct_async_std::protocol::endpoint::EndpointConfig;
use aqueduct_async_std::protocol::testing::cert::Identity;
use smol::future::FutureExt;

#[allow(dead_code, reason = "the endpoints are of this test")]
#[path = "../examples/first-client.rs"]
mod client;
#[allow(dead_code, reason = "the endpoints are of this test")]
#[path = "../examples/first-server.rs"]
mod server;

#[test]
fn the_client_of_the_page_talks_to_the_server_of_the_page() {
    let test = async {
        let identity = Identity::localhost();
        let config = EndpointConfig::server(identity.server().into(), Config::default());
        let any = ([127, 0, 0, 1], 0).into();
        let spawn = |driver| smol::spawn(driver).detach();
        let endpoint = Endpoint::server(config.expect("suits"), any, spawn).expect("binds");
        let address = endpoint.local_addr();
        smol::spawn(server::serve(endpoint)).detach();
        let ours = Endpoint::client(any, spawn).expect("binds");
        let connecting = ours.connect(address, "localhost", identity.client_arc());
        let connection = connecting.expect("begins").await.expect("shakes hands");
        let talk = client::talk(&connection).await;
        talk.expect("the server answers all that the client waits for");
    };
    let limit = async {
        smol::Timer::after(Duration::from_secs(20)).await;
        panic!("the test hangs");
    };
    smol::block_on(test.or(limit));
}
