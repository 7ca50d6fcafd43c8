//! A mio socket as the core's driver wants it.

use std::io::{self, IoSliceMut};

use aqueduct_core::driver::{IoLimits, RECV_EMPTIES, UdpIo, prepare, quinn_udp};
use mio::net::UdpSocket;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

/// A socket, what the platform offers beyond send and receive, and whether it is
/// worth a try to receive: what an edge has told holds until a call has found the end. Nothing is noted of the other direction: what waits to be sent is tried in
/// every round, and the edge is what makes a round.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) socket: UdpSocket,
    state: UdpSocketState,
    pub(crate) readable: bool,
    #[cfg(test)]
    pub(crate) script: aqueduct_core::testing::faults::Script,
}

impl Socket {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = prepare(|| UdpSockRef::from(&socket))?;
        Ok(Self {
            socket: UdpSocket::from_std(socket),
            state,
            readable: true,
            #[cfg(test)]
            script: aqueduct_core::testing::faults::Script::default(),
        })
    }
}

impl UdpIo for Socket {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let Self {
            socket,
            state,
            #[cfg(test)]
            script,
            ..
        } = self;
        // On Windows `try_io` is what arms the next edge.
        let result = socket.try_io(|| {
            #[cfg(test)]
            script.recv()?;
            state.recv(UdpSockRef::from(&*socket), bufs, meta)
        });
        self.readable = match &result {
            Ok(received) => !RECV_EMPTIES || *received >= bufs.len().min(quinn_udp::BATCH_SIZE),
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        result
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Self { socket, state, .. } = self;
        socket.try_io(|| state.try_send(UdpSockRef::from(&*socket), transmit))
    }

    fn limits(&self) -> IoLimits {
        IoLimits::from(&self.state)
    }

    fn recv_empties(&self) -> bool {
        RECV_EMPTIES
    }

    fn restore(&mut self) -> io::Result<()> {
        self.state = UdpSocketState::new(UdpSockRef::from(&self.socket))?;
        Ok(())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use aqueduct_core::testing::faults;

    use super::*;

    /// An error about one receiver makes quinn-udp give up GSO and ECN for all.
    #[test]
    fn what_one_receiver_cost_is_restored() {
        let bound = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
        let mut socket = Socket::new(bound).expect("usable");
        faults::what_one_receiver_costs_is_restored(&mut socket);
    }
}
