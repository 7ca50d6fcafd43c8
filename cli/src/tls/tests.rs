use std::fs;
use std::time::SystemTime;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConnection, ServerConnection};

use super::*;
use crate::identity::Identity;

/// Runs a TLS handshake in memory; answers the client's error, if any.
fn handshake(server: ServerConfig, client: ClientConfig, name: &str) -> Result<(), rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.into(), name).unwrap();
    let mut server = ServerConnection::new(server.into()).unwrap();
    for _ in 0..8 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        let mut rest = &flight[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
        }
        server.process_new_packets()?;
        let mut flight = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut flight).unwrap();
        }
        let mut rest: &[u8] = &flight;
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
        }
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    assert_eq!(client.alpn_protocol(), Some(ALPN_H3));
    assert_eq!(server.alpn_protocol(), Some(ALPN_H3));
    Ok(())
}

fn serving(identity: &Identity) -> ServerConfig {
    server_config(&Certificates::new(std::slice::from_ref(identity)).unwrap()).unwrap()
}

fn trusting(trust: &Trust) -> ClientConfig {
    client_config(trust, &Verdict::default()).unwrap()
}

/// What is said of a server with this identity by a client with this trust.
fn said(server: &Identity, trust: &Trust, name: &str) -> Objection {
    let verdict = Verdict::default();
    let client = client_config(trust, &verdict).unwrap();
    handshake(serving(server), client, name).unwrap_err();
    verdict.objection().unwrap()
}

fn identity() -> Identity {
    Identity::self_signed(SystemTime::now()).unwrap()
}

#[test]
fn a_pin_accepts_its_certificate_under_any_name_and_no_other() {
    let ours = identity();
    let pin = ours.fingerprints().certificate;
    let trust = Trust::Pins(vec![identity().fingerprints().certificate, pin]);
    let client = trusting(&trust);
    let server = serving(&ours);
    handshake(server.clone(), client, "elsewhere.example").unwrap();

    let trust = Trust::Pins(vec![identity().fingerprints().certificate]);
    let seen = ours.fingerprints().certificate.to_hex();
    assert_eq!(
        said(&ours, &trust, "localhost").why,
        format!("its SHA-256 is {seen}, not the one asked for")
    );
}

#[test]
fn a_pin_is_no_use_without_the_private_key() {
    // A thief shows our certificate and signs with a key of their own.
    let ours = identity();
    let thief = identity();
    let stolen = rustls::sign::CertifiedKey::new(
        ours.chain().to_vec(),
        provider()
            .key_provider
            .load_private_key(thief.key())
            .unwrap(),
    );
    #[derive(Debug)]
    struct Always(Arc<rustls::sign::CertifiedKey>);
    impl rustls::server::ResolvesServerCert for Always {
        fn resolve(
            &self,
            _hello: rustls::server::ClientHello<'_>,
        ) -> Option<Arc<rustls::sign::CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }
    let mut server = serving(&thief);
    server.cert_resolver = Arc::new(Always(Arc::new(stolen)));
    for trust in [
        Trust::Pins(vec![ours.fingerprints().certificate]),
        Trust::Insecure,
    ] {
        let client = trusting(&trust);
        let error = handshake(server.clone(), client, "localhost").unwrap_err();
        assert_eq!(error, CertificateError::BadSignature.into(), "{trust:?}");
    }
}

#[test]
fn a_ca_file_makes_a_certificate_trusted_for_its_names_only() {
    let ours = identity();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    fs::write(&path, ours.to_pem()).unwrap();
    let server = serving(&ours);
    let client = trusting(&Trust::CaFile(path.clone()));
    for name in ["localhost", "127.0.0.1", "::1"] {
        handshake(server.clone(), client.clone(), name).unwrap();
    }
    let error = handshake(server.clone(), client, "elsewhere.example").unwrap_err();
    assert!(
        matches!(
            error,
            rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext { .. })
        ),
        "{error:?}"
    );

    fs::write(&path, identity().to_pem()).unwrap();
    let client = trusting(&Trust::CaFile(path));
    let error = handshake(server, client, "localhost").unwrap_err();
    assert!(
        matches!(error, rustls::Error::InvalidCertificate(_)),
        "{error:?}"
    );
}

#[test]
fn insecure_accepts_anyone_and_other_alpn_is_refused() {
    let server = serving(&identity());
    let mut client = trusting(&Trust::Insecure);
    handshake(server.clone(), client.clone(), "anything.example").unwrap();
    client.alpn_protocols = vec![b"hq-interop".to_vec()];
    let error = handshake(server, client, "anything.example").unwrap_err();
    assert!(
        matches!(
            error,
            rustls::Error::NoApplicationProtocol
                | rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        ),
        "{error:?}"
    );
}

#[test]
fn a_key_of_another_certificate_is_refused_at_start() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    fs::write(&cert, identity().to_pem()).unwrap();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    fs::write(&key, pair.serialize_pem()).unwrap();
    let error = Certificates::new(&[Identity::load(&cert, &key).unwrap()]).unwrap_err();
    assert_eq!(error.exit(), Exit::Certificate);
    assert!(error.to_string().contains("together"), "{error}");
}

/// What `openssl req -x509` makes: an authority that signs itself.
fn as_openssl_makes(names: &[&str], days: std::ops::Range<i32>) -> Identity {
    let authority = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    self_signed(names, days, authority)
}

fn self_signed(names: &[&str], days: std::ops::Range<i32>, is_ca: rcgen::IsCa) -> Identity {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    params.is_ca = is_ca;
    let now = SystemTime::now();
    let day = std::time::Duration::from_secs(86_400);
    let at = |days: i32| match u32::try_from(days) {
        Ok(ahead) => now + ahead * day,
        Err(_) => now - days.unsigned_abs() * day,
    };
    params.not_before = at(days.start).into();
    params.not_after = at(days.end).into();
    fs::write(&cert, params.self_signed(&pair).unwrap().pem()).unwrap();
    fs::write(&key, pair.serialize_pem()).unwrap();
    Identity::load(&cert, &key).unwrap()
}

#[test]
fn an_authority_that_is_the_server_itself_is_trusted_when_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let trust = Trust::CaFile(path.clone());
    let ours = as_openssl_makes(&["localhost"], -1..30);
    fs::write(&path, ours.to_pem()).unwrap();
    handshake(serving(&ours), trusting(&trust), "localhost").unwrap();
    let elsewhere = said(&ours, &trust, "elsewhere.example");
    assert_eq!(
        elsewhere.why,
        "it is for localhost, not for elsewhere.example"
    );

    // One without names is what it is under any.
    let nameless = as_openssl_makes(&[], -1..30);
    fs::write(&path, nameless.to_pem()).unwrap();
    let server = serving(&nameless);
    handshake(server, trusting(&trust), "127.0.0.1").unwrap();

    let over = as_openssl_makes(&["localhost"], -9..-1);
    fs::write(&path, over.to_pem()).unwrap();
    let over = said(&over, &trust, "localhost").why;
    assert!(over.starts_with("it expired on 2"), "{over}");
}

/// As curl does: who names a certificate means it, and the want of a CA flag is no objection.
#[test]
fn a_self_signed_certificate_that_is_no_authority_is_trusted_when_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cert.pem");
    let trust = Trust::CaFile(path.clone());
    for is_ca in [rcgen::IsCa::NoCa, rcgen::IsCa::ExplicitNoCa] {
        let ours = self_signed(&["localhost"], -1..30, is_ca);
        let other = self_signed(&["localhost"], -1..30, is_ca);
        fs::write(&path, ours.to_pem()).unwrap();
        handshake(serving(&ours), trusting(&trust), "localhost").unwrap();
        said(&ours, &trust, "elsewhere.example");
        // It vouches for itself, and for no other.
        said(&other, &trust, "localhost");
    }
}

#[test]
fn objections_are_words_with_an_option_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let trust = Trust::CaFile(path.clone());
    let other = as_openssl_makes(&["other.example"], -1..30);
    fs::write(&path, other.to_pem()).unwrap();
    let ours = as_openssl_makes(&["localhost"], -1..30);
    let digest = ours.fingerprints().certificate.to_hex();
    for (server, why) in [
        (
            &ours,
            "it is an authority's own, as `openssl req -x509` makes them",
        ),
        (&identity(), "it is self-signed"),
    ] {
        let Objection { why: told, help } = said(server, &trust, "localhost");
        assert_eq!(told, why);
        assert!(
            help.starts_with("--cacert FILE with this certificate"),
            "{help}"
        );
    }
    let Objection { help, .. } = said(&ours, &trust, "localhost");
    assert!(help.ends_with(&format!("--cert-hash {digest}")), "{help}");
}

/// What is wrong with one server is not said of the next.
#[test]
fn an_objection_goes_with_the_server_that_it_is_about() {
    let (ours, theirs) = (identity(), identity());
    let verdict = Verdict::default();
    let pins = Trust::Pins(vec![ours.fingerprints().certificate]);
    let client = client_config(&pins, &verdict).unwrap();
    handshake(serving(&theirs), client.clone(), "localhost").unwrap_err();
    assert!(verdict.objection().is_some());
    handshake(serving(&ours), client, "localhost").unwrap();
    assert_eq!(verdict.objection(), None);
}

#[test]
fn a_curious_client_goes_on_and_knows_what_is_wrong() {
    let ours = identity();
    let verdict = Verdict::default();
    let pins = Trust::Pins(vec![Sha256Digest::of(b"")]);
    let client = curious_config(&pins, &verdict).unwrap();
    handshake(serving(&ours), client, "localhost").unwrap();
    assert!(
        verdict
            .objection()
            .unwrap()
            .why
            .starts_with("its SHA-256 is ")
    );
}

#[test]
fn a_certificate_is_chosen_by_name_and_may_be_replaced() {
    let names = ["a.example", "*.b.example"];
    let identities = names.map(|name| as_openssl_makes(&[name], -1..5));
    let certificates = Certificates::new(&identities).unwrap();
    let server = server_config(&certificates).unwrap();
    let pin = |at: usize| Trust::Pins(vec![identities[at].fingerprints().certificate]);
    for (name, at) in [
        ("a.example", 0),
        ("x.b.example", 1),
        ("c.example", 0),
        ("127.0.0.1", 0),
    ] {
        handshake(server.clone(), trusting(&pin(at)), name).unwrap();
    }

    let other = as_openssl_makes(&["a.example"], -1..5);
    let trust = Trust::Pins(vec![other.fingerprints().certificate]);
    certificates.replace(&[other]).unwrap();
    handshake(server.clone(), trusting(&trust), "a.example").unwrap();
    handshake(server, trusting(&pin(0)), "a.example").unwrap_err();
}
