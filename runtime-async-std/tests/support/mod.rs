//! What the examples are tried with: a server and a connection to it, on one executor.

use std::fmt::Debug;
use std::time::Duration;

use aqueduct_async_std::protocol::config::Config;
use aqueduct_async_std::protocol::endpoint::EndpointConfig;
use aqueduct_async_std::protocol::testing::cert::Identity;
use aqueduct_async_std::{Connection, Endpoint};
use smol::future::FutureExt;

/// What `talk` has over a connection to what `serve` serves.
pub(crate) fn try_out<S, T, E>(
    serve: impl FnOnce(Endpoint) -> S,
    talk: impl AsyncFnOnce(&Connection) -> Result<T, E>,
) -> T
where
    S: Future<Output = ()> + Send + 'static,
    E: Debug,
{
    let test = async {
        let identity = Identity::localhost();
        let config = EndpointConfig::server(identity.server().into(), Config::default());
        let any = ([127, 0, 0, 1], 0).into();
        let spawn = |driver| smol::spawn(driver).detach();
        let endpoint = Endpoint::server(config.expect("suits"), any, spawn).expect("binds");
        let address = endpoint.local_addr();
        smol::spawn(serve(endpoint)).detach();
        let ours = Endpoint::client(any, spawn).expect("binds");
        let connecting = ours.connect(address, "localhost", identity.client_arc());
        let connection = connecting.expect("begins").await.expect("shakes hands");
        talk(&connection)
            .await
            .expect("the server answers all that the client waits for")
    };
    let limit = async {
        smol::Timer::after(Duration::from_secs(20)).await;
        panic!("the test hangs");
    };
    smol::block_on(test.or(limit))
}
