//! The connections of a run: one for each host and port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use aqueduct_tokio::Connection;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::args::Target;
use crate::client::{Client, Connected as Handshake, Dialer};
use crate::exit::Failure;

/// The connections, by host and port.
pub(super) struct Servers {
    dialer: Dialer,
    /// One is opened at a time: what is said against a certificate has one place.
    open: Mutex<BTreeMap<(String, u16), Place>>,
}

/// What is known of a host and port.
#[derive(Default)]
struct Place {
    client: Option<Client>,
    /// Where it was when there was a connection.
    before: Option<SocketAddr>,
    /// When the last attempt failed, and how.
    failed: Option<(Instant, Failure)>,
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
    /// What is to be waited for, beside requests that are sent ahead of its end.
    pub(super) handshake: Option<Handshake>,
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
        let asked = Instant::now();
        let mut open = self.open.lock().await;
        let name = (target.host().to_owned(), target.port());
        let place = open.entry(name).or_default();
        if let Some(client) = &place.client {
            if !client.is_going_away().await {
                return Ok(Connected {
                    connection: client.connection().clone(),
                    address: client.address(),
                    dialed: None,
                });
            }
            tracing::info!("the server winds the connection down: opening another");
        }
        // One attempt is for all that have waited for its end.
        if let Some((when, failure)) = &place.failed
            && asked < *when
        {
            return Err(failure.repeated());
        }
        // Handles of transfers keep the old connection until they end.
        let begun = Instant::now();
        let client = match self.dialer.dial_again(target, place.before).await {
            Ok(client) => client,
            Err(failure) => {
                place.failed = Some((Instant::now(), failure.repeated()));
                return Err(failure);
            }
        };
        let under_way = client.connection().early_data().is_none();
        let connected = Connected {
            connection: client.connection().clone(),
            address: client.address(),
            dialed: Some(Dialed {
                begun,
                lookup: client.lookup(),
                handshake: under_way.then(|| client.connected(&self.dialer, target)),
            }),
        };
        place.before = Some(client.address());
        place.client = Some(client);
        Ok(connected)
    }

    /// Closes them in good order, with what the next ones are to begin with.
    pub(super) async fn reconnect(&self) {
        for place in self.open.lock().await.values() {
            if let Some(client) = &place.client {
                client.ticket().await;
            }
        }
        self.close().await;
    }

    /// Closes them in good order.
    pub(super) async fn close(&self) {
        let mut open = self.open.lock().await;
        for place in open.values_mut() {
            if let Some(client) = place.client.take() {
                client.close().await;
            }
        }
    }
}
