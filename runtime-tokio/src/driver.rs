//! The driver task: one socket, one endpoint, one sleep.

use std::io::{self, IoSliceMut};
use std::pin::pin;
use std::time::Instant;

use aqueduct_handles::protocol::driver::{IoLimits, RECV_EMPTIES, UdpIo, prepare, quinn_udp};
use aqueduct_handles::{Rebind, Worker};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A tokio socket with what the platform offers beyond send and receive.
pub(crate) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    #[cfg(test)]
    script: aqueduct_core::testing::faults::Script,
}

impl Socket {
    pub(crate) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let state = prepare(|| UdpSockRef::from(&socket))?;
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
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
        } = self;
        let most = bufs.len();
        receive(socket, most, || {
            #[cfg(test)]
            script.recv()?;
            state.recv(UdpSockRef::from(&*socket), bufs, meta)
        })
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let Self { socket, state, .. } = self;
        socket.try_io(Interest::WRITABLE, || {
            state.try_send(UdpSockRef::from(&*socket), transmit)
        })
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

/// Runs until every handle and connection is gone, or the socket is gone for good.
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
        if let Some(at) = turn.deadline.map(Into::into)
            && sleep.deadline() != at
        {
            sleep.as_mut().reset(at);
        }
        tokio::select! {
            // It fails when the runtime ends, for no other reason.
            ready = io.socket.readable(), if !turn.paused => ready?,
            ready = io.socket.writable(), if turn.wants_write => ready?,
            () = sleep.as_mut(), if turn.deadline.is_some() => {}
            () = worker.kicked() => {}
        }
    }
}

/// Receives with a call that has room for so many datagrams. One that finds fewer has
/// emptied the socket, which needs no other call to be found out.
pub(crate) fn receive(
    socket: &UdpSocket,
    most: usize,
    call: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut received = 0;
    let tried = socket.try_io(Interest::READABLE, || {
        received = call()?;
        // Within the one try, so that what comes after the call makes it readable again.
        match RECV_EMPTIES && received < most.min(quinn_udp::BATCH_SIZE) {
            true => Err(io::ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    });
    match tried {
        Err(error) if received == 0 => Err(error),
        _ => Ok(received),
    }
}

fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    //! A socket whose receive calls fail, below real endpoints.

    use std::collections::VecDeque;

    use aqueduct_core::testing::cert::Identity;
    use aqueduct_core::testing::faults::{self, GONE, PASSING, Script};
    use aqueduct_handles::Endpoint;
    use aqueduct_handles::protocol::config::Config;
    use aqueduct_handles::protocol::endpoint::EndpointConfig;

    use super::*;

    /// A server whose receive calls fail with these errors first.
    fn server(script: impl Into<VecDeque<i32>>) -> Endpoint {
        let bound = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
        let local = bound.local_addr().expect("bound");
        let mut socket = Socket::new(bound).expect("usable");
        socket.script = Script::new(script);
        let tls = Identity::localhost().server().into();
        let config = EndpointConfig::server(tls, Config::default()).expect("suits");
        let (endpoint, worker) = Endpoint::open(config, socket.limits(), local).expect("suits");
        tokio::spawn(drive(worker, socket, Rebind::default()));
        endpoint
    }

    #[tokio::test]
    async fn a_socket_that_fails_for_a_while_serves_afterwards() {
        let server = server(PASSING);
        let client = crate::Endpoint::client("127.0.0.1:0".parse().expect("an address"));
        let client = client.expect("binds");
        let tls = Identity::localhost().client_arc();
        let connecting = client.connect(server.local_addr(), "localhost", tls);
        let (ours, theirs) = tokio::join!(connecting.expect("begins"), server.accept());
        ours.expect("shakes hands");
        theirs.expect("arrives");
        assert_eq!(server.stats().recv_errors, PASSING.len() as u64);
        let last = server.socket_fault().map(|fault| fault.error.code);
        assert_eq!(last, Some(PASSING.last().copied()));
    }

    #[tokio::test]
    async fn a_socket_that_is_gone_ends_its_endpoint() {
        let server = server([GONE]);
        // tokio asks a socket that something has come to.
        let other = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
        other.send_to(b"hello", server.local_addr()).expect("sends");
        assert_eq!(server.next_socket_fault().await, None);
        let tls = Identity::localhost().client_arc();
        let refused = server.connect(server.local_addr(), "localhost", tls);
        assert!(refused.is_err(), "{refused:?}");
    }

    /// An error about one receiver makes quinn-udp give up GSO and ECN for all.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_one_receiver_cost_is_restored() {
        let bound = std::net::UdpSocket::bind("127.0.0.1:0").expect("binds");
        let mut socket = Socket::new(bound).expect("usable");
        // tokio sends once it knows that it may.
        socket.socket.writable().await.expect("writable");
        faults::what_one_receiver_costs_is_restored(&mut socket);
    }
}
