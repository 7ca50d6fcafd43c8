//! A session that is polled: what its futures wait for, waited for by the handle.

use std::array;
use std::sync::Arc;
use std::task::{Context, Poll};

use aqueduct_core::id::Dir;
use aqueduct_core::webtransport::SessionClose;
use bytes::Bytes;

use super::{Session, SessionHandle, both, receiving, sending};
use crate::error::{DatagramError, OpenStreamError};
#[cfg(test)]
use crate::place::SessionTopic;
use crate::shared::{Locked, Slot, Step};
use crate::stream::{RecvStream, SendStream};

/// What one handle may wait for at once.
#[derive(Copy, Clone)]
enum Wish {
    AcceptUni,
    AcceptBi,
    OpenUni,
    OpenBi,
    SendDatagram,
    RecvDatagram,
    Closed,
}

const WISHES: usize = Wish::Closed as usize + 1;

/// Where a handle waits. Each clone begins without, and without memory for it.
#[derive(Default)]
pub(super) struct Polled(Option<Box<Waits>>);

impl Clone for Polled {
    fn clone(&self) -> Self {
        Self(None)
    }
}

struct Waits {
    slots: [Slot; WISHES],
    /// Keeps the sets that the slots are places in.
    session: Arc<SessionHandle>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut locked = self.session.half.conn.lock();
        for slot in &mut self.slots {
            slot.leave(&mut locked);
        }
    }
}

impl Session {
    fn poll<T>(
        &mut self,
        wish: Wish,
        cx: &mut Context<'_>,
        step: impl FnOnce(&SessionHandle, &mut Locked<'_>) -> Step<T>,
    ) -> Poll<T> {
        let Waits { slots, session } = &mut **self.1.0.get_or_insert_with(|| {
            Box::new(Waits {
                slots: array::from_fn(|_| Slot::default()),
                session: self.0.clone(),
            })
        });
        let shared = &session.half.conn.shared;
        slots[wish as usize].poll(shared, cx, |locked| step(session, locked))
    }

    pub(crate) fn poll_accept_uni(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<RecvStream, SessionClose>> {
        self.poll(Wish::AcceptUni, cx, |session, locked| {
            session.accept(locked, Dir::Uni, receiving)
        })
    }

    pub(crate) fn poll_accept_bi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(SendStream, RecvStream), SessionClose>> {
        self.poll(Wish::AcceptBi, cx, |session, locked| {
            session.accept(locked, Dir::Bi, both)
        })
    }

    pub(crate) fn poll_open_uni(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<SendStream, OpenStreamError>> {
        let open = |session: &SessionHandle, locked: &mut Locked<'_>| {
            session.open(locked, Dir::Uni, sending)
        };
        self.poll(Wish::OpenUni, cx, open).map_err(Into::into)
    }

    pub(crate) fn poll_open_bi(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(SendStream, RecvStream), OpenStreamError>> {
        let open =
            |session: &SessionHandle, locked: &mut Locked<'_>| session.open(locked, Dir::Bi, both);
        self.poll(Wish::OpenBi, cx, open).map_err(Into::into)
    }

    pub(crate) fn poll_send_datagram(
        &mut self,
        cx: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<(), DatagramError>> {
        self.poll(Wish::SendDatagram, cx, |session, locked| {
            session.send_datagram(locked, payload)
        })
    }

    pub(crate) fn poll_recv_datagram(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, SessionClose>> {
        self.poll(Wish::RecvDatagram, cx, SessionHandle::recv_datagram)
    }

    pub(crate) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<SessionClose> {
        self.poll(Wish::Closed, cx, SessionHandle::closed)
    }

    /// Places taken by those who wait for a stream of the peer's alone.
    #[cfg(test)]
    pub(crate) fn uni_waiters(&self) -> usize {
        let place = self.0.place(SessionTopic::accept(Dir::Uni));
        let mut locked = self.0.half.conn.lock();
        locked.state().waiters(place).map_or(0, |set| set.len())
    }
}
