//! What all handles of one endpoint share: the core and who waits for what,
//! under one lock.
//!
//! The lock covers memory only. No system call of ours, no `await` and no wake-up
//! happens under it (the sinks of a recorder or of qlog, where there are any, are
//! written under it): [`Locked`] collects the wakers and fires them after it has
//! let go of the lock, and the driver's buffers live outside of it. There is no
//! lock, task or channel per connection or stream.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use aqueduct_core::connection::{Access, Peek};
use aqueduct_core::endpoint::{ConnectionInfo, Endpoint, QuinnTransport};
use aqueduct_core::error::CloseReason;
use aqueduct_core::id::ConnKey;
use aqueduct_core::webtransport::SessionClose;

use crate::clock::now;
use crate::place::{At, MessageTopic, Place};
use crate::table::{Conn, RecvOver, SendOver, State, Stream};
use crate::waiters::park;

/// One endpoint and everybody who waits for it.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<Guarded>);

/// What is under the lock.
#[derive(Debug)]
struct Guarded {
    state: State,
    wakers: Wakers,
}

/// Wakers that leave the lock with whoever holds it.
#[derive(Debug, Default)]
struct Wakers {
    due: Vec<Waker>,
    /// Those that are not needed any more. Dropping one may run foreign code, a task's own
    /// drop among it, which may come back for the lock.
    retired: Vec<Waker>,
}

impl Wakers {
    /// All of them; most often there are none.
    #[inline]
    fn take(&mut self) -> Option<Self> {
        let none = self.due.is_empty() && self.retired.is_empty();
        (!none).then(|| std::mem::take(self))
    }
}

impl Shared {
    pub(crate) fn new(endpoint: Endpoint, local: SocketAddr) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Guarded {
            state: State::new(endpoint, local),
            wakers: Wakers::default(),
        })))
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        // A panic under the lock poisons it; the core's tables are still whole,
        // and going on lets the other connections end in order.
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Locked {
            shared: self,
            guard: Some(guard),
            kick: false,
        }
    }

    /// Whether nobody holds the lock.
    #[cfg(test)]
    pub(crate) fn is_free(&self) -> bool {
        self.0.try_lock().is_ok()
    }

    /// Ready when a handle has given the core something to do since the last
    /// turn; otherwise `cx` is woken when one does.
    pub(crate) fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut locked = self.lock();
        if locked.state().kicked {
            return Poll::Ready(());
        }
        let replaced = park(&mut locked.state().driver, cx.waker());
        locked.retire(replaced);
        Poll::Pending
    }
}

/// The lock, held. Wakers that become due are fired when it is let go.
pub(crate) struct Locked<'a> {
    shared: &'a Shared,
    guard: Option<MutexGuard<'a, Guarded>>,
    kick: bool,
}

impl Locked<'_> {
    #[inline]
    fn guarded(&mut self) -> &mut Guarded {
        self.guard
            .as_mut()
            .expect("the guard is taken on drop only")
    }

    #[inline]
    pub(crate) fn state(&mut self) -> &mut State {
        &mut self.guarded().state
    }

    /// With the wakers that become due.
    #[inline]
    fn parts(&mut self) -> (&mut State, &mut Vec<Waker>) {
        let Guarded { state, wakers } = self.guarded();
        (state, &mut wakers.due)
    }

    /// A connection of a live handle.
    pub(crate) fn conn(&mut self, at: usize) -> &mut Conn {
        &mut self.state().conns[at]
    }

    /// A stream of a live handle.
    pub(crate) fn stream(&mut self, at: At) -> &mut Stream {
        &mut self.state().conns[at.conn].streams[at.stream]
    }

    /// Changes the core's connection: the driver runs afterwards. `None` when
    /// the connection is over.
    pub(crate) fn core<R>(
        &mut self,
        key: ConnKey,
        change: impl FnOnce(&mut Access<'_, QuinnTransport<'_>>) -> R,
    ) -> Option<R> {
        self.kick = true;
        let now = self.state().read_clock();
        self.at(now, key, change)
    }

    /// As [`Self::core`], for what is done often and begins no wait of seconds: it may take
    /// place a little before.
    pub(crate) fn core_often<R>(
        &mut self,
        key: ConnKey,
        change: impl FnOnce(&mut Access<'_, QuinnTransport<'_>>) -> R,
    ) -> Option<R> {
        self.kick = true;
        self.quietly(key, change)
    }

    /// As [`Self::core_often`], in a way that the driver need not hurry for: what
    /// it has to send goes with what comes next.
    pub(crate) fn quietly<R>(
        &mut self,
        key: ConnKey,
        change: impl FnOnce(&mut Access<'_, QuinnTransport<'_>>) -> R,
    ) -> Option<R> {
        let now = self.state().now();
        self.at(now, key, change)
    }

    fn at<R>(
        &mut self,
        now: Instant,
        key: ConnKey,
        change: impl FnOnce(&mut Access<'_, QuinnTransport<'_>>) -> R,
    ) -> Option<R> {
        let state = self.state();
        if state.failed.is_some() {
            // What nobody drives would take bytes that never leave.
            return None;
        }
        let mut conn = state.endpoint.connection(now, key)?;
        Some(change(&mut conn.access()))
    }

    /// Has QUIC send a PING on a connection that is not over.
    pub(crate) fn ping(&mut self, key: ConnKey) {
        if let Some(mut conn) = self.state().endpoint.connection(now(), key) {
            conn.ping();
            self.kick = true;
        }
    }

    /// Looks at the core's connection, or takes a datagram: nothing follows from it.
    pub(crate) fn peek<R>(
        &mut self,
        key: ConnKey,
        look: impl FnOnce(&mut Peek<'_, QuinnTransport<'_>>) -> R,
    ) -> Option<R> {
        let state = self.state();
        if state.failed.is_some() {
            return None;
        }
        let mut conn = state.endpoint.peek(key)?;
        Some(look(&mut conn.peek()))
    }

    /// What QUIC knows about a connection; it does so for a while after its end.
    pub(crate) fn info<R>(
        &mut self,
        key: ConnKey,
        look: impl FnOnce(ConnectionInfo<'_>) -> R,
    ) -> Option<R> {
        self.state().endpoint.info(key).map(look)
    }

    /// A waker that is not needed any more, to be dropped after the lock.
    #[inline]
    pub(crate) fn retire(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.guarded().wakers.retired.extend(waker);
        }
    }

    /// Wakes whoever has waited until now.
    pub(crate) fn fire(&mut self, now: Instant) {
        let (state, wakes) = self.parts();
        state.alarms.fire(now, wakes);
    }

    /// The driver runs after this lock.
    pub(crate) fn kick(&mut self) {
        self.kick = true;
    }

    /// Takes in what the core has to tell, so that an answer that depends on an
    /// event caused by this very call is not a turn late. It is never more than the
    /// driver has left of what it fed in one turn.
    pub(crate) fn pump(&mut self) {
        self.pump_some(usize::MAX);
    }

    /// Takes in at most so many events, one of each connection in turn, and tells
    /// whether that was all.
    pub(crate) fn pump_some(&mut self, events: usize) -> bool {
        let (state, wakes) = self.parts();
        for _ in 0..events {
            let Some((key, event)) = state.endpoint.poll_event() else {
                return true;
            };
            state.route(key, event, wakes);
        }
        false
    }

    /// The driver took a turn: whoever has waited for it goes on.
    pub(crate) fn share_out(&mut self) {
        let (state, wakes) = self.parts();
        state.share_out(wakes);
    }

    /// How a stream's session or connection ended, if it has.
    pub(crate) fn ended(&mut self, at: At) -> Option<SessionClose> {
        let end = self.stream(at).end.as_ref().and_then(|end| end.get());
        let close = end.map(|close| SessionClose::clone(close));
        close.or_else(|| Some(SessionClose::Connection(self.conn(at.conn).closed.clone()?)))
    }

    /// Leaves the waker of a stream's reader.
    pub(crate) fn wait_read(&mut self, at: At, cx: &Context<'_>) {
        let replaced = park(&mut self.stream(at).read, cx.waker());
        self.retire(replaced);
    }

    /// Leaves the waker of a stream's writer.
    pub(crate) fn wait_write(&mut self, at: At, cx: &Context<'_>) {
        let replaced = park(&mut self.stream(at).write, cx.waker());
        self.retire(replaced);
    }

    /// The receiving half of a stream ends, and so do datagrams that are waited for.
    pub(crate) fn end_recv(&mut self, at: At, how: RecvOver) {
        let stream = self.stream(at);
        stream.recv_over = Some(how);
        if stream.is_sessions() {
            return;
        }
        self.retire_message(at);
        self.wake(Place::Message(at, MessageTopic::Datagrams));
        self.wake(Place::Message(at, MessageTopic::Cancelled));
    }

    /// The sending half of a stream ends, and nothing more can be sent beside it.
    pub(crate) fn end_send(&mut self, at: At, how: SendOver) {
        let stream = self.stream(at);
        stream.send_over = Some(how);
        if stream.is_sessions() {
            return;
        }
        self.retire_message(at);
        self.wake(Place::Message(at, MessageTopic::Unblocked));
        self.wake(Place::Message(at, MessageTopic::Cancelled));
    }

    /// One handle of a stream less.
    pub(crate) fn release(&mut self, at: At) {
        let Guarded { state, wakers } = self.guarded();
        state.conns[at.conn].release_stream(at.stream, &mut wakers.retired);
        state.let_go(at.conn);
    }

    fn retire_message(&mut self, at: At) {
        self.conn(at.conn).retire_message(at.stream);
        let state = self.state();
        state.leave_unused(at.conn);
    }

    /// Ends everything because nobody will drive the endpoint any more.
    pub(crate) fn fail(&mut self, reason: &CloseReason) {
        let (state, wakes) = self.parts();
        state.fail(reason, wakes);
    }

    /// Wakes everybody who waits for something of a stream.
    pub(crate) fn wake_stream(&mut self, at: At) {
        let (state, wakes) = self.parts();
        state.conns[at.conn].streams[at.stream].wake_all(wakes);
    }

    /// Wakes everybody who waits at a place.
    pub(crate) fn wake(&mut self, place: Place) {
        let (state, wakes) = self.parts();
        if let Some(waiters) = state.waiters(place) {
            waiters.wake(wakes);
        }
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        let Some(mut guard) = self.guard.take() else {
            return;
        };
        let Guarded { state, wakers } = &mut *guard;
        let owed = std::mem::take(&mut state.owed);
        let driver = if (self.kick || owed) && !state.kicked {
            state.kicked = true;
            state.driver.take()
        } else {
            None
        };
        let wakers = wakers.take();
        drop(guard);
        // Waking may run foreign code, which may come back for the lock.
        if let Some(Wakers { due, .. }) = wakers {
            due.into_iter().for_each(Waker::wake);
        }
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

impl std::fmt::Debug for Locked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locked")
            .field("shared", self.shared)
            .finish_non_exhaustive()
    }
}

/// What a try came to.
pub(crate) enum Step<T> {
    Done(T),
    /// Try again when something happens there.
    Wait(Place),
}

/// Tries until done. Cancel safe as long as `step` takes nothing before it is
/// done; many may wait at one place.
pub(crate) async fn wait_for<T>(
    shared: &Shared,
    mut step: impl FnMut(&mut Locked<'_>) -> Step<T>,
) -> T {
    let slot = Slot::default();
    let mut ticket = Ticket { shared, slot };
    poll_fn(|cx| ticket.slot.poll(shared, cx, &mut step)).await
}

/// A place taken in a set of waiters. Whoever keeps one [leaves](Self::leave) before it
/// lets go of what keeps the set: another would get the place.
#[derive(Debug, Default)]
pub(crate) struct Slot(Option<(Place, usize)>);

impl Slot {
    /// Tries, and waits where the try says. A slot keeps its place until a try of the
    /// same thing is done, so it serves one kind of try.
    pub(crate) fn poll<T>(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        step: impl FnOnce(&mut Locked<'_>) -> Step<T>,
    ) -> Poll<T> {
        let mut locked = shared.lock();
        let place = match step(&mut locked) {
            Step::Done(value) => {
                self.leave(&mut locked);
                return Poll::Ready(value);
            }
            Step::Wait(place) => place,
        };
        if self.0.is_some_and(|(held, _)| held != place) {
            self.leave(&mut locked);
        }
        let mut token = self.0.map(|(_, token)| token);
        if let Some(waiters) = locked.state().waiters(place) {
            let replaced = waiters.register(&mut token, cx.waker());
            locked.retire(replaced);
        }
        self.0 = token.map(|token| (place, token));
        Poll::Pending
    }

    /// Gives the place back, if there is one.
    #[inline]
    pub(crate) fn leave(&mut self, locked: &mut Locked<'_>) {
        if let Some((place, token)) = self.0.take()
            && let Some(waiters) = locked.state().waiters(place)
        {
            let left = waiters.leave(token);
            locked.retire(left);
        }
    }
}

/// The slot of a future, left when the future is dropped.
struct Ticket<'a> {
    shared: &'a Shared,
    slot: Slot,
}

impl Drop for Ticket<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.slot.0.is_some() {
            let shared = self.shared;
            self.slot.leave(&mut shared.lock());
        }
    }
}
