//! Row E14: whose certificates are believed, by the application's word, by rustls' own
//! traits, and by authorities; both ways.

use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use aqueduct_core::endpoint::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use aqueduct_core::endpoint::tls::rustls::server::WebPkiClientVerifier;
use aqueduct_core::endpoint::tls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme, version,
};
use aqueduct_core::endpoint::tls::{Identity as Own, provider};
use aqueduct_core::error::{CloseReason, TransportFailure};
use aqueduct_core::event::Event;
use aqueduct_core::id::{ConnKey, Dir};
use aqueduct_core::quic::{Config, ConfirmError, Event as Told, Start, StartError};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair, Quic};
use bytes::Bytes;

use super::{chat, opened, quic};

/// Beyond what a pair waits for by itself.
const LIMIT: Duration = Duration::from_secs(10);

/// Whose application is asked.
fn asked(client: bool, server: bool) -> Options {
    let of = |asked| match asked {
        true => Config::new().confirm(LIMIT),
        false => Config::new(),
    };
    Options {
        quic: Some(Quic {
            client: of(client),
            server: of(server),
            ..Quic::default()
        }),
        ..chat()
    }
}

/// Begins a connection and lets happen what does by itself.
fn meet(options: Options) -> (Pair, ConnKey, ConnKey) {
    let mut pair = Pair::new(options);
    let client = pair.connect();
    pair.drive();
    let server = pair.server.events.first().expect("begins").0;
    (pair, client, server)
}

/// Why a connection ended, by its last event.
fn end(events: &[Event]) -> CloseReason {
    match events.last() {
        Some(Event::Closed(reason)) => (**reason).clone(),
        _ => panic!("{events:?}"),
    }
}

/// The code of QUIC's that a connection ended with, and whether the peer said it.
fn code(reason: &CloseReason) -> (u64, bool) {
    match reason {
        CloseReason::Transport(TransportFailure::ClosedByPeer { code, .. }) => (*code, true),
        CloseReason::Transport(TransportFailure::Error { code, .. }) => (*code, false),
        _ => panic!("{reason:?}"),
    }
}

#[test]
fn nothing_is_told_before_the_application_believes_the_server() {
    let (mut pair, client, server) = meet(asked(true, false));
    let events = pair.client.take(client);
    assert_eq!(events, [Event::Quic(Told::Confirm)]);
    let mut connection = pair.server_quic(server);
    let stream = connection.access().start(Dir::Uni, Start::new());
    let taken = (connection.access()).write(stream.expect("begins"), &mut [Bytes::from("hello")]);
    assert_eq!(taken, Ok(5));
    let sent = connection.access().send_datagram(Bytes::from_static(b"hi"));
    sent.expect("is sent");
    pair.advance(LIMIT - Duration::from_secs(1));
    assert_eq!(pair.client.take(client), []);

    let mut connection = pair.client_quic(client);
    let shown = connection.info().peer_certificates();
    assert_eq!(shown, [Identity::localhost().cert]);
    let mut access = connection.access();
    assert!(!access.is_established());
    let refused = access.start(Dir::Bi, Start::new());
    assert_eq!(refused, Err(StartError::NotConnected));
    assert_eq!(access.recv_datagram(), None);
    let about = access.about().expect("known");
    assert_eq!(about.certificates, [Bytes::from(shown[0].to_vec())]);
    access.confirm(Ok(())).expect("was asked");
    assert_eq!(access.confirm(Ok(())), Err(ConfirmError::NotAsked));
    assert!(access.is_established());
    pair.drive();
    let events = pair.client.take(client);
    assert!(matches!(events[0], Event::Connected { .. }), "{events:?}");
    let events = quic(events);
    assert_eq!(opened(&events).len(), 1);
    assert!(events.contains(&Told::Datagrams));
}

/// RFC 9001 section 4.8, RFC 8446 section 6.2: bad_certificate is alert 42.
#[test]
fn who_is_not_believed_hears_the_alert_as_from_tls() {
    for by_client in [true, false] {
        let (mut pair, client, server) = meet(asked(by_client, !by_client));
        let mut connection = match by_client {
            true => pair.client_quic(client),
            false => pair.server_quic(server),
        };
        connection.access().confirm(Err(42)).expect("was asked");
        pair.drive();
        let (client, server) = (pair.client.take(client), pair.server.take(server));
        let (refuses, refused) = match by_client {
            true => (client, server),
            false => (server, client),
        };
        let said = CloseReason::Local {
            code: Code::new(0x12a),
            reason: Bytes::from_static(b"certificate refused"),
        };
        assert_eq!(end(&refuses), said);
        let heard = TransportFailure::ClosedByPeer {
            code: 0x12a,
            reason: Bytes::from_static(b"certificate refused"),
        };
        assert_eq!(end(&refused), CloseReason::Transport(heard), "{by_client}");
    }
}

#[test]
fn the_peer_hears_it_even_in_the_first_flight() {
    let mut pair = Pair::new(asked(true, false));
    let client = pair.connect();
    let asks = |(_, event): &(ConnKey, Event)| *event == Event::Quic(Told::Confirm);
    assert!(pair.drive_until(|pair| pair.client.events.iter().any(asks)));
    let mut connection = pair.client_quic(client);
    connection.access().confirm(Err(42)).expect("was asked");
    pair.drive();
    let (server, _) = pair.server.events[0];
    assert_eq!(code(&end(&pair.server.take(server))), (0x12a, true));
}

/// Where packets are not looked into, the code is the same and the application's.
#[test]
fn without_reliable_resets_the_alert_is_said_in_the_applications_name() {
    let mut options = asked(true, false);
    options.transport.reliable_reset = false;
    let (mut pair, client, server) = meet(options);
    let mut connection = pair.client_quic(client);
    connection.access().confirm(Err(42)).expect("was asked");
    pair.drive();
    let heard = CloseReason::Remote {
        code: Code::new(0x12a),
        reason: Bytes::from_static(b"certificate refused"),
    };
    assert_eq!(end(&pair.server.take(server)), heard);
}

/// certificate_unknown is alert 46.
#[test]
fn who_says_nothing_refuses_when_the_time_is_up() {
    let (mut pair, client, server) = meet(asked(true, false));
    pair.client.take(client);
    pair.advance(LIMIT + Duration::from_secs(1));
    assert_eq!(code(&end(&pair.server.take(server))), (0x12e, true));
    let late = pair.client.endpoint.quic(pair.now, client);
    let late = late.map(|mut late| late.access().confirm(Ok(())));
    assert!(matches!(late, None | Some(Err(ConfirmError::Closed))));
}

/// A server that wants certificates that `of` has signed.
fn wants(of: &Identity) -> Arc<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(of.cert.clone()).expect("a certificate");
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider());
    let own = own();
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .expect("the provider has it")
        .with_client_cert_verifier(verifier.build().expect("a root"))
        .with_single_cert(own.chain, own.key);
    Arc::new(config.expect("the key fits"))
}

fn own() -> Own {
    let then = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Own::self_signed(["localhost"], then).expect("a name")
}

/// A client that takes every server, and shows this.
fn shows(identity: Option<&Identity>) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&version::TLS13])
        .expect("the provider has it")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Says(true)));
    Arc::new(match identity {
        Some(identity) => builder
            .with_client_auth_cert(vec![identity.cert.clone()], identity.key())
            .expect("the key fits"),
        None => builder.with_no_client_auth(),
    })
}

/// A verifier of the application's own, by the trait of rustls.
#[derive(Debug)]
struct Says(bool);

impl ServerCertVerifier for Says {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.0 {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[test]
fn a_clients_certificate_is_shown_and_confirmed_at_the_server() {
    let identity = Identity::new(7, &["somebody"]);
    let (mut pair, client, server) = meet(Options {
        server_tls: Some(wants(&identity)),
        client_tls: Some(shows(Some(&identity))),
        ..asked(false, true)
    });
    let mut connection = pair.server_quic(server);
    let shown = connection.info().peer_certificates();
    assert_eq!(shown, std::slice::from_ref(&identity.cert));
    let mut access = connection.access();
    let about = access.about().expect("known");
    assert_eq!(about.certificates, [Bytes::from(identity.cert.to_vec())]);
    access.confirm(Ok(())).expect("was asked");
    pair.drive();
    let events = pair.server.take(server);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Connected { .. }))
    );
    let shown = pair.client_quic(client).info().peer_certificates();
    assert_eq!(shown.len(), 1);
}

/// What both ends say of certificates that are not believed: alerts of RFC 8446 section 6.2,
/// beyond 0x100. The first is the side that finds it, with its error; the other hears it.
#[test]
fn bad_certificates_end_both_sides_with_the_same_code() {
    let [known, stranger] = [7, 8].map(|number| Identity::new(number, &["somebody"]));
    let of_strangers = Options {
        // unknown_ca, found by the client.
        client_tls: Some(stranger.client_arc()),
        ..chat()
    };
    let of_own_verifier = Options {
        // access_denied, by the application's verifier.
        client_tls: Some({
            let mut config = ClientConfig::clone(&shows(None));
            config
                .dangerous()
                .set_certificate_verifier(Arc::new(Says(false)));
            Arc::new(config)
        }),
        ..chat()
    };
    for (options, alert) in [(of_strangers, 48), (of_own_verifier, 49)] {
        let mut pair = Pair::new(options);
        let client = pair.connect();
        pair.drive();
        let found = end(&pair.client.take(client));
        assert_eq!(code(&found), (0x100 + alert, false));
        let heard = pair.server.events.last().map(|(_, event)| event.clone());
        let heard = end(&[heard.expect("told")]);
        assert_eq!(code(&heard), (0x100 + alert, true));
    }
    // certificate_required and unknown_ca, found by the server after the client has finished.
    for (shown, alert) in [(None, 116), (Some(&stranger), 48)] {
        let mut pair = Pair::new(Options {
            server_tls: Some(wants(&known)),
            client_tls: Some(shows(shown)),
            ..chat()
        });
        let client = pair.connect();
        pair.drive();
        let heard = end(&pair.client.take(client));
        assert_eq!(code(&heard), (0x100 + alert, true));
        let found = pair.server.events.last().map(|(_, event)| event.clone());
        let found = end(&[found.expect("told")]);
        assert_eq!(code(&found), (0x100 + alert, false));
    }
}

#[test]
fn a_verifier_by_the_trait_of_rustls_is_asked() {
    let (mut pair, client, _) = meet(Options {
        server_tls: Some(Arc::new(Identity::new(9, &["another.example"]).server())),
        client_tls: Some(shows(None)),
        ..chat()
    });
    let events = pair.client.take(client);
    assert!(matches!(events[0], Event::Connected { .. }), "{events:?}");
}
