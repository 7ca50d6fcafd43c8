use std::fs;
use std::time::SystemTime;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConnection, ServerConnection};

use super::*;

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

fn identity() -> Identity {
    Identity::self_signed(SystemTime::now()).unwrap()
}

#[test]
fn a_pin_accepts_its_certificate_under_any_name_and_no_other() {
    let ours = identity();
    let pin = ours.fingerprints().certificate;
    let trust = Trust::Pins(vec![identity().fingerprints().certificate, pin]);
    let client = client_config(&trust).unwrap();
    let server = server_config(&ours).unwrap();
    handshake(server.clone(), client, "elsewhere.example").unwrap();

    let trust = Trust::Pins(vec![identity().fingerprints().certificate]);
    let error = handshake(server, client_config(&trust).unwrap(), "localhost").unwrap_err();
    let seen = ours.fingerprints().certificate.to_hex();
    assert!(error.to_string().contains(&seen), "{error}");
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
    let mut server = server_config(&thief).unwrap();
    server.cert_resolver = Arc::new(Always(Arc::new(stolen)));
    for trust in [
        Trust::Pins(vec![ours.fingerprints().certificate]),
        Trust::Insecure,
    ] {
        let client = client_config(&trust).unwrap();
        let error = handshake(server.clone(), client, "localhost").unwrap_err();
        assert_eq!(error, CertificateError::BadSignature.into(), "{trust:?}");
    }
}

#[test]
fn a_ca_file_makes_a_certificate_trusted_for_its_names_only() {
    let ours = identity();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    ours.write_pem(&path).unwrap();
    let server = server_config(&ours).unwrap();
    let client = client_config(&Trust::CaFile(path.clone())).unwrap();
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
    let client = client_config(&Trust::CaFile(path)).unwrap();
    let error = handshake(server, client, "localhost").unwrap_err();
    assert!(
        matches!(error, rustls::Error::InvalidCertificate(_)),
        "{error:?}"
    );
}

#[test]
fn insecure_accepts_anyone_and_other_alpn_is_refused() {
    let server = server_config(&identity()).unwrap();
    let mut client = client_config(&Trust::Insecure).unwrap();
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
    identity().write_pem(&cert).unwrap();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    fs::write(&key, pair.serialize_pem()).unwrap();
    let error = server_config(&Identity::load(&cert, &key).unwrap()).unwrap_err();
    assert_eq!(error.exit(), Exit::Certificate);
    assert!(error.to_string().contains("together"), "{error}");
}
