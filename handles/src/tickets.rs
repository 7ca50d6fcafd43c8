//! Session tickets, kept in memory.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use aqueduct_core::endpoint::tls::{Ticket, TicketStore};

use crate::connection::Connection;
use crate::place::state_of;
use crate::shared::{Step, wait_for};

/// Tickets that are kept; servers commonly give two for a connection.
const TICKETS: usize = 128;

/// Those of one server: one that gives without end costs the others nothing.
const OF_A_SERVER: usize = 8;

/// The latest session tickets of all servers, 128 of them and 8 of each, for as long as it
/// lives.
///
/// What the servers said in SETTINGS is kept with them, so that requests may be early data:
/// [`Target::early_data`](aqueduct_core::endpoint::Target::early_data).
///
/// Give it to the targets of connections
/// ([`Target::tickets`](aqueduct_core::endpoint::Target::tickets)), whatever their
/// endpoints, and wait for [`Connection::ticket`] before a connection is closed that is
/// to make the next one shorter.
#[derive(Debug, Default)]
pub struct MemoryTickets(Mutex<VecDeque<(String, Ticket)>>);

impl MemoryTickets {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tickets at present, of all servers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl TicketStore for MemoryTickets {
    fn insert(&self, server_name: &str, ticket: Ticket) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = |(name, _): &(String, Ticket)| name == server_name;
        if kept.iter().filter(|one| of_it(one)).count() >= OF_A_SERVER {
            let oldest = kept.iter().position(of_it);
            oldest.and_then(|at| kept.remove(at));
        } else if kept.len() >= TICKETS {
            kept.pop_front();
        }
        kept.push_back((server_name.to_owned(), ticket));
    }

    fn take(&self, server_name: &str) -> Option<Ticket> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = kept.iter().rposition(|(name, _)| name == server_name)?;
        Some(kept.remove(latest)?.1)
    }
}

impl Connection {
    /// Waits until the server has given a session ticket (client), which the
    /// [store](aqueduct_core::endpoint::Target::tickets) of the connection has; `false`
    /// when the connection is over without. Never ready before that where there is no
    /// store. Cancel safe.
    pub async fn ticket(&self) -> bool {
        let conn = &self.0;
        wait_for(&conn.shared, |locked| {
            let state = locked.conn(conn.at);
            match (state.ticket, &state.closed) {
                (true, _) => Step::Done(true),
                (false, Some(_)) => Step::Done(false),
                (false, None) => Step::Wait(state_of(conn.at)),
            }
        })
        .await
    }
}
