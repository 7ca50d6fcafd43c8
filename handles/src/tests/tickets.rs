//! Row B35: a session ticket is told, kept, and used by the next connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::Target;
use aqueduct_core::endpoint::tls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use aqueduct_core::endpoint::tls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use aqueduct_core::endpoint::tls::rustls::{
    self, ClientConfig, DigitallySignedStruct, SignatureScheme,
};
use aqueduct_core::endpoint::tls::{Ticket, TicketStore, provider};

use super::Net;
use crate::MemoryTickets;

/// Counts the certificates that were looked at: none where a ticket was taken.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl ServerCertVerifier for Counting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.3 alone".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = provider().signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

fn tls(seen: Arc<Counting>) -> Arc<ClientConfig> {
    let tls = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("there is TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(seen)
        .with_no_client_auth();
    Arc::new(tls)
}

#[test]
fn a_ticket_makes_the_next_connection_shorter() {
    let mut net = Net::new();
    let (seen, store) = (
        Arc::new(Counting::default()),
        Arc::new(MemoryTickets::new()),
    );
    let tls = tls(seen.clone());
    let (client, server) = (net.client.clone(), net.server.clone());
    // Who has no ticket for a name looks at the certificate; who has, does not.
    for (name, looked_at) in [("one.test", 1), ("one.test", 1), ("two.test", 2)] {
        let target = Target::new(server.local_addr(), name, tls.clone());
        let connecting = client.connect_with(target.tickets(store.clone()));
        let ours = net.run(connecting.expect("begins").established());
        let ours = ours.expect("shakes hands");
        let theirs = net.run(server.accept()).expect("arrives");
        assert_eq!(seen.0.load(Ordering::Relaxed), looked_at, "{name}");
        assert!(net.run(ours.ticket()), "the server gives some");
        net.session(&ours, &theirs);
        ours.close(Code::H3_NO_ERROR, "");
        net.settle();
    }
    assert!(!store.is_empty());
    // Each is given out once, and only for its server.
    assert!(store.take("three.test").is_none());
    while store.take("one.test").is_some() {}
    assert!(store.take("two.test").is_some());
}

/// Keeps tickets, and gives none out.
#[derive(Debug, Default)]
struct Hoard(MemoryTickets);

impl TicketStore for Hoard {
    fn insert(&self, server_name: &str, ticket: Ticket) {
        self.0.insert(server_name, ticket);
    }

    fn take(&self, _: &str) -> Option<Ticket> {
        None
    }
}

/// A server gives as many as it likes.
#[test]
fn a_server_that_gives_without_end_costs_others_nothing() {
    let mut net = Net::new();
    let (tls, store) = (tls(Arc::default()), Arc::new(Hoard::default()));
    for connection in 0..80 {
        let name = if connection == 0 {
            "one.test"
        } else {
            "greedy.test"
        };
        let target = Target::new(net.server.local_addr(), name, tls.clone());
        let connecting = net.client.connect_with(target.tickets(store.clone()));
        let ours = net.run(connecting.expect("begins").established());
        let ours = ours.expect("shakes hands");
        let _theirs = net.run(net.server.clone().accept()).expect("arrives");
        assert!(net.run(ours.ticket()), "the server gives some");
        net.settle();
        ours.close(Code::H3_NO_ERROR, "");
        net.settle();
    }
    let takes = |name: &str| std::iter::from_fn(|| store.0.take(name)).count();
    assert_eq!((takes("greedy.test"), takes("one.test")), (8, 2));
}

#[test]
fn without_a_store_no_ticket_is_told() {
    let mut net = Net::new();
    let (ours, _theirs) = net.connect();
    net.run(ours.settings()).expect("arrive");
    net.settle();
    ours.close(Code::H3_NO_ERROR, "");
    assert!(!net.run(ours.ticket()));
}
