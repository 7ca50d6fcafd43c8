//! The driver task: one socket, one endpoint, one sleep.

use std::io::{self, IoSliceMut};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aqueduct_handles::Worker;
use aqueduct_handles::core::driver::{IoLimits, UdpIo, quinn_udp};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Bytes of a socket's buffers that are asked for.
const BUFFER: usize = 2 << 20;

/// A tokio socket with what the platform offers beyond send and receive.
pub(crate) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        enlarge(&state, &socket);
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
        })
    }

    pub(crate) fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }
}

/// Asks for room for what arrives while the driver is not scheduled. Systems begin with about
/// 200 KiB, which a fast sender fills in a millisecond; what overflows counts as loss on the path
/// and costs most of the speed.
fn enlarge(state: &UdpSocketState, socket: &std::net::UdpSocket) {
    let of = || UdpSockRef::from(socket);
    // A system that grants less still works, only slower.
    if state
        .recv_buffer_size(of())
        .is_ok_and(|bytes| bytes < BUFFER)
        && let Err(error) = state.set_recv_buffer_size(of(), BUFFER)
    {
        tracing::debug!(%error, "the socket's receive buffer stays small");
    }
    if state
        .send_buffer_size(of())
        .is_ok_and(|bytes| bytes < BUFFER)
        && let Err(error) = state.set_send_buffer_size(of(), BUFFER)
    {
        tracing::debug!(%error, "the socket's send buffer stays small");
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
        IoLimits {
            gso: self.state.max_gso_segments(),
            gro: self.state.gro_segments(),
            may_fragment: self.state.may_fragment(),
        }
    }
}

/// A socket on its way to the driver.
#[derive(Default)]
pub(crate) struct Rebind(Mutex<Option<Socket>>);

impl Rebind {
    pub(crate) fn put(&self, socket: Socket) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    }

    fn take(&self) -> Option<Socket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Runs until every handle and connection is gone, or the socket fails.
pub(crate) async fn drive(
    mut worker: Worker,
    mut io: Socket,
    rebind: Arc<Rebind>,
) -> io::Result<()> {
    let mut sleep = pin!(tokio::time::sleep_until(now().into()));
    loop {
        if let Some(next) = rebind.take() {
            io = next;
            worker.rebind(now(), io.limits());
        }
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
