//! Rows E18, E20, E21: what a server is made of, chosen by name, and what is said of it that
//! does not suit.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aqueduct_core::endpoint::tls::rustls::{self, KeyLog};
use aqueduct_core::endpoint::tls::{
    Certificates, Identity as Own, IdentityError, Trust, client_config, server_config,
};
use aqueduct_core::endpoint::{ConfigError, EndpointConfig};
use aqueduct_core::quic;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair};

use super::chat;

fn own(name: &str) -> Own {
    // Who trusts a hash looks at no date.
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Own::self_signed([name], then).expect("a name")
}

#[test]
fn the_name_that_is_asked_for_chooses_the_certificate() {
    let names = ["a.example", "b.example"];
    let identities = names.map(own);
    let shown = identities.each_ref().map(|it| it.chain[0].clone());
    let trust = Trust::hashes(identities.each_ref().map(Own::hash));
    let certificates = Certificates::new(identities).expect("the keys fit");
    let mut pair = Pair::new(Options {
        server_tls: Some(Arc::new(certificates.into_config().expect("TLS 1.3"))),
        client_tls: Some(Arc::new(client_config(trust).expect("suits"))),
        ..chat()
    });
    for (name, shown) in [
        (names[0], &shown[0]),
        (names[1], &shown[1]),
        ("c.example", &shown[0]),
    ] {
        let mut target = pair.target();
        target.server_name = name.into();
        let client = pair.client.endpoint.connect(pair.now, &target);
        let client = client.expect("begins");
        pair.drive();
        let info = pair.client.endpoint.info(client).expect("there");
        assert_eq!(
            info.peer_certificates(),
            std::slice::from_ref(shown),
            "{name}"
        );
        let (server, _) = pair.server.events.pop().expect("told");
        pair.server.events.clear();
        let about = pair.server_quic(server).access().about().cloned();
        assert_eq!(about.expect("known").server_name.as_deref(), Some(name));
    }
}

/// Labels of secrets.
#[derive(Debug, Default)]
struct Labels(Mutex<Vec<String>>);

impl KeyLog for Labels {
    fn log(&self, label: &str, _: &[u8], _: &[u8]) {
        self.0.lock().expect("no panic").push(label.into());
    }
}

#[test]
fn keys_are_logged_of_both_ends() {
    let [ours, theirs] = [(); 2].map(|()| Arc::new(Labels::default()));
    let identity = Identity::localhost();
    let (mut client, mut server) = (identity.client(), identity.server());
    client.key_log = ours.clone();
    server.key_log = theirs.clone();
    let _pair = Pair::connected(Options {
        client_tls: Some(Arc::new(client)),
        server_tls: Some(Arc::new(server)),
        ..chat()
    });
    for labels in [ours, theirs] {
        let labels = labels.0.lock().expect("no panic");
        for label in [
            "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            "CLIENT_TRAFFIC_SECRET_0",
            "SERVER_TRAFFIC_SECRET_0",
        ] {
            assert!(labels.iter().any(|it| it == label), "{label}: {labels:?}");
        }
    }
}

#[test]
fn what_does_not_suit_is_refused_by_its_kind() {
    let pem = |label: &str, der: &[u8]| {
        use std::fmt::Write as _;
        let mut text = format!("-----BEGIN {label}-----\n");
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        for part in der.chunks(3) {
            let bits = part
                .iter()
                .fold(0, |bits, byte| bits << 8 | usize::from(*byte))
                << (8 * (3 - part.len()));
            for at in 0..4 {
                let digit = DIGITS[bits >> (18 - 6 * at) & 63];
                let shown = if at > part.len() { '=' } else { digit.into() };
                write!(text, "{shown}").expect("text");
            }
        }
        text + &format!("\n-----END {label}-----\n")
    };
    let own = own("localhost");
    let chain = pem("CERTIFICATE", &own.chain[0]);
    let key = pem("PRIVATE KEY", own.key.secret_der());
    Own::from_pem(chain.as_bytes(), key.as_bytes()).expect("both suit");
    let no_chain = Own::from_pem(b"nonsense", key.as_bytes());
    assert!(matches!(no_chain, Err(IdentityError::Chain(_))));
    let no_key = Own::from_pem(chain.as_bytes(), chain.as_bytes());
    assert!(matches!(no_key, Err(IdentityError::Key(_))));
    let locked = pem("ENCRYPTED PRIVATE KEY", &[0x30, 0]);
    let locked = Own::from_pem(chain.as_bytes(), locked.as_bytes());
    assert!(
        matches!(locked, Err(IdentityError::Encrypted)),
        "{locked:?}"
    );

    let another = Identity::localhost().key();
    let refused = server_config(own.chain, another).expect_err("another's key");
    assert!(
        matches!(refused, rustls::Error::InconsistentKeys(_)),
        "{refused}"
    );
    let not_one = vec![rustls::pki_types::CertificateDer::from(vec![1, 2, 3])];
    server_config(not_one, own.key).expect_err("no certificate");

    let tls = Arc::new(Identity::localhost().server());
    let long = EndpointConfig::quic_server(tls, ["x".repeat(256)], quic::Config::new());
    assert!(matches!(long, Err(ConfigError::Alpn(_))));
}
