//! Session tickets (RFC 8446 section 4.6.1): kept where the application says, and told of.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// What a server gave a client to begin with next time: with it the handshake is shorter,
/// and no certificate is sent or looked at.
///
/// It fits the trust and the client certificates it was got with, which the next
/// connection has by way of the same [`rustls::ClientConfig`]. rustls 0.23 has no form of
/// it that could be written down: it lives as long as the process.
pub struct Ticket(Tls13ClientSessionValue);

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds a secret.
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

/// Where a client's tickets are kept from one connection to the next, and from one
/// endpoint to another. Its methods are called while a connection is worked on, so they
/// should be short.
pub trait TicketStore: fmt::Debug + Send + Sync {
    /// A server of this name gave a ticket. Servers give as many as they like: keep the
    /// latest few.
    fn insert(&self, server_name: &str, ticket: Ticket);

    /// A ticket for a connection that begins, the latest that there is.
    //= https://www.rfc-editor.org/rfc/rfc8446#appendix-C.4
    /// Each is given out once, so that nobody can tell connections of one client.
    fn take(&self, server_name: &str) -> Option<Ticket>;
}

/// Whether tickets arrived on a connection that nobody has been told of.
#[derive(Clone, Debug, Default)]
pub(in crate::endpoint) struct Arrived(Arc<AtomicBool>);

impl Arrived {
    /// Asks once.
    pub(in crate::endpoint) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    /// A connection's way to the store.
    pub(super) fn at(&self, store: Arc<dyn TicketStore>) -> Resumption {
        let arrived = self.clone();
        Resumption::store(Arc::new(Watched { store, arrived }))
    }
}

/// The store as rustls sees it on one connection.
#[derive(Debug)]
struct Watched {
    store: Arc<dyn TicketStore>,
    arrived: Arrived,
}

impl ClientSessionStore for Watched {
    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.store.insert(&name.to_str(), Ticket(ticket));
        self.arrived.0.store(true, Ordering::Relaxed);
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        Some(self.store.take(&name.to_str())?.0)
    }

    // A guess less costs a round trip at most, with servers of unusual groups.
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    // QUIC has TLS 1.3 alone.
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
}
