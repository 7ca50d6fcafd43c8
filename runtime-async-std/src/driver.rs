//! The driver: one socket, one endpoint, one timer.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::mem::replace;
use std::net::UdpSocket;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use aqueduct_handles::protocol::driver::{IoLimits, Turn, UdpIo, prepare, quinn_udp};
use aqueduct_handles::{Rebind, Worker};
use async_io::{Async, Timer};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

/// An async-io socket with what the platform offers beyond send and receive.
pub(crate) struct Socket {
    socket: Async<UdpSocket>,
    state: UdpSocketState,
}

impl Socket {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = prepare(|| UdpSockRef::from(&socket))?;
        let socket = Async::new(socket)?;
        Ok(Self { socket, state })
    }
}

impl UdpIo for Socket {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        self.state.recv(UdpSockRef::from(&self.socket), bufs, meta)
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let socket = UdpSockRef::from(&self.socket);
        self.state.try_send(socket, transmit)
    }

    fn limits(&self) -> IoLimits {
        IoLimits::from(&self.state)
    }
}

/// Runs until every handle and connection is gone, or the socket fails.
pub(crate) async fn drive(
    mut worker: Worker,
    mut io: Socket,
    rebind: Rebind<Socket>,
) -> io::Result<()> {
    let mut timer = Timer::never();
    loop {
        rebind.apply(Instant::now(), &mut worker, &mut io);
        let Some(turn) = worker.turn(Instant::now(), &mut io)? else {
            return Ok(());
        };
        match turn.deadline {
            Some(at) => timer.set_at(at),
            None => timer.clear(),
        }
        let mut yielded = false;
        poll_fn(|cx| {
            if !turn.more {
                poll_wait(&worker, &io, &mut timer, turn, cx)
            } else if replace(&mut yielded, true) {
                Poll::Ready(Ok(()))
            } else {
                // Other tasks first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        })
        .await?;
    }
}

/// Ready when any of what the driver waits for has come.
fn poll_wait(
    worker: &Worker,
    io: &Socket,
    timer: &mut Timer,
    turn: Turn,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    if worker.poll_kicked(cx).is_ready() || Pin::new(timer).poll(cx).is_ready() {
        return Poll::Ready(Ok(()));
    }
    if turn.wants_write
        && let Poll::Ready(ready) = io.socket.poll_writable(cx)
    {
        return Poll::Ready(ready);
    }
    io.socket.poll_readable(cx)
}
