//! What the clones of a client share: the pool, and who waits for it.
//!
//! Its lock is never held while the endpoint's is taken, a waker is called or a handle is
//! dropped: [`Due`] keeps what follows until it has been let go.

mod early;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::error::CloseReason;
use aqueduct_core::head::RequestHead;
use aqueduct_core::id::StreamId;
use aqueduct_core::pool::{
    Action, ConnId, DialFailure, Origin, OriginStats, Pool, PoolError, PoolStats, Ticket,
};
use aqueduct_core::uri::UriError;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use tracing::Instrument;

use super::alternatives::head_for;
use super::builder::Settings;
use super::cancel::Cancel;
use super::dial;
use super::exchange::Exchange;
use super::metrics::{End, Watch};
use super::runtime::Runtime;
use super::times::{TimeKey, Times};
use super::{TARGET, span};
use crate::alarm::Alarm;
use crate::clock::now;
use crate::connection::{ConnHandle, Connection};
use crate::endpoint::Endpoint;
use crate::http::RequestStream;
use crate::waiters::{Waiters, park};

pub(crate) use early::{Placed, Wish};

pub(crate) struct Hub {
    pub(crate) endpoint: Endpoint,
    pub(crate) runtime: Box<dyn Runtime>,
    pub(crate) settings: Settings,
    state: Mutex<State>,
    /// When the pool wants to be looked after. Taken after `state`, or alone.
    alarm: Mutex<Alarm>,
    tick: Waker,
}

struct State {
    pool: Pool,
    waiting: BTreeMap<Ticket, Waiter>,
    conns: BTreeMap<ConnId, Link>,
    /// Connections that take early data while they are made.
    offers: early::Offers,
    /// Requests that have times.
    times: Times,
    /// The origin that was asked last, by its authority: most clients have one.
    recent: Option<(Authority, Origin)>,
    /// What the alarm is set for.
    armed: Option<Instant>,
    /// Who waits for the end.
    ends: Waiters,
    /// Why nobody drives the endpoint any more.
    failed: Option<Arc<DialFailure>>,
}

#[derive(Default)]
struct Waiter {
    turn: Option<Turn>,
    waker: Option<Waker>,
    /// It would go out as early data.
    early: Option<Box<Wish>>,
    /// It did, or is about to.
    went: bool,
    sent: Option<RequestStream>,
}

/// What a wait comes to.
type Turn = Result<Arc<Pooled>, PoolError>;

/// A connection of the pool's.
pub(crate) struct Pooled {
    pub(crate) id: ConnId,
    pub(crate) connection: Connection,
    /// The alternative that it leads to, for `alt-used`.
    pub(crate) used: Option<HeaderValue>,
}

impl Pooled {
    /// A head as it goes there.
    pub(crate) fn head<'a>(&self, head: &'a RequestHead) -> Cow<'a, RequestHead> {
        head_for(head, self.used.as_ref())
    }
}

enum Link {
    Dialing(Arc<Cancel>),
    Open(Arc<Pooled>),
}

/// What follows once the lock is let go.
#[derive(Default)]
struct Due {
    wakes: Vec<Waker>,
    dials: Vec<(ConnId, Origin, Arc<Cancel>)>,
    retired: Vec<Link>,
    quiet: Vec<Arc<Pooled>>,
    alarm: Option<Instant>,
}

impl Due {
    fn is_nothing(&self) -> bool {
        self.wakes.is_empty()
            && self.dials.is_empty()
            && self.retired.is_empty()
            && self.quiet.is_empty()
            && self.alarm.is_none()
    }
}

/// The timer of the pool and of its requests.
struct Tick(Weak<Hub>);

impl Wake for Tick {
    fn wake(self: Arc<Self>) {
        if let Some(hub) = self.0.upgrade() {
            hub.alarm().clear();
            let due = hub.with(|state, now| {
                state.armed = None;
                state.times.due(now)
            });
            hub.look(due);
        }
    }
}

impl Hub {
    pub(crate) fn new(
        endpoint: Endpoint,
        runtime: Box<dyn Runtime>,
        settings: Settings,
        pool: Pool,
    ) -> Arc<Self> {
        Arc::new_cyclic(|hub| Self {
            alarm: Mutex::new(Alarm::new(&endpoint.shared)),
            endpoint,
            runtime,
            settings,
            state: Mutex::new(State {
                pool,
                waiting: BTreeMap::new(),
                conns: BTreeMap::new(),
                offers: early::Offers::default(),
                times: Times::default(),
                recent: None,
                armed: None,
                ends: Waiters::default(),
                failed: None,
            }),
            tick: Arc::new(Tick(hub.clone())).into(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarm(&self) -> MutexGuard<'_, Alarm> {
        self.alarm.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the pool, and does what follows.
    fn with<R>(self: &Arc<Self>, change: impl FnOnce(&mut State, Instant) -> R) -> R {
        let now = now();
        let (result, due) = {
            let mut state = self.lock();
            let result = change(&mut state, now);
            if state.is_still(now) {
                return result;
            }
            let mut due = Due::default();
            state.act(now, &mut due, None);
            (result, due)
        };
        self.follow(due);
        result
    }

    /// Looks at requests whose time may be over.
    fn look(self: &Arc<Self>, due: Vec<(TimeKey, Arc<Exchange>)>) {
        let now = now();
        let again = |(key, exchange): (_, Arc<Exchange>)| Some((key, exchange.look(now)?));
        let again: Vec<_> = due.into_iter().filter_map(again).collect();
        if !again.is_empty() {
            self.with(|state, _| {
                let again = again.into_iter();
                again.for_each(|(key, at)| state.times.again(key, at));
            });
        }
    }

    /// Nobody waits for an endpoint that has failed.
    fn give_up(self: &Arc<Self>, reason: CloseReason) {
        let first = {
            let mut state = self.lock();
            let first = state.failed.is_none();
            state.failed.get_or_insert_with(|| Arc::new(reason.into()));
            first
        };
        if first {
            self.shut_down();
        }
    }

    /// What the pool wants done.
    fn follow(self: &Arc<Self>, due: Due) {
        if due.is_nothing() {
            return;
        }
        if let Some(at) = due.alarm {
            let mut alarm = self.alarm();
            // Another call may have found an earlier time meanwhile.
            if alarm.at().is_none_or(|set| at < set) {
                alarm.set(at, &self.tick);
            }
            drop(alarm);
            // Without its driver no time ever comes.
            let failed = self.endpoint.shared.lock().state().failed.clone();
            if let Some(reason) = failed {
                self.give_up(reason);
            }
        }
        for (id, origin, cancel) in due.dials {
            let dialing = dial::run(self.clone(), id, origin, cancel);
            self.runtime.spawn(Box::pin(dialing));
        }
        for link in due.retired {
            match link {
                Link::Dialing(cancel) => cancel.tell(),
                Link::Open(pooled) => pooled.connection.close(Code::H3_NO_ERROR, ""),
            }
        }
        for pooled in due.quiet {
            let conn = &pooled.connection.0;
            conn.lock().ping(conn.key);
        }
        due.wakes.into_iter().for_each(Waker::wake);
    }

    // ---- for requests -----------------------------------------------------------

    /// The origin of a URI.
    pub(crate) fn origin(&self, uri: &Uri) -> Result<Origin, UriError> {
        let authority = authority(uri)?;
        if let Some(origin) = self.lock().recent(authority) {
            return Ok(origin.clone());
        }
        let origin: Origin = format!("https://{authority}").parse()?;
        let kept = Some((authority.clone(), origin.clone()));
        let before = std::mem::replace(&mut self.lock().recent, kept);
        drop(before);
        Ok(origin)
    }

    /// A place on a connection for a request with these times, in so long at the most, if
    /// one is free and the origin was asked last: what most requests get.
    pub(crate) fn lend(
        self: &Arc<Self>,
        now: Instant,
        uri: &Uri,
        within: Option<Duration>,
        times: &Arc<Exchange>,
    ) -> Result<Option<Lent>, UriError> {
        let authority = authority(uri)?;
        let (ticket, time, pooled, origin, due) = {
            let mut state = self.lock();
            let state = &mut *state;
            // Its fields one by one: some are looked at, others changed.
            let recent = state.recent.as_ref();
            let Some((_, origin)) = recent.filter(|(recent, _)| is_same(recent, authority)) else {
                return Ok(None);
            };
            let Some((ticket, conn)) = state.pool.checkout_now(now, origin, within) else {
                return Ok(None);
            };
            let Some(Link::Open(pooled)) = state.conns.get(&conn) else {
                // A connection is lent when it is there.
                state.pool.release(now, ticket);
                return Ok(None);
            };
            let (pooled, mut due) = (pooled.clone(), None);
            let time = times.first.map(|at| {
                due = state.armed.is_none_or(|armed| at < armed).then_some(at);
                state.armed = due.or(state.armed);
                state.times.add(at, Arc::downgrade(times))
            });
            let origin = self.settings.alternatives.as_ref().map(|_| origin.clone());
            (ticket, time, pooled, origin, due)
        };
        if due.is_some() {
            self.follow(Due {
                alarm: due,
                ..Due::default()
            });
        }
        let slot = self.slot(ticket, time, now);
        Ok(Some(Lent {
            slot,
            pooled,
            origin,
        }))
    }

    fn slot(self: &Arc<Self>, ticket: Ticket, time: Option<TimeKey>, now: Instant) -> Slot {
        Slot {
            hub: self.clone(),
            ticket,
            stream: None,
            time,
            lent: now,
        }
    }

    /// Waits for a place on a connection.
    pub(crate) async fn place(
        self: &Arc<Self>,
        origin: &Origin,
    ) -> Result<(Slot, Arc<Pooled>), PoolError> {
        let (mut slot, turn) = self.ask(now(), origin, None, None, || None)?;
        let pooled = match turn {
            Some(turn) => turn?,
            None => slot.wait(origin).await?,
        };
        Ok((slot, pooled))
    }

    /// A place in the queue, to become one on a connection in so long at the most, and
    /// what it comes to if that is known at once. `times` are the request's, if it has
    /// some; `early` is what may go out while it waits.
    pub(crate) fn ask(
        self: &Arc<Self>,
        now: Instant,
        origin: &Origin,
        within: Option<Duration>,
        times: Option<&Arc<Exchange>>,
        early: impl FnOnce() -> Option<Box<Wish>>,
    ) -> Result<(Slot, Option<Turn>), PoolError> {
        let mut due = Due::default();
        let mut state = self.lock();
        let asked = match within {
            Some(within) => state.pool.checkout_within(now, origin, within),
            None => state.pool.checkout(now, origin),
        };
        let asked = match asked {
            Ok(ticket) => {
                let watched = times.and_then(|times| Some((times.first?, times)));
                let time = watched.map(|(at, times)| state.times.add(at, Arc::downgrade(times)));
                let turn = state.act(now, &mut due, Some(ticket));
                if turn.is_none() {
                    let waiter = Waiter {
                        early: early(),
                        ..Waiter::default()
                    };
                    state.waiting.insert(ticket, waiter);
                }
                Ok((ticket, time, turn))
            }
            Err(error) => {
                state.act(now, &mut due, None);
                Err(state.why(error))
            }
        };
        drop(state);
        self.follow(due);
        let (ticket, time, turn) = asked?;
        Ok((self.slot(ticket, time, now), turn))
    }

    // ---- for dials and connections ----------------------------------------------

    /// A connection was made; false if nobody wants it any more.
    pub(crate) fn connected(self: &Arc<Self>, pooled: &Arc<Pooled>) -> bool {
        self.with(|state, now| {
            let wanted = state.pool.connected(now, pooled.id, None);
            if wanted {
                state.conns.insert(pooled.id, Link::Open(pooled.clone()));
            }
            wanted
        })
    }

    pub(crate) fn dial_failed(self: &Arc<Self>, id: ConnId, failure: DialFailure) {
        self.with(|state, now| {
            state.conns.remove(&id);
            state.pool.dial_failed(now, id, failure);
        });
    }

    pub(crate) fn credit(self: &Arc<Self>, id: ConnId) {
        self.with(|state, now| state.pool.credit(now, id, None));
    }

    /// The server's GOAWAY; its requests are told by the connection which are left out.
    pub(crate) fn goaway(self: &Arc<Self>, id: ConnId) {
        self.with(|state, now| state.pool.goaway(now, id, None));
    }

    pub(crate) fn drained(self: &Arc<Self>, id: ConnId) {
        self.with(|state, now| state.pool.drain(now, id));
    }

    /// An answer on a connection was 421: an alternative gets nothing new.
    pub(crate) fn misdirected(self: &Arc<Self>, conn: &Arc<ConnHandle>) {
        self.with(|state, now| {
            let there = |link: &Link| match link {
                Link::Open(pooled) => {
                    pooled.used.is_some() && Arc::ptr_eq(&pooled.connection.0, conn)
                }
                Link::Dialing(_) => false,
            };
            let id = state.conns.iter().find(|(_, link)| there(link));
            if let Some(id) = id.map(|(id, _)| *id) {
                state.pool.drain(now, id);
            }
        });
    }

    pub(crate) fn closed(self: &Arc<Self>, id: ConnId, reason: CloseReason) {
        let link = self.with(|state, now| {
            state.pool.closed(now, id, reason);
            state.conns.remove(&id)
        });
        drop(link);
    }

    // ---- for the client ---------------------------------------------------------

    pub(crate) fn shut_down(self: &Arc<Self>) {
        self.with(|state, now| state.pool.shut_down(now));
    }

    /// Waits until a shut-down has come to its end.
    pub(crate) async fn over(&self) {
        let mut ending = Ending {
            hub: self,
            place: None,
        };
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.pool.is_over() {
                return Poll::Ready(());
            }
            let replaced = state.ends.register(&mut ending.place, cx.waker());
            drop(state);
            drop(replaced);
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.lock().pool.stats()
    }

    pub(crate) fn origin_stats(&self, origin: &Origin) -> OriginStats {
        self.lock().pool.origin_stats(origin)
    }

    /// What it holds of those who wait, and of connections.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.lock();
        let waiting = state.waiting.len() + state.times.len() + state.ends.len();
        (waiting, state.conns.len())
    }
}

impl State {
    /// The origin that was asked last, if it is this.
    fn recent(&self, authority: &Authority) -> Option<&Origin> {
        let (recent, origin) = self.recent.as_ref()?;
        is_same(recent, authority).then_some(origin)
    }

    /// Whether nothing follows from a change: the pool wants nothing, and the alarm, which
    /// is still to come, is early enough.
    fn is_still(&self, now: Instant) -> bool {
        self.armed.is_some_and(|armed| {
            armed > now
                && !self.pool.may_act_before(armed)
                && self.times.peek().is_none_or(|at| at >= armed)
                && !self.pool.is_over()
        })
    }

    /// The cause of an error, where it is not the pool's.
    fn why(&self, error: PoolError) -> PoolError {
        match (error, &self.failed) {
            (PoolError::ShutDown, Some(cause)) => PoolError::Dial(cause.clone()),
            (error, _) => error,
        }
    }

    /// Files what the pool wants done; what comes to `mine` is given back.
    fn act(&mut self, now: Instant, due: &mut Due, mine: Option<Ticket>) -> Option<Turn> {
        let mut turn = None;
        while let Some(action) = self.pool.poll_action(now) {
            let (ticket, outcome) = match action {
                Action::Dial { conn, origin } => {
                    let cancel = Arc::new(Cancel::default());
                    self.conns.insert(conn, Link::Dialing(cancel.clone()));
                    due.dials.push((conn, origin, cancel));
                    continue;
                }
                Action::Lend { ticket, conn } => match self.conns.get(&conn) {
                    Some(Link::Open(pooled)) => (ticket, Ok(pooled.clone())),
                    // A connection is lent when it is there.
                    _ => continue,
                },
                Action::Fail { ticket, error } => (ticket, Err(self.why(error))),
                Action::Retire { conn, why } => {
                    tracing::debug!(connection = ?conn, ?why, "retired");
                    due.retired.extend(self.conns.remove(&conn));
                    continue;
                }
                Action::KeepAlive { conn } => {
                    if let Some(Link::Open(pooled)) = self.conns.get(&conn) {
                        due.quiet.push(pooled.clone());
                    }
                    continue;
                }
                _ => continue,
            };
            if mine == Some(ticket) {
                turn = Some(outcome);
            } else if let Some(waiter) = self.waiting.get_mut(&ticket) {
                waiter.turn = Some(outcome);
                due.wakes.extend(waiter.waker.take());
            }
            // Requests under way are told by their connection what becomes of them.
        }
        if self.pool.is_over() {
            self.ends.wake(&mut due.wakes);
        }
        let next = self.pool.poll_timeout().map(|deadline| deadline.at);
        let next = next.into_iter().chain(self.times.next()).min();
        due.alarm = next.filter(|at| self.armed.is_none_or(|armed| *at < armed));
        self.armed = due.alarm.or(self.armed);
        turn
    }
}

/// The authority of an https URI.
fn authority(uri: &Uri) -> Result<&Authority, UriError> {
    if uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(UriError::Scheme);
    }
    uri.authority().ok_or(UriError::NoHost)
}

/// Whether they are written alike: others are looked into.
fn is_same(recent: &Authority, authority: &Authority) -> bool {
    recent.as_str() == authority.as_str()
}

/// Whoever waits for the end.
struct Ending<'a> {
    hub: &'a Hub,
    place: Option<usize>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let left = self.place.and_then(|at| self.hub.lock().ends.leave(at));
        drop(left);
    }
}

/// A place that was free.
pub(crate) struct Lent {
    pub(crate) slot: Slot,
    pub(crate) pooled: Arc<Pooled>,
    /// Whose connection it is, where the answer is looked at for alternatives.
    pub(crate) origin: Option<Origin>,
}

/// A place in the queue, and on a connection then. Its drop frees it.
pub(crate) struct Slot {
    hub: Arc<Hub>,
    ticket: Ticket,
    /// The request's, once it has one. The pool hears of it when the place is free: it
    /// knows no credit and no id of a GOAWAY here, for which it would matter before.
    stream: Option<StreamId>,
    time: Option<TimeKey>,
    /// When the connection was.
    pub(crate) lent: Instant,
}

impl Slot {
    /// The request has its stream.
    pub(crate) fn opened(&mut self, stream: StreamId) {
        if let Some(span) = span() {
            span.record("stream", tracing::field::debug(stream));
        }
        self.stream = Some(stream);
    }

    /// The pool hears of the request's stream at once: it may be there for long.
    pub(crate) fn tell(&mut self) {
        if let Some(stream) = self.stream.take() {
            // What the pool has to say against it the stream tells as well.
            let ticket = self.ticket;
            self.hub.with(|state, now| {
                state.pool.request_opened(now, ticket, stream);
            });
        }
    }

    /// A timer of its own.
    pub(crate) fn alarm(&self) -> Alarm {
        Alarm::new(&self.hub.endpoint.shared)
    }

    /// The connection did not take the request: waits for another.
    pub(crate) async fn again(&self, refused: &Pooled) -> Turn {
        let ticket = self.ticket;
        if let Some(reason) = refused.connection.close_reason() {
            self.hub.closed(refused.id, reason);
        }
        let waits = self.hub.with(|state, now| {
            state.waiting.insert(ticket, Waiter::default());
            state.pool.give_back(now, ticket)
        });
        if !waits {
            return Err(PoolError::Unprocessed);
        }
        self.turn().await
    }

    /// Waits for its turn.
    pub(crate) async fn wait(&mut self, origin: &Origin) -> Turn {
        let span = tracing::debug_span!(target: TARGET, "queue", %origin);
        let watch = Watch::queue(&self.hub.settings.metrics, origin);
        let turn = self.turn().instrument(span).await;
        self.comes(watch, &turn);
        turn
    }

    /// Its turn has come, which it was watched for.
    fn comes(&mut self, watch: Watch, turn: &Turn) {
        watch.ends(&turn.as_ref().map_or_else(End::NotLent, |_| End::Done));
        self.lent = now();
    }

    async fn turn(&self) -> Turn {
        poll_fn(|cx| self.poll_turn(cx)).await
    }

    fn poll_turn(&self, cx: &Context<'_>) -> Poll<Turn> {
        let mut state = self.hub.lock();
        let Some(waiter) = state.waiting.get_mut(&self.ticket) else {
            return Poll::Ready(Err(PoolError::Unprocessed));
        };
        if let Some(turn) = waiter.turn.take() {
            let waiter = state.waiting.remove(&self.ticket);
            drop(state);
            drop(waiter);
            return Poll::Ready(turn);
        }
        let replaced = park(&mut waiter.waker, cx.waker());
        drop(state);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let ticket = self.ticket;
        let waiter = self.hub.with(|state, now| {
            if let Some(key) = self.time {
                state.times.remove(key);
            }
            match self.stream {
                // What the pool has to say against it the stream tells as well.
                Some(stream) => state.pool.release_opened(now, ticket, stream),
                None => state.pool.release(now, ticket),
            };
            state.waiting.remove(&ticket)
        });
        drop(waiter);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.ticket.fmt(f)
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
