//! What a client believes, and configurations that are not HTTP/3's.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;

use super::*;
use crate::config::Config;
use crate::endpoint::{ConnectError, Endpoint, EndpointConfig, Target};
use crate::error::{CertificateFault, CloseReason};
use crate::event::Event;
use crate::testing::pair::{Options, Pair};

/// A self-signed certificate whose makers thought it an authority's, as
/// `openssl req -x509` does.
fn authority(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let certificate = params.self_signed(&key).expect("a certificate");
    Identity {
        chain: vec![certificate.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    }
}

/// How a connection to a server with this identity ends for a client that has this
/// trust; `None` when it connects.
fn meets(identity: &Identity, trust: impl Into<Trust>) -> Option<CloseReason> {
    let server = server_config(identity.chain.clone(), identity.key.clone_key()).expect("fits");
    let mut pair = Pair::new(Options {
        server_tls: Some(Arc::new(server)),
        client_tls: Some(Arc::new(client_config(trust).expect("certificates"))),
        ..Options::default()
    });
    let key = pair.connect();
    pair.drive();
    let events = pair.client.take(key);
    let closed = events.iter().find_map(|event| match event {
        Event::Closed(reason) => Some(CloseReason::clone(reason)),
        _ => None,
    });
    let connected = events
        .iter()
        .any(|event| matches!(event, Event::Connected { .. }));
    assert_ne!(connected, closed.is_some(), "{events:?}");
    closed
}

fn roots(identity: &Identity) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(identity.chain[0].clone()).expect("a certificate");
    roots
}

/// The certificate is looked at by the clock of the machine.
#[expect(clippy::disallowed_methods, reason = "verification has no other clock")]
fn today() -> SystemTime {
    SystemTime::now()
}

#[test]
fn a_self_signed_authority_is_believed_where_it_is_named_itself() {
    let identity = authority(|_| ());
    assert_eq!(
        meets(&identity, Trust::certificates(identity.chain.clone())),
        None
    );
    assert_eq!(meets(&identity, Trust::hashes([identity.hash()])), None);

    let refused = meets(&identity, roots(&identity)).expect("no server's certificate");
    assert_eq!(refused.certificate(), Some(CertificateFault::Authority));
    let said = refused.to_string();
    assert!(said.contains("trust that very certificate"), "{said}");
    assert!(!said.contains("OtherError"), "{said}");
}

/// As with `X509_V_FLAG_PARTIAL_CHAIN` of OpenSSL, which curl sets.
#[test]
fn the_first_of_a_chain_is_enough_to_be_named() {
    // The second has the name of what it signs, so that the key alone tells them apart.
    for (name, fault) in [
        ("above", CertificateFault::UnknownIssuer),
        ("rcgen self signed cert", CertificateFault::Signature),
    ] {
        let mut above = CertificateParams::new([]).expect("no name is wrong");
        above.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        above
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = rcgen::CertifiedIssuer::self_signed(above, key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let signed = params.signed_by(&key, &issuer).expect("signs");
        let identity = Identity {
            chain: vec![signed.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        };
        assert_eq!(
            meets(&identity, Trust::certificates([issuer.der().clone()])),
            None
        );
        assert_eq!(
            meets(&identity, Trust::certificates(identity.chain.clone())),
            None
        );
        let refused = meets(&identity, roots(&identity)).expect("its signer is not known");
        assert_eq!(refused.certificate(), Some(fault));
    }
}

#[test]
fn a_named_certificate_still_has_dates_and_names() {
    let year = Duration::from_secs(365 * 86_400);
    let elsewhere = authority(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("elsewhere".try_into().unwrap())];
    });
    let over = authority(|params| {
        params.not_before = (SystemTime::UNIX_EPOCH + year).into();
        params.not_after = (SystemTime::UNIX_EPOCH + 2 * year).into();
    });
    let early = authority(|params| {
        params.not_before = (SystemTime::UNIX_EPOCH + 200 * year).into();
        params.not_after = (SystemTime::UNIX_EPOCH + 201 * year).into();
    });
    for (identity, fault) in [
        (elsewhere, CertificateFault::OtherName),
        (over, CertificateFault::Expired),
        (early, CertificateFault::NotYetValid),
    ] {
        let refused = meets(&identity, Trust::certificates(identity.chain.clone()));
        assert_eq!(refused.and_then(|why| why.certificate()), Some(fault));
        // The hash says which certificate is meant, whatever is in it.
        assert_eq!(meets(&identity, Trust::hashes([identity.hash()])), None);
    }
}

#[test]
fn a_hash_is_one_certificates_and_no_others() {
    let made = || Identity::self_signed(["localhost"], today()).expect("made");
    let (ours, other) = (made(), made());
    assert_eq!(
        meets(&ours, Trust::hashes([other.hash(), ours.hash()])),
        None
    );
    let both = Trust::hashes([other.hash()]).and(Trust::certificates(ours.chain.clone()));
    assert_eq!(meets(&ours, both), None);

    let refused = meets(&ours, Trust::hashes([other.hash()])).expect("another hash");
    assert_eq!(refused.certificate(), Some(CertificateFault::OtherHash));
    let hex = ours.hash();
    let said = refused.to_string();
    assert!(said.contains(&format!("its SHA-256 is {hex}")), "{said}");
    assert!(!said.contains("OtherError"), "{said}");

    let refused = meets(&ours, Trust::default()).expect("nobody is trusted");
    assert_eq!(refused.certificate(), Some(CertificateFault::UnknownIssuer));
}

/// Where there are two, whoever asks for the process's own crypto panics.
#[test]
fn no_default_of_the_process_is_made_or_needed() {
    let identity = Identity::self_signed(["localhost"], today()).expect("made");
    assert_eq!(
        meets(&identity, Trust::certificates(identity.chain.clone())),
        None
    );
    assert!(CryptoProvider::get_default().is_none());
}

/// A configuration of each side that was changed so, and what becomes of it.
fn changed(
    provider: &Arc<CryptoProvider>,
    versions: &[&'static rustls::SupportedProtocolVersion],
    alpn: &[u8],
) -> [Option<ConfigError>; 2] {
    let alpn: Vec<Vec<u8>> = alpn.chunks(2).map(<[u8]>::to_vec).collect();
    let identity = Identity::self_signed(["localhost"], today()).expect("made");
    let mut server = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .expect("consistent")
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .expect("fits");
    server.alpn_protocols.clone_from(&alpn);
    let mut client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .expect("consistent")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    client.alpn_protocols = alpn;

    let server = EndpointConfig::server(Arc::new(server), Config::default()).err();
    let mut endpoint = Endpoint::new(EndpointConfig::client()).expect("defaults");
    let target = Target::new(([127, 0, 0, 1], 9).into(), "localhost", Arc::new(client));
    let client = match endpoint.connect(crate::testing::epoch(), &target) {
        Err(ConnectError::Config(why)) => Some(why),
        other => other.map(|_| None).expect("the target is one"),
    };
    [server, client]
}

#[test]
fn a_configuration_that_is_not_for_http3_says_what_to_do() {
    use rustls::version::{TLS12, TLS13};
    let whole = provider();
    assert_eq!(changed(&whole, &[&TLS13], b"h2h3"), [None, None]);
    assert_eq!(changed(&whole, &[&TLS13], b""), [None, None]);
    let no_http3 = Some(ConfigError::NoHttp3);
    assert_eq!(
        changed(&whole, &[&TLS13], b"h2"),
        [no_http3.clone(), no_http3]
    );

    let without = |initial: bool| {
        let mut provider = CryptoProvider::clone(&whole);
        provider.cipher_suites.retain(|suite| match suite.tls13() {
            Some(_) if !initial => false,
            Some(_) => suite.suite() != rustls::CipherSuite::TLS13_AES_128_GCM_SHA256,
            None => true,
        });
        Arc::new(provider)
    };
    let lacks = Some(ConfigError::NoInitialSuite);
    assert_eq!(
        changed(&without(true), &[&TLS13], b"h3"),
        [lacks.clone(), lacks]
    );
    let old = Some(ConfigError::NoTls13);
    assert_eq!(
        changed(&without(false), &[&TLS12], b"h3"),
        [old.clone(), old]
    );
    let [server, client] = changed(&whole, &[&TLS12], b"h3").map(|why| why.unwrap().to_string());
    for said in [server, client] {
        assert!(said.contains("TLS 1.3"), "{said}");
        assert!(said.contains("endpoint::tls::"), "{said}");
    }
}

#[test]
fn what_is_no_identity_says_which_half_is_not() {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let chain = params.self_signed(&key).expect("a certificate").pem();
    let whole = Identity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes());
    assert_eq!(whole.expect("both are there").chain.len(), 1);
    let nothing = Identity::from_pem(b"", b"").expect_err("no chain");
    assert!(matches!(nothing, IdentityError::Chain(_)), "{nothing}");
    let keyless = Identity::from_pem(chain.as_bytes(), b"").expect_err("no key");
    assert!(matches!(keyless, IdentityError::Key(_)), "{keyless}");
    // A name of a certificate is of ASCII.
    let nameless = Identity::self_signed(["h\u{f6}st"], today()).expect_err("no name");
    assert!(matches!(nameless, IdentityError::Making(_)), "{nameless}");
}
