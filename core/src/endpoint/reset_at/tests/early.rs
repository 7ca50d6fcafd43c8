//! Resets beside early data: the client's first flight has keys of its own.

use std::sync::{Arc, PoisonError};

#[expect(clippy::disallowed_types, reason = "a store that a test waits for")]
type Lock<T> = std::sync::Mutex<T>;

use http::Method;

use super::*;
use crate::endpoint::tls::{Ticket, TicketStore};
use crate::head::{End, RequestHead};

#[derive(Debug, Default)]
struct Store(Lock<Vec<Ticket>>);

impl TicketStore for Store {
    fn insert(&self, _: &str, ticket: Ticket) {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.push(ticket);
    }

    fn take(&self, _: &str) -> Option<Ticket> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.pop()
    }
}

/// Row B37: the frame is understood in a first flight, whose keys are others; and what is
/// known of the server by a ticket does not make resets wait for anything.
#[test]
fn a_reset_in_early_data() {
    let mut pair = Pair::new(Options {
        early_data: true,
        ..Options::default()
    });
    let target = pair
        .target()
        .tickets(Arc::<Store>::default())
        .early_data(true);
    let first = pair.client.endpoint.connect(pair.now, &target);
    first.expect("connects");
    pair.drive();
    pair.server.events.clear();
    let second = pair.client.endpoint.connect(pair.now, &target);
    let client = second.expect("connects");
    let state = state_of(&mut pair.client.endpoint.slots, client).expect("known");
    assert!(state.quic.has_0rtt() && state.resets.both_take());
    let mut connection = pair.client(client);
    let head = RequestHead::new(Method::GET, Uri::from_static("https://localhost/"))
        .early(crate::head::Early::Always);
    let stream = connection
        .access()
        .request(&head, End::More)
        .expect("early");
    // Of the request, whose first bytes come behind it in the same packet.
    let state = state_of(&mut pair.client.endpoint.slots, client).expect("known");
    let shared = state.resets.shared.as_deref().expect("is on");
    let frame = format!("24 {:02x} 410c 4bb8 4bb8", stream.id().wire());
    shared.with(|ledger| ledger.forged = hex(&frame));
    shared.note();
    pair.drive();
    assert_eq!(pair.server.endpoint.stats().early_data_accepted, 1);
    let events = pair.server.events.iter();
    let mut servers = events.filter(|(_, event)| matches!(event, Event::Request { .. }));
    let (server, _) = servers.next().expect("the request came");
    let server = *server;
    let received = pair.server(server).info().resets().received;
    assert_eq!(received, 1);
    let closed = pair
        .server
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::Closed(_)));
    assert!(!closed, "{:?}", pair.server.events);
}
