//! Requests that go out before the handshake is complete (0-RTT).
//!
//! ```text
//!   queue ──offer──▶ sent early ──turn──▶ accepted: as if it had been lent
//!     │                 │   └──turn───▶ rejected; on another connection: unknown
//!     └──turn──▶ lent   └──failure──▶ unknown
//! ```
//!
//! A dial offers the connection that it makes. Requests that may be early data take it and
//! keep their places in the queue, so the pool knows nothing of it: what it lends them in
//! their turn is the connection that they are on.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aqueduct_core::head::{End, RequestHead};
use aqueduct_core::pool::{ConnId, Origin, PoolError};
use aqueduct_core::transport::EarlyData;
use tracing::Instrument;

use super::{Hub, Pooled, Slot, State, Turn};
use crate::client::TARGET;
use crate::client::alternatives::head_for;
use crate::client::error::Error;
use crate::client::exchange::Exchange;
use crate::client::metrics::{End as Watched, Watch};
use crate::clock::now;
use crate::connection::Connection;
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

/// What comes first for whoever waits.
enum First {
    Turn(Turn),
    Offer(Arc<Pooled>),
}

impl Hub {
    /// The connection of a dial takes early data from here on, in place of one that the
    /// dial has made before. O(requests that wait).
    pub(crate) fn offer(&self, origin: &Origin, offer: Pooled) {
        let mut wakes = Vec::new();
        let (id, offer) = (offer.id, Arc::new(offer));
        let before = {
            let mut state = self.lock();
            let before = state.offers.remove(id);
            state.offers.0.push((origin.clone(), offer));
            let waiters = state.waiting.values_mut();
            let wanting = waiters.filter(|waiter| waiter.early.as_ref() == Some(origin));
            wakes.extend(wanting.filter_map(|waiter| waiter.waker.take()));
            before
        };
        drop(before);
        wakes.into_iter().for_each(Waker::wake);
    }

    /// A dial is over.
    pub(crate) fn withdraw(&self, id: ConnId) {
        let gone = self.lock().offers.remove(id);
        drop(gone);
    }

    /// As [`place`](Self::place) for a request that may be early data: it goes out at once
    /// where a connection is made that takes it.
    pub(crate) async fn place_early(
        self: &Arc<Self>,
        origin: &Origin,
        within: Option<Duration>,
        times: &Arc<Exchange>,
        head: &RequestHead,
        end: End,
    ) -> Result<Placed, Error> {
        let (mut slot, turn) =
            self.ask(now(), origin, within, Some(times), Some(origin.clone()))?;
        if let Some(turn) = turn {
            return Ok(Placed::Lent(slot, turn?));
        }
        let watch = Watch::queue(&self.settings.metrics, origin);
        let span = tracing::debug_span!(target: TARGET, "queue", %origin);
        async {
            let offer = match slot.first().await {
                First::Turn(turn) => {
                    slot.lent = now();
                    ends(watch, &turn);
                    return Ok(Placed::Lent(slot, turn?));
                }
                First::Offer(offer) => offer,
            };
            // What cannot be sent early may be sent later.
            let Some(stream) = offer.send_early(head, end) else {
                drop(offer);
                let turn = slot.turn().await;
                slot.lent = now();
                ends(watch, &turn);
                return Ok(Placed::Lent(slot, turn?));
            };
            drop(offer);
            tracing::debug!(target: TARGET, stream = ?stream.id(), "sent as early data");
            // It does not wait any more.
            watch.ends(&Watched::Done);
            let turn = slot.turn().await;
            settle(slot, stream, turn)
        }
        .instrument(span)
        .await
    }
}

fn ends(watch: Watch, turn: &Turn) {
    watch.ends(
        &turn
            .as_ref()
            .map_or_else(Watched::NotLent, |_| Watched::Done),
    );
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
    fn send_early(&self, head: &RequestHead, end: End) -> Option<RequestStream> {
        match &self.used {
            None => self.connection.try_send_early(head, end),
            Some(used) => self.connection.try_send_early(&head_for(head, used), end),
        }
    }
}

impl Slot {
    async fn first(&self) -> First {
        poll_fn(|cx| self.poll_first(cx)).await
    }

    fn poll_first(&self, cx: &Context<'_>) -> Poll<First> {
        if let Poll::Ready(turn) = self.poll_turn(cx) {
            return Poll::Ready(First::Turn(turn));
        }
        let mut state = self.hub.lock();
        let State {
            waiting, offers, ..
        } = &mut *state;
        // One offer is tried, and no other.
        let waiter = waiting.get_mut(&self.ticket);
        let offer = waiter.and_then(|waiter| {
            let offer = offers.find(waiter.early.as_ref()?)?.clone();
            waiter.early = None;
            Some(offer)
        });
        offer.map_or(Poll::Pending, |offer| Poll::Ready(First::Offer(offer)))
    }
}
