//! A mio socket as the core's driver wants it.

use std::io::{self, IoSliceMut};

use aqueduct_core::driver::{IoLimits, RECV_EMPTIES, UdpIo, prepare, quinn_udp};
use mio::net::UdpSocket;
use mio::{Interest, Registry, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

/// A socket, what the platform offers beyond send and receive, and whether it is
/// worth a try to receive: what an edge has told holds until a call has found the end, and
/// so does the failure of a call to send.
///
/// The other direction is watched while the socket is full: an edge for each datagram that
/// has left would wake the loop for nothing.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) socket: UdpSocket,
    state: UdpSocketState,
    pub(crate) readable: bool,
    writing: bool,
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
            writing: false,
            #[cfg(test)]
            script: aqueduct_core::testing::faults::Script::default(),
        })
    }
}

impl Socket {
    /// Has the socket watched.
    pub(crate) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Has it watched for room as well, or not any longer. Watched anew it tells what is
    /// so now, too.
    pub(crate) fn watch_writing(
        &mut self,
        registry: &Registry,
        token: Token,
        wanted: bool,
    ) -> io::Result<()> {
        if wanted == self.writing {
            return Ok(());
        }
        let interest = match wanted {
            true => Interest::READABLE.add(Interest::WRITABLE),
            false => Interest::READABLE,
        };
        registry.reregister(&mut self.socket, token, interest)?;
        self.writing = wanted;
        Ok(())
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
        let result = socket.try_io(|| state.try_send(UdpSockRef::from(&*socket), transmit));
        // What it has come to is told, or mended, by the driver's next call to receive.
        self.readable |= matches!(&result, Err(error) if error.kind() != io::ErrorKind::WouldBlock);
        result
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
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;
    use std::time::Duration;

    use aqueduct_core::testing::faults;
    use mio::{Events, Poll};

    use super::*;

    /// The edges of a time in which something may happen.
    fn edges(poll: &mut Poll) -> Vec<(bool, bool)> {
        let mut events = Events::with_capacity(4);
        let wait = poll.poll(&mut events, Some(Duration::from_millis(20)));
        wait.expect("polls");
        let kinds = events.iter();
        kinds
            .map(|edge| (edge.is_readable(), edge.is_writable()))
            .collect()
    }

    /// A socket of the same interface that can be full on one host.
    #[test]
    fn room_is_told_of_while_it_is_wanted() {
        let (ours, theirs) = UnixDatagram::pair().expect("a pair");
        ours.set_nonblocking(true).expect("non-blocking");
        let fill = || while ours.send(&[0; 1000]).is_ok() {};
        theirs.set_nonblocking(true).expect("non-blocking");
        let drain = || while theirs.recv(&mut [0; 1000]).is_ok() {};
        let again = OwnedFd::from(ours.try_clone().expect("a copy"));
        let mut socket = Socket {
            socket: UdpSocket::from_std(std::net::UdpSocket::from(again)),
            state: Socket::new(std::net::UdpSocket::bind("127.0.0.1:0").expect("binds"))
                .expect("usable")
                .state,
            readable: true,
            writing: false,
            script: faults::Script::default(),
        };
        let mut poll = Poll::new().expect("a poll");
        let registry = poll.registry().try_clone().expect("a copy");
        socket.register(&registry, Token(0)).expect("registers");
        fill();
        drain();
        assert_eq!(edges(&mut poll), [], "nobody waits for room");
        fill();
        let watch = |socket: &mut Socket, wanted| {
            let watched = socket.watch_writing(&registry, Token(0), wanted);
            watched.expect("registers");
        };
        watch(&mut socket, true);
        assert_eq!(edges(&mut poll), [], "there is none");
        drain();
        assert_eq!(edges(&mut poll), [(false, true)]);
        watch(&mut socket, false);
        fill();
        drain();
        assert_eq!(edges(&mut poll), [], "nobody waits any longer");
    }

    /// An error about one receiver makes quinn-udp give up GSO and ECN for all.
    #[test]
    fn what_one_receiver_cost_is_restored() {
        let bound = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
        let mut socket = Socket::new(bound).expect("usable");
        faults::what_one_receiver_costs_is_restored(&mut socket);
    }
}
