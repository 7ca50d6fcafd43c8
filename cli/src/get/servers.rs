//! The connections of a run: one for each host and port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use aqueduct_tokio::Connection;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::args::Target;
use crate::client::{Client, Dialer};
use crate::exit::Failure;

/// The connections, by host and port.
pub(super) struct Servers {
    dialer: Dialer,
    /// One is opened at a time: what is said against a certificate has one place.
    open: Mutex<BTreeMap<(String, u16), Option<Client>>>,
}

/// A connection to use.
pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) address: SocketAddr,
    /// How it was opened, when it was for this.
    pub(super) dialed: Option<Dialed>,
}

/// How a connection was opened.
pub(super) struct Dialed {
    begun: Instant,
    lookup: Duration,
}

impl Dialed {
    /// The time that has passed since there was an address.
    pub(super) fn since_lookup(&self) -> Duration {
        self.begun.elapsed().saturating_sub(self.lookup)
    }
}

impl Servers {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            open: Mutex::default(),
        }
    }

    /// The connection to the host of `target`: the one there is, unless it takes no more requests.
    pub(super) async fn connection(&self, target: &Target) -> Result<Connected, Failure> {
        let mut open = self.open.lock().await;
        let place = (target.host().to_owned(), target.port());
        let slot = open.entry(place).or_default();
        if let Some(client) = slot {
            if !client.is_going_away().await {
                return Ok(Connected {
                    connection: client.connection().clone(),
                    address: client.address(),
                    dialed: None,
                });
            }
            tracing::info!("the server winds the connection down: opening another");
        }
        // Handles of transfers keep the old connection until they end.
        let begun = Instant::now();
        let client = self.dialer.dial(target).await?;
        let connected = Connected {
            connection: client.connection().clone(),
            address: client.address(),
            dialed: Some(Dialed {
                begun,
                lookup: client.lookup(),
            }),
        };
        *slot = Some(client);
        Ok(connected)
    }

    /// Closes them in good order.
    pub(super) async fn close(&self) {
        let open = std::mem::take(&mut *self.open.lock().await);
        for client in open.into_values().flatten() {
            client.close().await;
        }
    }
}
