//! A mio socket as the core's driver wants it.

use std::io::{self, IoSliceMut};

use aqueduct_core::driver::{IoLimits, UdpIo, enlarge_buffers, quinn_udp};
use mio::net::UdpSocket;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

/// A socket, what the platform offers beyond send and receive, and what its
/// edges have told: readiness holds until `WouldBlock` takes it back.
pub(crate) struct Socket {
    pub(crate) socket: UdpSocket,
    state: UdpSocketState,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Socket {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        socket.set_nonblocking(true)?;
        enlarge_buffers(&state, || UdpSockRef::from(&socket));
        Ok(Self {
            socket: UdpSocket::from_std(socket),
            state,
            readable: true,
            writable: true,
        })
    }
}

impl UdpIo for Socket {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let Self { socket, state, .. } = self;
        // On Windows `try_io` is what arms the next edge.
        let result = socket.try_io(|| state.recv(UdpSockRef::from(&*socket), bufs, meta));
        self.readable = !would_block(&result);
        result
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Self { socket, state, .. } = self;
        let result = socket.try_io(|| state.try_send(UdpSockRef::from(&*socket), transmit));
        self.writable = !would_block(&result);
        result
    }

    fn limits(&self) -> IoLimits {
        IoLimits {
            gso: self.state.max_gso_segments(),
            gro: self.state.gro_segments(),
            may_fragment: self.state.may_fragment(),
        }
    }
}

fn would_block<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
