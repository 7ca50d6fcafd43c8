//! Session tickets (RFC 8446 section 4.6.1): kept where the application says, each with what
//! its server said in SETTINGS, and told of.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustls::NamedGroup;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

use crate::wire::settings::Settings;

/// Tickets that wait for their server's SETTINGS; servers commonly give two.
const WAITING: usize = 8;

/// Tickets that are forgotten at once, at most.
const FORGOTTEN: usize = 128;

/// What a server gave a client to begin with next time: with it the handshake is shorter,
/// and no certificate is sent or looked at. Where the server allows it, requests may go out
/// as early data (0-RTT), by the SETTINGS that are kept with it.
///
/// It fits the trust and the client certificates it was got with, which the next
/// connection has by way of the same [`rustls::ClientConfig`]. rustls 0.23 has no form of
/// it that could be written down, or read: it lives as long as the process, and there is
/// neither an export nor an import.
pub struct Ticket {
    session: Tls13ClientSessionValue,
    settings: Option<Settings>,
}

impl Ticket {
    /// What the server said in SETTINGS on the connection that the ticket is from, without
    /// what is reserved; `None` when that ended before they came.
    #[must_use]
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// Whether a connection that begins with it may send early data, if its
    /// [`Target`](crate::endpoint::Target::early_data) wants that: the server takes some, and
    /// its settings are known.
    #[must_use]
    pub fn allows_early_data(&self) -> bool {
        self.takes_early_data() && self.settings.is_some()
    }

    fn takes_early_data(&self) -> bool {
        self.session.max_early_data_size() > 0
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It holds a secret.
        f.debug_struct("Ticket")
            .field("settings", &self.settings)
            .field("early_data", &self.allows_early_data())
            .finish_non_exhaustive()
    }
}

/// Where a client's tickets are kept from one connection to the next, and from one
/// endpoint to another, with the settings that belong to each. Its methods are called while
/// a connection is worked on, so they should be short.
pub trait TicketStore: fmt::Debug + Send + Sync {
    /// A server of this name gave a ticket. Servers give as many as they like: keep the
    /// latest few.
    fn insert(&self, server_name: &str, ticket: Ticket);

    /// A ticket for a connection that begins, the latest that there is.
    //= https://www.rfc-editor.org/rfc/rfc8446#appendix-C.4
    /// Each is given out once, so that nobody can tell connections of one client. When a
    /// server does not hold to what early data was sent by, or fails over it, all of its
    /// tickets are taken out, up to 128, and dropped.
    fn take(&self, server_name: &str) -> Option<Ticket>;
}

/// What TLS says of tickets, from the middle of its work.
#[derive(Debug)]
enum Told {
    /// A ticket is used, from a server of this name that says this.
    Used(ServerName<'static>, Option<Settings>),
    /// One came.
    Came(ServerName<'static>, Box<Tls13ClientSessionValue>),
}

/// The tickets of one connection, between TLS and the store.
#[derive(Debug, Default)]
pub(in crate::endpoint) struct Tickets(Option<Kept>);

#[derive(Debug)]
struct Kept {
    store: Arc<dyn TicketStore>,
    told: Receiver<Told>,
    /// What is said of the ticket that is used, until it is asked for.
    used: Option<Settings>,
    /// Whose it is.
    server: Option<ServerName<'static>>,
    /// They came before the server's settings.
    waiting: VecDeque<(ServerName<'static>, Box<Tls13ClientSessionValue>)>,
}

impl Tickets {
    /// A connection's tickets, and its way to the store.
    pub(in crate::endpoint) fn new(store: Arc<dyn TicketStore>) -> (Self, Resumption) {
        let (tickets, watched) = Self::watched(store);
        (tickets, Resumption::store(Arc::new(watched)))
    }

    fn watched(store: Arc<dyn TicketStore>) -> (Self, Watched) {
        let (tell, told) = channel();
        let kept = Kept {
            store: Arc::clone(&store),
            told,
            used: None,
            server: None,
            waiting: VecDeque::new(),
        };
        (Self(Some(kept)), Watched { store, tell })
    }

    /// What the server said that gave the ticket which the connection begins with. Once.
    pub(in crate::endpoint) fn take_used(&mut self) -> Option<Settings> {
        let kept = self.0.as_mut()?;
        kept.listen();
        kept.used.take()
    }

    /// What was promised with the ticket that is used does not hold: those that the same
    /// server gave before are no better, and are taken out of the store. Once.
    pub(in crate::endpoint) fn forget(&mut self) {
        if let Some(kept) = &mut self.0
            && let Some(name) = kept.server.take()
        {
            let name = name.to_str();
            let taken = (0..FORGOTTEN).map_while(|_| kept.store.take(&name));
            let count = taken.count();
            tracing::debug!(%name, count, "tickets are forgotten");
        }
    }

    /// Whether there may be something to file.
    pub(in crate::endpoint) fn are_waiting(&mut self) -> bool {
        self.0.as_mut().is_some_and(|kept| {
            kept.listen();
            !kept.waiting.is_empty()
        })
    }

    /// Puts the tickets that came into the store, with the server's settings. While these
    /// are not known, and may come, tickets for early data wait for them. True if any was.
    pub(in crate::endpoint) fn file(&mut self, settings: Option<&Settings>, over: bool) -> bool {
        let Some(kept) = &mut self.0 else {
            return false;
        };
        let settings = settings.map(Settings::without_reserved);
        let mut filed = false;
        for (name, session) in std::mem::take(&mut kept.waiting) {
            let ticket = Ticket {
                session: *session,
                settings: settings.clone(),
            };
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4.2
            // Settings are stored with what the connection is resumed by.
            if ticket.takes_early_data() && settings.is_none() && !over {
                kept.waiting.push_back((name, Box::new(ticket.session)));
                continue;
            }
            kept.store.insert(&name.to_str(), ticket);
            filed = true;
        }
        filed
    }
}

impl Kept {
    /// Takes in what TLS has said.
    fn listen(&mut self) {
        for told in self.told.try_iter() {
            match told {
                Told::Used(name, settings) => {
                    self.used = settings;
                    self.server = Some(name);
                }
                Told::Came(name, session) => {
                    if self.waiting.len() == WAITING {
                        self.waiting.pop_front();
                    }
                    self.waiting.push_back((name, session));
                }
            }
        }
    }
}

/// The store as rustls sees it on one connection.
#[derive(Debug)]
struct Watched {
    store: Arc<dyn TicketStore>,
    tell: Sender<Told>,
}

impl Watched {
    fn tell(&self, what: Told) {
        // Fails when the connection is no more.
        let _ = self.tell.send(what);
    }
}

impl ClientSessionStore for Watched {
    fn insert_tls13_ticket(&self, name: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.tell(Told::Came(name, Box::new(ticket)));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.store.take(&name.to_str())?;
        self.tell(Told::Used(name.to_owned(), ticket.settings));
        Some(ticket.session)
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

#[cfg(all(test, feature = "pair"))]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::testing::pair::{Options, Pair};

    /// Tickets in the order in which they came.
    #[derive(Debug)]
    struct Line(Sender<Ticket>);

    impl TicketStore for Line {
        fn insert(&self, _: &str, ticket: Ticket) {
            let _ = self.0.send(ticket);
        }

        fn take(&self, _: &str) -> Option<Ticket> {
            None
        }
    }

    /// Tickets for early data.
    fn some() -> Vec<Ticket> {
        let (send, kept) = channel();
        let mut pair = Pair::new(Options {
            early_data: true,
            ..Options::default()
        });
        let target = pair.target().tickets(Arc::new(Line(send)));
        for _ in 0..WAITING {
            let connected = pair.client.endpoint.connect(pair.now, &target);
            let client = connected.expect("begins");
            pair.drive();
            assert!(pair.client.take(client).contains(&Event::Ticket));
        }
        kept.try_iter().collect()
    }

    /// RFC 9114 section 7.2.4.2: a ticket is kept with the settings of its server, which may
    /// come behind it.
    #[test]
    fn tickets_for_early_data_wait_for_the_settings() {
        let came = some();
        assert!(came.len() > WAITING, "{}", came.len());
        for over in [false, true] {
            let (send, kept) = channel();
            let (mut tickets, watched) = Tickets::watched(Arc::new(Line(send)));
            let name = ServerName::try_from("localhost").expect("a name");
            for ticket in some() {
                watched.insert_tls13_ticket(name.clone(), ticket.session);
            }
            assert!(tickets.are_waiting());
            assert!(!tickets.file(None, false), "they wait");
            assert_eq!(kept.try_iter().count(), 0);
            // Of a connection that has ended without, they are good for resumption.
            let settings = Settings::new();
            assert!(tickets.file((!over).then_some(&settings), over));
            let filed: Vec<_> = kept.try_iter().collect();
            assert_eq!(filed.len(), WAITING, "the latest of them");
            assert!(
                filed
                    .iter()
                    .all(|ticket| ticket.allows_early_data() != over)
            );
            assert!(!tickets.are_waiting());
        }
    }
}
