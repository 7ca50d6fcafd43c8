//! The driver task: one socket, one endpoint, one sleep.

use std::io::{self, IoSliceMut};
use std::pin::pin;
use std::time::Instant;

use aqueduct_handles::protocol::driver::{IoLimits, UdpIo, prepare, quinn_udp};
use aqueduct_handles::{Rebind, Worker};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A tokio socket with what the platform offers beyond send and receive.
pub(crate) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = prepare(|| UdpSockRef::from(&socket))?;
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
        })
    }
}

impl UdpIo for Socket {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let Self { socket, state } = self;
        socket.try_io(Interest::READABLE, || {
            state.recv(UdpSockRef::from(&*socket), bufs, meta)
        })
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Self { socket, state } = self;
        socket.try_io(Interest::WRITABLE, || {
            state.try_send(UdpSockRef::from(&*socket), transmit)
        })
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
    let mut sleep = pin!(tokio::time::sleep_until(now().into()));
    loop {
        rebind.apply(now(), &mut worker, &mut io);
        let Some(turn) = worker.turn(now(), &mut io)? else {
            return Ok(());
        };
        if turn.more {
            tokio::task::yield_now().await;
            continue;
        }
        if let Some(at) = turn.deadline {
            sleep.as_mut().reset(at.into());
        }
        tokio::select! {
            ready = io.socket.readable() => ready?,
            ready = io.socket.writable(), if turn.wants_write => ready?,
            () = sleep.as_mut(), if turn.deadline.is_some() => {}
            () = worker.kicked() => {}
        }
    }
}

fn now() -> Instant {
    Instant::now()
}
