//! A server that goes on with another certificate.

use std::sync::Arc;
use std::time::SystemTime;

use aqueduct_tokio::protocol::endpoint::{ConfigError, tls};

use crate::harness::{Pair, target, within};

#[tokio::test]
async fn a_server_goes_on_with_another_certificate() {
    within(async {
        let pair = Pair::new().await;
        let identity = tls::Identity::self_signed(["localhost"], SystemTime::now());
        let identity = identity.expect("a certificate");
        let (hash, shown) = (identity.hash(), identity.chain[0].clone());
        let certificates = tls::Certificates::new([identity]).expect("the key fits");
        let renewed = Arc::new(certificates.into_config().expect("TLS 1.3"));
        let server = &pair.server_endpoint;
        server.set_server_tls(renewed.clone()).expect("suits");

        let trust = tls::client_config(tls::Trust::hashes([hash])).expect("suits");
        let client = &pair.client_endpoint;
        let connecting = client.connect(server.local_addr(), "localhost", Arc::new(trust));
        let (new, _) = tokio::join!(connecting.expect("begins"), server.accept());
        assert_eq!(new.expect("believes it").peer_certificates(), [shown]);
        // Who trusts the old one is not served, but on the connection that it has.
        let refused = client.connect_with(target(server)).expect("begins").await;
        refused.expect_err("does not know it");
        pair.post().await;

        let of_a_client = client.set_server_tls(renewed);
        assert_eq!(of_a_client, Err(ConfigError::NotAServer));
    })
    .await;
}
