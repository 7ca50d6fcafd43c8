//! Row E13: session tickets over raw QUIC, told, used, and not taken by another server.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use aqueduct_core::endpoint::tls::{Ticket, TicketStore};
use aqueduct_core::event::Event;
use aqueduct_core::id::ConnKey;
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::testing::pair::{Options, Pair};
use aqueduct_core::transport::EarlyData;

use super::chat;

/// The tickets of one server.
#[derive(Debug, Default)]
pub(crate) struct Store(Mutex<VecDeque<Ticket>>);

impl Store {
    /// The oldest.
    pub(crate) fn first(&self) -> Option<Ticket> {
        self.0.lock().expect("no panic").pop_front()
    }
}

impl TicketStore for Store {
    fn insert(&self, _: &str, ticket: Ticket) {
        self.0.lock().expect("no panic").push_back(ticket);
    }

    fn take(&self, _: &str) -> Option<Ticket> {
        self.0.lock().expect("no panic").pop_back()
    }
}

/// A connection that uses tickets; events of both ends.
fn meet(pair: &mut Pair, store: &Arc<Store>) -> (ConnKey, ConnKey, Vec<Event>) {
    let target = pair.target().tickets(store.clone());
    let client = pair.client.endpoint.connect(pair.now, &target);
    let client = client.expect("begins");
    pair.drive();
    let server = pair.server.events.drain(..).map(|(key, _)| key).next_back();
    let told = pair.client.take(client);
    (client, server.expect("arrives"), told)
}

fn resumed(pair: &mut Pair, client: ConnKey, server: ConnKey) -> [bool; 2] {
    let ours = pair.client_quic(client).access().about().cloned();
    let theirs = pair.server_quic(server).access().about().cloned();
    [ours, theirs].map(|about| about.expect("known").resumed)
}

#[test]
fn a_ticket_is_told_and_goes_on_with_the_session() {
    let mut pair = Pair::new(chat());
    let store = Arc::new(Store::default());
    let (client, server, told) = meet(&mut pair, &store);
    assert!(told.contains(&Event::Ticket), "{told:?}");
    assert_eq!(resumed(&mut pair, client, server), [false; 2]);
    let (client, server, told) = meet(&mut pair, &store);
    assert_eq!(resumed(&mut pair, client, server), [true; 2]);
    let early = EarlyData::None;
    assert!(told.contains(&Event::Connected { early }), "{told:?}");
}

#[test]
fn a_ticket_of_another_server_makes_for_a_full_handshake() {
    let store = Arc::new(Store::default());
    let identity = Identity::localhost();
    let options = || Options {
        // The client's part of a session has to fit the ticket.
        client_tls: Some(identity.client_arc()),
        server_tls: Some(Arc::new(identity.server())),
        ..chat()
    };
    let mut first = Pair::new(options());
    meet(&mut first, &store);
    // It has the same certificate and knows none of the sessions.
    let mut other = Pair::new(options());
    let (client, server, told) = meet(&mut other, &store);
    assert_eq!(resumed(&mut other, client, server), [false; 2]);
    let early = EarlyData::None;
    assert!(told.contains(&Event::Connected { early }), "{told:?}");
}

#[test]
fn tickets_are_not_told_where_nobody_wants_to_know() {
    let mut options = chat();
    let quic = options.quic.as_mut().expect("raw QUIC");
    quic.client.tell_tickets = false;
    let mut pair = Pair::new(options);
    let store = Arc::new(Store::default());
    let (_, _, told) = meet(&mut pair, &store);
    assert!(!told.contains(&Event::Ticket), "{told:?}");
    assert!(store.first().is_some(), "it is kept all the same");
}
