//! Session tickets are rustls's, and its store tells an application of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair};

/// A store that counts the tickets that came and those that were used.
#[derive(Debug)]
struct Store {
    inner: ClientSessionMemoryCache,
    came: AtomicUsize,
    used: AtomicUsize,
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.inner.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.inner.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.inner.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.inner.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.inner.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.came.fetch_add(1, Ordering::Relaxed);
        self.inner.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.inner.take_tls13_ticket(server);
        self.used
            .fetch_add(ticket.is_some().into(), Ordering::Relaxed);
        ticket
    }
}

/// Row B35: a ticket is told as it comes, through the store of the TLS
/// configuration, and used by the next connection, each once.
#[test]
fn a_ticket_is_told_and_used_by_the_next_connection() {
    let store = Arc::new(Store {
        inner: ClientSessionMemoryCache::new(8),
        came: AtomicUsize::new(0),
        used: AtomicUsize::new(0),
    });
    let mut client = Identity::localhost().client();
    client.resumption = Resumption::store(store.clone());
    let (mut pair, _, _) = Pair::connected(Options {
        client_tls: Some(Arc::new(client)),
        ..Options::default()
    });
    let came = store.came.load(Ordering::Relaxed);
    assert!(came > 0, "the server sends tickets");
    assert_eq!(store.used.load(Ordering::Relaxed), 0);
    for n in 1..=3 {
        pair.establish();
        assert_eq!(store.used.load(Ordering::Relaxed), n);
    }
    assert!(store.came.load(Ordering::Relaxed) > came, "and new ones");
}
