//! The server and the client of the crate's page, which somebody may well start with.

#[allow(dead_code, reason = "the endpoints are of this test")]
#[path = "../examples/first-client.rs"]
mod client;
#[allow(dead_code, reason = "the endpoints are of this test")]
#[path = "../examples/first-server.rs"]
mod server;
mod support;

#[test]
fn the_client_of_the_page_talks_to_the_server_of_the_page() {
    support::try_out(server::serve, client::talk);
}
