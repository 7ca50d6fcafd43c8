//! The driver: one socket, one endpoint, one timer.

use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::mem::replace;
use std::net::UdpSocket;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aqueduct_handles::protocol::driver::{IoLimits, RECV_EMPTIES, Turn, UdpIo, prepare, quinn_udp};
use aqueduct_handles::{Rebind, Worker};
use async_io::{Async, Timer};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

/// An async-io socket with what the platform offers beyond send and receive.
pub(crate) struct Socket {
    socket: Async<UdpSocket>,
    state: UdpSocketState,
    #[cfg(test)]
    script: aqueduct_core::testing::faults::Script,
}

impl Socket {
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = prepare(|| UdpSockRef::from(&socket))?;
        let socket = Async::new(socket)?;
        Ok(Self {
            socket,
            state,
            #[cfg(test)]
            script: aqueduct_core::testing::faults::Script::default(),
        })
    }
}

impl UdpIo for Socket {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        #[cfg(test)]
        self.script.recv()?;
        self.state.recv(UdpSockRef::from(&self.socket), bufs, meta)
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let socket = UdpSockRef::from(&self.socket);
        self.state.try_send(socket, transmit)
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

/// How often the socket is asked while the reactor, which may be out of memory, does
/// not tell whether it is ready.
const LOOK: Duration = Duration::from_millis(10);

/// Runs until every handle and connection is gone, or the socket is gone for good.
pub(crate) async fn drive(
    mut worker: Worker,
    mut io: Socket,
    rebind: Rebind<Socket>,
) -> io::Result<()> {
    let mut timer = Timer::never();
    let mut blind = false;
    loop {
        rebind.apply(Instant::now(), &mut worker, &mut io);
        let Some(turn) = worker.turn(Instant::now(), &mut io)? else {
            return Ok(());
        };
        let look = blind.then(|| Instant::now() + LOOK);
        match turn.deadline.into_iter().chain(look).min() {
            Some(at) => timer.set_at(at),
            None => timer.clear(),
        }
        let mut yielded = false;
        let ready = poll_fn(|cx| {
            if !turn.more {
                match poll_wait(&worker, &io, &mut timer, turn, cx) {
                    // The timer wakes.
                    Poll::Ready(Err(_)) if blind => Poll::Pending,
                    ready => ready,
                }
            } else if replace(&mut yielded, true) {
                Poll::Ready(Ok(false))
            } else {
                // Other tasks first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        });
        match ready.await {
            Ok(told) => blind &= !told,
            Err(error) => {
                tracing::warn!(%error, "the reactor does not tell when the socket is ready");
                blind = true;
            }
        }
    }
}

/// Ready when any of what the driver waits for has come, and whether the reactor told.
fn poll_wait(
    worker: &Worker,
    io: &Socket,
    timer: &mut Timer,
    turn: Turn,
    cx: &mut Context<'_>,
) -> Poll<io::Result<bool>> {
    if worker.poll_kicked(cx).is_ready() || Pin::new(timer).poll(cx).is_ready() {
        return Poll::Ready(Ok(false));
    }
    if turn.wants_write
        && let Poll::Ready(ready) = io.socket.poll_writable(cx)
    {
        return Poll::Ready(ready.map(|()| true));
    }
    if turn.paused {
        return Poll::Pending;
    }
    io.socket.poll_readable(cx).map_ok(|()| true)
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
        let bound = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let local = bound.local_addr().expect("bound");
        let mut socket = Socket::new(bound).expect("usable");
        socket.script = Script::new(script);
        let tls = Identity::localhost().server().into();
        let config = EndpointConfig::server(tls, Config::default()).expect("suits");
        let (endpoint, worker) = Endpoint::open(config, socket.limits(), local).expect("suits");
        smol::spawn(drive(worker, socket, Rebind::default())).detach();
        endpoint
    }

    #[test]
    fn a_socket_that_fails_for_a_while_serves_afterwards() {
        smol::block_on(survive());
    }

    async fn survive() {
        let server = server(PASSING);
        let client =
            crate::Endpoint::client("127.0.0.1:0".parse().expect("an address"), |driver| {
                smol::spawn(driver).detach();
            });
        let client = client.expect("binds");
        let tls = Identity::localhost().client_arc();
        let connecting = client.connect(server.local_addr(), "localhost", tls);
        let (ours, theirs) = (connecting.expect("begins").await, server.accept().await);
        ours.expect("shakes hands");
        theirs.expect("arrives");
        assert_eq!(server.stats().recv_errors, PASSING.len() as u64);
        let last = server.socket_fault().map(|fault| fault.error.code);
        assert_eq!(last, Some(PASSING.last().copied()));
    }

    #[test]
    fn a_socket_that_is_gone_ends_its_endpoint() {
        smol::block_on(end());
    }

    async fn end() {
        let server = server([GONE]);
        assert_eq!(server.next_socket_fault().await, None);
        let tls = Identity::localhost().client_arc();
        let refused = server.connect(server.local_addr(), "localhost", tls);
        assert!(refused.is_err(), "{refused:?}");
    }

    /// An error about one receiver makes quinn-udp give up GSO and ECN for all.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_one_receiver_cost_is_restored() {
        let bound = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let mut socket = Socket::new(bound).expect("usable");
        faults::what_one_receiver_costs_is_restored(&mut socket);
    }
}
