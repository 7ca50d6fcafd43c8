//! Programs of Media over QUIC, by their authors' crates, on sessions of Aqueduct:
//! a publisher, a relay and a subscriber over real sockets on loopback.
#![cfg(test)]

mod lite;
mod net;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::protocol::webtransport::ConnectRequest;
use aqueduct_tokio::{Connection, Endpoint, Session};
use bytes::Bytes;

/// A server that the programs meet at.
struct Meeting {
    server: Endpoint,
    addr: SocketAddr,
    trusted: Arc<rustls::ClientConfig>,
}

impl Meeting {
    fn new() -> Self {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("suits");
        let key = rustls::pki_types::PrivateKeyDer::try_from(own.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("is there")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.expect("a key"))
            .expect("suits");
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let mut roots = rustls::RootCertStore::empty();
        roots.add(own.cert.der().clone()).expect("a certificate");
        let mut trusted = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("is there")
            .with_root_certificates(roots)
            .with_no_client_auth();
        trusted.alpn_protocols = vec![b"h3".to_vec()];

        let config = EndpointConfig::server(tls.into(), Config::default()).expect("suits");
        let server = Endpoint::server(config, ([127, 0, 0, 1], 0).into()).expect("binds");
        let addr = server.local_addr();
        Self {
            server,
            addr,
            trusted: trusted.into(),
        }
    }

    /// A connection and a session in which `protocol` is spoken, client side first.
    async fn session(&self, protocol: &str) -> (Session, Session, Connection) {
        let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into()).expect("binds");
        let connecting = endpoint.connect(self.addr, "localhost", self.trusted.clone());
        let connecting = connecting.expect("begins");
        let (client, server) = tokio::join!(connecting, self.server.accept());
        let (client, server) = (client.expect("shakes hands"), server.expect("arrives"));
        let mut request = ConnectRequest::new("https://localhost/moq".parse().expect("a URI"));
        request.protocols = vec![protocol.to_owned()];
        let (ours, theirs) = tokio::join!(client.open_session(request), async {
            let asked = server.accept_session().await.expect("arrives");
            asked.accept_with_protocol(protocol).expect("still wanted")
        });
        (ours.expect("is accepted"), theirs, server)
    }
}

/// Frames of three groups: small ones, and one that no window holds at once.
fn groups() -> Vec<Vec<Bytes>> {
    let large: Vec<u8> = (0..1_000_000_u32).map(|at| (at * 131 >> 3) as u8).collect();
    vec![
        vec!["key".into(), "delta".into()],
        vec![large.into()],
        vec!["last".into()],
    ]
}

/// Runs a test, which must come to its end.
async fn within<T>(test: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, test).await.expect("hangs")
}
