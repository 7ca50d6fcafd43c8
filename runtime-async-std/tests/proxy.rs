//! The proxy of the example, and who uses it (rows C7, C11, C17).

use std::time::Duration;

use aqueduct_async_std::Endpoint;
use aqueduct_async_std::protocol::config::Config;
use aqueduct_async_std::protocol::endpoint::EndpointConfig;
use aqueduct_async_std::protocol::testing::cert::Identity;
use smol::future::FutureExt;

#[allow(dead_code, reason = "the endpoints are of this test")]
#[path = "../examples/proxy.rs"]
mod proxy;

#[test]
fn tunnels_for_udp_and_tcp_lead_there_and_back() {
    let test = async {
        let identity = Identity::localhost();
        let config = EndpointConfig::server(identity.server().into(), Config::default());
        let any = ([127, 0, 0, 1], 0).into();
        let spawn = |driver| smol::spawn(driver).detach();
        let endpoint = Endpoint::server(config.expect("suits"), any, spawn).expect("binds");
        let address = endpoint.local_addr();
        smol::spawn(proxy::serve(endpoint)).detach();
        let ours = Endpoint::client(any, spawn).expect("binds");
        let connecting = ours.connect(address, "localhost", identity.client_arc());
        let connection = connecting.expect("begins").await.expect("shakes hands");
        let talk = proxy::talk(&connection).await;
        assert_eq!(talk.expect("both come back"), "hello by UDP, hello by TCP");
    };
    let limit = async {
        smol::Timer::after(Duration::from_secs(20)).await;
        panic!("the test hangs");
    };
    smol::block_on(test.or(limit));
}
