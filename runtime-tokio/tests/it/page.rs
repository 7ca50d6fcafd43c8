//! The server and the client of the crate's page, which somebody may well start with.

use aqueduct_tokio::Endpoint;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::testing::cert::Identity;

use crate::harness::{ANY, target, within};

#[allow(dead_code, reason = "the endpoints are of this test")]
#[path = "../../examples/first-client.rs"]
mod client;
#[allow(dead_code, reason = "the endpoints are of this test")]
#[path = "../../examples/first-server.rs"]
mod server;

#[tokio::test]
async fn the_client_of_the_page_talks_to_the_server_of_the_page() {
    within(async {
        let tls = Identity::localhost().server();
        let config = EndpointConfig::server(tls.into(), Config::default()).expect("suits");
        let endpoint = Endpoint::server(config, ANY).expect("binds");
        let target = target(&endpoint);
        tokio::spawn(server::serve(endpoint));
        let ours = Endpoint::client(ANY).expect("binds");
        let connection = ours.connect_with(target).expect("begins").await;
        let talk = client::talk(&connection.expect("shakes hands")).await;
        talk.expect("the server answers all that the client waits for");
    })
    .await;
}
