//! The connections of a run: one for each host and port.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::Arc;
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
    open: Mutex<BTreeMap<(String, u16), Shared>>,
}

type Shared = Arc<Mutex<Place>>;

/// What is known of a host and port. One connection to it is opened at a time; a server that does not
/// answer delays no other.
struct Place {
    dialer: Dialer,
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
        let place = self.place(target).await?;
        let mut place = place.lock().await;
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
        let client = match place.dialer.dial_again(target, place.before).await {
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
                handshake: under_way.then(|| client.connected(&place.dialer, target)),
            }),
        };
        place.before = Some(client.address());
        place.client = Some(client);
        Ok(connected)
    }

    async fn place(&self, target: &Target) -> Result<Shared, Failure> {
        let mut open = self.open.lock().await;
        // One address in two zones is two hosts.
        let name = (target.resolvable().into_owned(), target.port());
        Ok(match open.entry(name) {
            Entry::Occupied(place) => place.get().clone(),
            Entry::Vacant(vacant) => {
                let place = Place {
                    dialer: self.dialer.apart()?,
                    client: None,
                    before: None,
                    failed: None,
                };
                vacant.insert(Arc::new(Mutex::new(place))).clone()
            }
        })
    }

    /// Closes them in good order, with what the next ones are to begin with.
    pub(super) async fn reconnect(&self) {
        for place in self.open.lock().await.values() {
            if let Some(client) = &place.lock().await.client {
                client.ticket().await;
            }
        }
        self.close().await;
    }

    /// Closes them in good order.
    pub(super) async fn close(&self) {
        for place in self.open.lock().await.values() {
            if let Some(client) = place.lock().await.client.take() {
                client.close().await;
            }
        }
    }
}
