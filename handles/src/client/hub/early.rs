//! Requests that go out before the handshake is complete (0-RTT).
//!
//! ```text
//!   queue ──offer──▶ sent early ──turn──▶ accepted: as if it had been lent
//!     │                 │   └──turn───▶ rejected; on another connection: unknown
//!     └──turn──▶ lent   └──failure──▶ unknown
//! ```
//!
//! A dial offers the connection that it makes: those that wait and may be early data are
//! sent by the dial itself, so that they go with its first packets, and those that come
//! later take the offer. They keep their places in the queue, so the pool knows nothing of
//! it: what it lends them in their turn is the connection that they are on.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::pool::{ConnId, Origin, PoolError, Ticket};
use aqueduct_core::transport::EarlyData;
use http::HeaderValue;
use tracing::Instrument;

use super::{Hub, Pooled, Slot, State, Turn};
use crate::client::TARGET;
use crate::client::error::Error;
use crate::client::metrics::{End as Watched, Watch};
use crate::clock::now;
use crate::connection::Connection;
use crate::endpoint::Connecting;
use crate::error::ReadError;
use crate::http::RequestStream;

/// Connections that are being made, one of each dial, and whose they are.
#[derive(Default)]
pub(super) struct Offers(Vec<(Origin, Arc<Pooled>)>);

impl Offers {
    fn find(&self, origin: &Origin) -> Option<&Arc<Pooled>> {
        let mut offers = self.0.iter();
        offers.find_map(|(to, offer)| (to == origin).then_some(offer))
    }

    fn remove(&mut self, id: ConnId) -> Option<Arc<Pooled>> {
        let at = self.0.iter().position(|(_, offer)| offer.id == id)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// Where a request is that may be early data.
pub(crate) enum Placed {
    /// It has a place on a connection, and is to be sent.
    Lent(Slot, Arc<Pooled>),
    /// It was sent early, and the server took it.
    Sent(Slot, RequestStream),
}

/// A request that would go out early.
pub(crate) struct Wish {
    origin: Origin,
    head: RequestHead,
    end: End,
}

impl Wish {
    pub(crate) fn new(origin: &Origin, head: &RequestHead, end: End) -> Box<Self> {
        let (origin, head) = (origin.clone(), head.clone());
        Box::new(Self { origin, head, end })
    }
}

/// What comes first for whoever waits.
enum First {
    Turn(Turn),
    /// Its turn has failed while the dial was sending it.
    Crossed(PoolError),
    /// The dial has sent it.
    Sent(RequestStream),
    Offer(Arc<Pooled>, Box<Wish>),
}

impl Hub {
    /// The connection of a dial takes early data from here on, if it may send any, in place
    /// of one that the dial has made before. O(requests that wait).
    pub(crate) fn offer(
        &self,
        id: ConnId,
        origin: &Origin,
        connecting: &Connecting,
        used: Option<HeaderValue>,
    ) {
        if !self.settings.early_data {
            return;
        }
        let connection = connecting.early();
        if !connection.may_send_early() {
            return;
        }
        let offer = Arc::new(Pooled {
            id,
            connection,
            used,
        });
        let (before, wishes) = {
            let mut state = self.lock();
            let before = state.offers.remove(id);
            state.offers.0.push((origin.clone(), offer.clone()));
            let waiting = state.waiting.iter_mut();
            let wishes = waiting.filter_map(|(ticket, waiter)| {
                let wish = waiter.early.take_if(|wish| wish.origin == *origin)?;
                waiter.went = true;
                Some((*ticket, wish))
            });
            (before, wishes.collect::<Vec<_>>())
        };
        drop(before);
        for (ticket, wish) in wishes {
            self.sent_early(ticket, offer.send_early(&wish));
        }
    }

    /// What cannot be sent early may be sent later.
    fn sent_early(&self, ticket: Ticket, mut stream: Option<RequestStream>) {
        let waker = {
            let mut state = self.lock();
            let waiter = state.waiting.get_mut(&ticket);
            waiter.and_then(|waiter| {
                waiter.went = stream.is_some();
                waiter.sent = stream.take();
                waiter.waker.take_if(|_| waiter.went)
            })
        };
        // Of one that nobody waits for any more it is the end.
        drop(stream);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A dial is over.
    pub(crate) fn withdraw(&self, id: ConnId) {
        let gone = self.lock().offers.remove(id);
        drop(gone);
    }
}

/// What becomes of early data once the handshake is over, one way or another.
fn settle(mut slot: Slot, stream: RequestStream, turn: Turn) -> Result<Placed, Error> {
    let unknown = |source: Option<PoolError>| Err(Error::EarlyDataUnknown { source });
    match turn {
        Ok(pooled) if is_same(&pooled.connection, &stream.connection()) => {
            match pooled.connection.early_data() {
                Some(EarlyData::Accepted) => {
                    slot.lent = now();
                    slot.opened(stream.id());
                    Ok(Placed::Sent(slot, stream))
                }
                Some(EarlyData::Rejected) => Err(Error::Answer(ReadError::EarlyDataRejected)),
                _ => unknown(None),
            }
        }
        // Another attempt of the dial has won, or another dial.
        Ok(_) => unknown(None),
        Err(error) => unknown(Some(error)),
    }
}

fn is_same(one: &Connection, other: &Connection) -> bool {
    Arc::ptr_eq(&one.0, &other.0)
}

impl Pooled {
    fn send_early(&self, wish: &Wish) -> Option<RequestStream> {
        self.connection
            .try_send_early(&self.head(&wish.head), wish.end)
    }
}

impl Slot {
    /// As [`wait`](Self::wait) for a request that may be early data: it goes out before its
    /// turn where a connection is made that takes it.
    pub(crate) async fn wait_early(mut self, origin: &Origin) -> Result<Placed, Error> {
        let watch = Watch::queue(&self.hub.settings.metrics, origin);
        let span = tracing::debug_span!(target: TARGET, "queue", %origin);
        async {
            let (stream, turn) = match self.first().await {
                First::Turn(turn) => (None, Some(turn)),
                First::Crossed(error) => {
                    watch.ends(&Watched::Done);
                    let source = Some(error);
                    return Err(Error::EarlyDataUnknown { source });
                }
                First::Sent(stream) => (Some(stream), None),
                First::Offer(offer, wish) => (offer.send_early(&wish), None),
            };
            if let Some(stream) = stream {
                tracing::debug!(target: TARGET, stream = ?stream.id(), "sent as early data");
                // It does not wait any more.
                watch.ends(&Watched::Done);
                let turn = self.turn().await;
                return settle(self, stream, turn);
            }
            let turn = match turn {
                Some(turn) => turn,
                None => self.turn().await,
            };
            self.comes(watch, &turn);
            Ok(Placed::Lent(self, turn?))
        }
        .instrument(span)
        .await
    }

    async fn first(&self) -> First {
        poll_fn(|cx| self.poll_first(cx)).await
    }

    fn poll_first(&self, cx: &Context<'_>) -> Poll<First> {
        let mut state = self.hub.lock();
        let State {
            waiting, offers, ..
        } = &mut *state;
        let waiter = waiting.get_mut(&self.ticket);
        if let Some(waiter) = waiter.filter(|waiter| waiter.turn.is_none() || waiter.went) {
            if let Some(stream) = waiter.sent.take() {
                return Poll::Ready(First::Sent(stream));
            }
            if let Some(Err(error)) = &waiter.turn {
                return Poll::Ready(First::Crossed(error.clone()));
            }
            // One offer is tried, and no other.
            let wish = waiter.early.as_ref();
            if let Some(offer) = wish.and_then(|wish| offers.find(&wish.origin)).cloned()
                && let Some(wish) = waiter.early.take()
            {
                return Poll::Ready(First::Offer(offer, wish));
            }
        }
        drop(state);
        self.poll_turn(cx).map(First::Turn)
    }
}
