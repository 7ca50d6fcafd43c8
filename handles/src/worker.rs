//! The half of the driver that every runtime shares.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use aqueduct_core::driver::{Driver, IoLimits, Turn, UdpIo};
use aqueduct_core::error::{CloseReason, TransportFailure};

use crate::place::Place;
use crate::shared::Shared;
#[cfg(feature = "quic-lb")]
use crate::switch::Member;

/// Events handed out under one hold of the lock; connections take turns.
const EVENTS: usize = 512;

/// Times that the lock is taken for events in one turn. What is left waits for the
/// next.
const ROUNDS: usize = 16;

/// What drives an endpoint: run by one task of a runtime, which makes the
/// system calls and sleeps.
///
/// Its drop, by the end of the task or of the whole runtime, ends every
/// connection for the handles that are left, so that none waits forever.
#[derive(Debug)]
pub struct Worker {
    shared: Arc<Shared>,
    driver: Driver,
    over: bool,
    /// Events handed out under one hold of the lock.
    pub(crate) events: usize,
    /// Its place among others on the same port.
    #[cfg(feature = "quic-lb")]
    member: Option<Member>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, driver: Driver) -> Self {
        Self {
            shared,
            driver,
            over: false,
            events: EVENTS,
            #[cfg(feature = "quic-lb")]
            member: None,
        }
    }

    /// One bounded turn: receives, lets time pass, tells the handles, sends.
    /// Never waits; harmless when there is nothing to do. `None` when all
    /// handles and connections are gone: the task ends.
    ///
    /// The lock is held between the system calls and not during them.
    ///
    /// # Errors
    /// The socket is gone for good ([`Driver::receive`]); every connection has ended for its handles.
    pub fn turn(&mut self, now: Instant, io: &mut impl UdpIo) -> io::Result<Option<Turn>> {
        let turn = self.phases(now, io);
        if let Err(error) = &turn {
            self.fail(format!("the socket failed: {error}"));
        }
        turn
    }

    fn phases(&mut self, now: Instant, io: &mut impl UdpIo) -> io::Result<Option<Turn>> {
        loop {
            let any = self.driver.receive(now, io)?;
            #[cfg(feature = "quic-lb")]
            if let Some(member) = &mut self.member {
                member.sort(&mut self.driver);
            }
            if !any || !self.driver.is_filled() {
                break;
            }
            let mut locked = self.shared.lock();
            self.driver.deliver(&mut locked.state().endpoint, now);
        }
        let mut locked = self.shared.lock();
        locked.state().kicked = false;
        let before = locked.state().endpoint.stats();
        #[cfg(feature = "quic-lb")]
        if let Some(member) = &mut self.member {
            member.feed(&mut locked.state().endpoint, now);
        }
        self.driver.feed(&mut locked.state().endpoint, now);
        for _ in 0..ROUNDS {
            if locked.pump_some(self.events) {
                break;
            }
            // Whoever waits for the lock is let in, and whoever was woken goes on.
            drop(locked);
            locked = self.shared.lock();
        }
        let mut taken = 0;
        while self.driver.collect_some(&mut locked.state().endpoint, now) {
            taken += self.driver.queued();
            if taken >= Driver::MAX_TRANSMITS {
                break;
            }
            drop(locked);
            let takes_more = self.driver.flush_some(io);
            locked = self.shared.lock();
            if !takes_more {
                break;
            }
        }
        // Sending may have made events.
        let behind = !locked.pump_some(self.events);
        locked.fire(now);
        // Last, so that those who had waited for events are woken before.
        locked.share_out();
        let state = locked.state();
        let idle = state.endpoint.is_idle();
        let stats = state.endpoint.stats();
        let failed =
            (stats.recv_errors, stats.send_errors) != (before.recv_errors, before.send_errors);
        self.over = idle && state.handles == 0;
        if idle || failed {
            locked.wake(Place::Endpoint);
        }
        drop(locked);
        let mut turn = self.driver.flush(io);
        turn.more |= behind;
        turn.deadline = self.shared.lock().state().alarms.tell(turn.deadline);
        Ok(if self.over && self.driver.queued() == 0 {
            None
        } else {
            Some(turn)
        })
    }

    /// Takes its place among others on the same port.
    #[cfg(feature = "quic-lb")]
    pub(crate) fn join(&mut self, member: Member) {
        self.member = Some(member);
    }

    /// Waits until a handle has given the core something to do, or another worker
    /// of the same group has. Cancel safe.
    pub async fn kicked(&self) {
        poll_fn(|cx| self.poll_kicked(cx)).await;
    }

    /// See [`kicked`](Self::kicked).
    pub fn poll_kicked(&self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(feature = "quic-lb")]
        if let Some(member) = &self.member
            && member.poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        self.shared.poll_kicked(cx)
    }

    /// The endpoint has another socket from here on, of these limits: every
    /// connection tries the new path at once. What waited for the old socket is
    /// lost, as packets are.
    pub fn rebind(&mut self, now: Instant, limits: IoLimits) {
        let mut locked = self.shared.lock();
        let core = &mut locked.state().endpoint;
        self.driver.rebind(core, now, limits);
    }

    fn fail(&mut self, reason: String) {
        self.over = true;
        // RFC 9000 §20.1: INTERNAL_ERROR.
        let failure = TransportFailure::Error { code: 0x1, reason };
        self.shared.lock().fail(&CloseReason::Transport(failure));
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.over {
            self.fail("the endpoint's driver was stopped".into());
        }
    }
}
