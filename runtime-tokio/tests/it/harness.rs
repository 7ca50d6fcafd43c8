//! Two endpoints on loopback and what tests do with them again and again.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, Target};
use aqueduct_tokio::protocol::error::PeerCode;
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::{Connection, Endpoint, RequestStream, ServerRequest, Session};
use bytes::Bytes;
use http::Request;

pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Two endpoints and a connection between them.
pub(crate) struct Pair {
    pub(crate) server_endpoint: Endpoint,
    pub(crate) client_endpoint: Endpoint,
    pub(crate) server: Connection,
    pub(crate) client: Connection,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        let config =
            EndpointConfig::server(Identity::localhost().server().into(), Config::default());
        let server_endpoint = Endpoint::server(config.expect("suits"), ANY).expect("binds");
        let client_endpoint = Endpoint::client(ANY).expect("binds");
        let connecting = client_endpoint
            .connect_with(target(&server_endpoint))
            .expect("begins");
        let (client, server) = tokio::join!(connecting, server_endpoint.accept());
        let (client, server) = (client.expect("shakes hands"), server.expect("arrives"));
        Self {
            server_endpoint,
            client_endpoint,
            server,
            client,
        }
    }

    /// A session on the connection, client side first.
    pub(crate) async fn session(&self) -> (Session, Session) {
        let request = ConnectRequest::new("https://localhost/session".parse().expect("a URI"));
        let (client, server) = tokio::join!(self.client.open_session(request), async {
            self.server
                .accept_session()
                .await
                .expect("arrives")
                .accept()
        });
        (
            client.expect("is accepted"),
            server.expect("is still wanted"),
        )
    }

    /// A POST whose content is still to come, client side first.
    pub(crate) async fn post(&self) -> (RequestStream, ServerRequest) {
        let (client, server) = tokio::join!(
            self.client.request(request("POST")),
            self.server.accept_request()
        );
        (client.expect("is sent"), server.expect("arrives").1)
    }
}

pub(crate) fn target(server: &Endpoint) -> Target {
    Target::new(
        server.local_addr(),
        "localhost",
        Identity::localhost().client_arc(),
    )
}

pub(crate) fn request(method: &str) -> Request<()> {
    let request = Request::builder().method(method).uri("https://localhost/");
    request.body(()).expect("valid")
}

/// Bytes that tell where they belong.
pub(crate) fn pattern(len: usize) -> Bytes {
    (0..len)
        .map(|i| ((i * 131 + (i >> 8)) & 255) as u8)
        .collect()
}

pub(crate) fn http(code: Code) -> PeerCode {
    PeerCode::http(code.value())
}

/// Runs a test, which must come to its end.
pub(crate) async fn within<T>(test: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), test)
        .await
        .expect("the test hangs")
}
