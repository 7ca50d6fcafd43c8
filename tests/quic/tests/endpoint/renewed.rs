//! A server's certificate is renewed while it serves.

use std::sync::Arc;
use std::time::SystemTime;

use aqueduct_core::endpoint::tls::{self, Certificates, Trust, rustls};
use aqueduct_core::endpoint::{ConfigError, Endpoint, EndpointConfig};
use aqueduct_core::id::ConnKey;
use aqueduct_core::testing::pair::{Options, Pair};

/// A server's configuration, and its certificate.
fn identity() -> (
    Arc<rustls::ServerConfig>,
    rustls::pki_types::CertificateDer<'static>,
) {
    let identity = tls::Identity::self_signed(["localhost"], SystemTime::now());
    let identity = identity.expect("a certificate");
    let shown = identity.chain[0].clone();
    let certificates = Certificates::new([identity]).expect("the key fits");
    (
        Arc::new(certificates.into_config().expect("TLS 1.3")),
        shown,
    )
}

fn shown(pair: &Pair, client: ConnKey) -> rustls::pki_types::CertificateDer<'static> {
    let info = pair.client.endpoint.info(client).expect("open");
    info.peer_certificates()[0].clone()
}

#[test]
fn new_connections_see_the_new_certificate_and_old_ones_go_on() {
    let [(old, old_shown), (new, new_shown)] = [identity(), identity()];
    let hashes = [&old_shown, &new_shown].map(|shown| tls::CertificateHash::of(shown));
    let client = tls::client_config(Trust::hashes(hashes)).expect("suits");
    let (mut pair, first, there) = Pair::connected(Options {
        server_tls: Some(old),
        client_tls: Some(Arc::new(client)),
        ..Options::default()
    });
    assert_eq!(shown(&pair, first), old_shown);

    // What does not suit is refused and replaces nothing.
    let mut unfit = rustls::ServerConfig::clone(&new);
    unfit.alpn_protocols = vec![b"http/1.1".to_vec()];
    let refused = pair.server.endpoint.set_server_tls(Arc::new(unfit));
    assert_eq!(refused, Err(ConfigError::NoHttp3));
    let (second, _) = pair.establish();
    assert_eq!(shown(&pair, second), old_shown);

    pair.server.endpoint.set_server_tls(new).expect("suits");
    let (third, _) = pair.establish();
    assert_eq!(shown(&pair, third), new_shown);
    assert_eq!(shown(&pair, first), old_shown);
    assert!(pair.server.endpoint.info(there).is_some(), "it goes on");
    assert_eq!(pair.server.endpoint.open_connections(), 3);
}

#[test]
fn a_client_has_no_certificate_to_renew() {
    let mut client = Endpoint::new(EndpointConfig::client()).expect("suits");
    let (tls, _) = identity();
    assert_eq!(client.set_server_tls(tls), Err(ConfigError::NotAServer));
}
