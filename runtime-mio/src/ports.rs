//! Sockets and endpoints with one owner.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::driver::{Driver, UdpIo, open};
use aqueduct_core::endpoint::{
    ConnectError, ConnectionMut, Endpoint, EndpointConfig, QuicMut, Target,
};
use aqueduct_core::event::Event;
use aqueduct_core::id::ConnKey;
use aqueduct_core::time::after;
use bytes::Bytes;
use mio::{Registry, Token};
use thiserror::Error;

use crate::key::PortKey;
use crate::remote::{Job, Remote};
use crate::socket::Socket;

/// When a socket is tried again that cannot be watched.
const AGAIN: Duration = Duration::from_millis(10);

/// Connections used by one reading of the clock.
const USES: u8 = 32;

/// Jobs of other threads per [`Ports::receive`].
const JOBS: usize = 256;

/// Any number of UDP sockets, each with an endpoint, in somebody's [`mio::Poll`].
///
/// One thread owns them: no locks, no wakers, no other threads. See the
/// [crate's page](crate) for the order of calls. Dropping it forgets every
/// connection without a word to the peers.
#[derive(Debug)]
pub struct Ports {
    registry: Registry,
    tokens: Range<usize>,
    ports: Vec<Option<Port>>,
    serial: u64,
    /// The port whose event is next.
    next: usize,
    inbox: Receiver<Job>,
    remote: Remote,
    /// The inbox may hold more than one round took.
    backlog: bool,
    /// Sockets that are gone, of which nobody has been told.
    failed: VecDeque<PortFailed>,
    /// The time between [`Self::receive`] and [`Self::send`], and how often it may be used
    /// before the clock is read again.
    time: Option<(Instant, u8)>,
}

#[derive(Debug)]
struct Port {
    key: PortKey,
    core: Endpoint,
    driver: Driver,
    io: Socket,
}

impl Ports {
    /// No ports yet. Of `tokens` the first is for the waker of [`Remote`] and each
    /// other for one socket; all others stay with the application.
    ///
    /// # Errors
    /// `InvalidInput` for an empty range, or the waker cannot be made: there can be
    /// one [`mio::Waker`] per `Poll`.
    pub fn new(registry: &Registry, tokens: Range<usize>) -> io::Result<Self> {
        if tokens.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (remote, inbox) = Remote::new(registry, Token(tokens.start))?;
        Ok(Self {
            registry: registry.try_clone()?,
            tokens,
            ports: Vec::new(),
            serial: 0,
            next: 0,
            inbox,
            remote,
            backlog: false,
            failed: VecDeque::new(),
            time: None,
        })
    }

    /// A way in for other threads.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    // ---- ports ---------------------------------------------------------------------

    /// Opens a port at `addr`; number 0 lets the system choose.
    ///
    /// # Errors
    /// The socket cannot be bound, the configuration does not suit, or every token
    /// is taken (`InvalidInput`).
    pub fn bind(&mut self, config: EndpointConfig, addr: SocketAddr) -> io::Result<PortKey> {
        self.add(config, UdpSocket::bind(addr)?)
    }

    /// Opens a port on a socket that is bound already.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub fn add(&mut self, config: EndpointConfig, socket: UdpSocket) -> io::Result<PortKey> {
        let mut io = Socket::new(socket)?;
        let (core, driver) = open(config, io.limits())?;
        let index = self.ports.iter().position(Option::is_none);
        let index = index.unwrap_or(self.ports.len());
        let token = self.token(index).ok_or(io::ErrorKind::InvalidInput)?;
        io.register(&self.registry, token)?;
        self.serial += 1;
        let serial = self.serial;
        let key = PortKey { index, serial };
        let port = Port {
            key,
            core,
            driver,
            io,
        };
        match self.ports.get_mut(index) {
            Some(free) => *free = Some(port),
            None => self.ports.push(Some(port)),
        }
        Ok(key)
    }

    /// Goes on with another socket: connections that this side opened migrate to
    /// it; accepted ones are lost unless it has the same address.
    ///
    /// # Errors
    /// The socket cannot be used, or there is no such port (`NotFound`); the old
    /// socket stays.
    pub fn rebind(&mut self, port: PortKey, socket: UdpSocket) -> io::Result<()> {
        let mut io = Socket::new(socket)?;
        let token = self.token(port.index).ok_or(io::ErrorKind::NotFound)?;
        let registry = self.registry.try_clone()?;
        let port = self.port(port).ok_or(io::ErrorKind::NotFound)?;
        io.register(&registry, token)?;
        registry.deregister(&mut port.io.socket)?;
        let key = port.key;
        let (now, limits) = (Instant::now(), io.limits());
        port.driver.rebind(&mut port.core, now, limits);
        port.io = io;
        self.failed.retain(|failed| failed.port != key);
        Ok(())
    }

    /// Closes a socket and gives its endpoint back. Peers are told nothing: drain
    /// or close the endpoint first and wait until it is idle.
    pub fn remove(&mut self, port: PortKey) -> Option<Endpoint> {
        let slot = self.ports.get_mut(port.index)?;
        let mut port = slot.take_if(|open| open.key == port)?;
        self.failed.retain(|failed| failed.port != port.key);
        // It fails for unknown sockets only, and closing deregisters as well.
        _ = self.registry.deregister(&mut port.io.socket);
        Some(port.core)
    }

    /// The address of a port's socket.
    ///
    /// # Errors
    /// The system's, or `NotFound`.
    pub fn local_addr(&self, port: PortKey) -> io::Result<SocketAddr> {
        let slot = self.ports.get(port.index).and_then(Option::as_ref);
        let port = slot.filter(|open| open.key == port);
        let port = port.ok_or(io::ErrorKind::NotFound)?;
        port.io.socket.local_addr()
    }

    // ---- use -----------------------------------------------------------------------

    /// The endpoint of a port, to be used in any way.
    pub fn endpoint(&mut self, port: PortKey) -> Option<&mut Endpoint> {
        self.port(port).map(|port| &mut port.core)
    }

    /// A connection to be used; `None` some time after its `Event::Closed`, as
    /// [`Endpoint::connection`] says. Between [`receive`](Self::receive) and
    /// [`send`](Self::send) the clock is read now and then: an owner that may work for
    /// seconds at one event asks [`Endpoint::connection`] afterwards, with the time, so that
    /// waits do not begin before it.
    pub fn connection(&mut self, port: PortKey, key: ConnKey) -> Option<ConnectionMut<'_>> {
        let now = self.now();
        self.endpoint(port)?.connection(now, key)
    }

    /// As [`connection`](Self::connection), of one that speaks raw QUIC.
    pub fn quic(&mut self, port: PortKey, key: ConnKey) -> Option<QuicMut<'_>> {
        let now = self.now();
        self.endpoint(port)?.quic(now, key)
    }

    /// Begins a connection (client). An IPv6 socket reaches IPv4 hosts too.
    ///
    /// # Errors
    /// [`ConnectError`]; `Refused` as well when there is no such port.
    pub fn connect(&mut self, port: PortKey, target: Target) -> Result<ConnKey, ConnectError> {
        let local = self.local_addr(port).map_err(|_| ConnectError::Refused)?;
        let target = target.reached_from(local);
        let endpoint = self.endpoint(port).ok_or(ConnectError::Refused)?;
        endpoint.connect(Instant::now(), &target)
    }

    /// Winds every connection down and takes no new ones, on all ports. What has not
    /// ended after `limit` is closed. Loop until [`is_idle`](Self::is_idle).
    /// O(connections).
    pub fn drain(&mut self, limit: Duration) {
        let now = Instant::now();
        for port in self.ports.iter_mut().flatten() {
            port.core.drain(now, after(now, limit));
        }
    }

    /// Closes every connection at once and takes no new ones, on all ports. Loop until
    /// [`is_idle`](Self::is_idle). O(connections).
    pub fn close(&mut self, code: Code, reason: impl Into<Bytes>) {
        let (now, reason) = (Instant::now(), reason.into());
        for port in self.ports.iter_mut().flatten() {
            port.core.close(now, code, reason.clone());
        }
    }

    /// Whether no connection is left anywhere and everything has been sent: to be
    /// asked after [`send`](Self::send), because nothing may wake the loop after
    /// that. O(ports).
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let mut ports = self.ports.iter().flatten();
        ports.all(|port| port.core.is_idle() && port.driver.queued() == 0)
    }

    // ---- the loop --------------------------------------------------------------------

    /// Takes note of a readiness event; `false` when its token is not one of these
    /// ports'.
    pub fn ready(&mut self, event: &mio::event::Event) -> bool {
        let Token(token) = event.token();
        if !self.tokens.contains(&token) {
            return false;
        }
        let index = (token - self.tokens.start).checked_sub(1);
        if let Some(Some(port)) = index.and_then(|index| self.ports.get_mut(index)) {
            port.io.readable |= event.is_readable() || event.is_error();
        }
        true
    }

    /// Takes what every socket has, up to 1 MiB of it, lets time pass, and runs
    /// jobs of other threads. Never waits. O(ports).
    ///
    /// # Errors
    /// A socket is gone for good; the other ports are not held up, and the call may be
    /// repeated: each is told once. [`rebind`](Self::rebind) or [`remove`](Self::remove) the port.
    pub fn receive(&mut self) -> Result<(), PortFailed> {
        self.backlog = true;
        for _ in 0..JOBS {
            let Ok(job) = self.inbox.try_recv() else {
                self.backlog = false;
                break;
            };
            job(self);
        }
        let now = Instant::now();
        self.time = Some((now, USES));
        for port in self.ports.iter_mut().flatten() {
            if port.io.readable
                && let Err(error) = port.driver.fill(now, &mut port.core, &mut port.io)
            {
                port.io.readable = false;
                let port = port.key;
                self.failed.push_back(PortFailed { port, error });
            }
            port.driver.feed(&mut port.core, now);
        }
        self.failed.pop_front().map_or(Ok(()), Err)
    }

    /// The next event of any connection; ports and connections take turns. What it
    /// calls for is done at once, through [`connection`](Self::connection), or later.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<(PortKey, ConnKey, Event)> {
        let count = self.ports.len();
        for index in (self.next..count).chain(0..self.next.min(count)) {
            let Some(Some(port)) = self.ports.get_mut(index) else {
                continue;
            };
            if let Some((connection, event)) = port.core.poll_event() {
                self.next = index + 1;
                return Some((port.key, connection, event));
            }
        }
        None
    }

    /// Sends what there is to send and tells how long the loop may sleep: the
    /// second argument of [`mio::Poll::poll`]. Never waits. O(ports).
    pub fn send(&mut self) -> Option<Duration> {
        self.time = None;
        let now = Instant::now();
        let again = self.backlog || !self.failed.is_empty();
        let mut wait = again.then_some(Duration::ZERO);
        for port in self.ports.iter_mut().flatten() {
            let mut turn = port.driver.send(&mut port.core, now, &mut port.io);
            let full = turn.wants_write;
            if let Some(token) = token_of(&self.tokens, port.key.index)
                && port.io.watch_writing(&self.registry, token, full).is_err()
            {
                // The system is out of memory, say: it is tried again before long.
                wait = wait.into_iter().chain([AGAIN]).min();
            }
            // Sending makes events too: they are told before the loop sleeps.
            turn.more |= (port.io.readable && !turn.paused) || port.core.has_events();
            wait = wait.into_iter().chain(turn.wait(now)).min();
        }
        wait
    }

    /// The time at present, or, within a round of the loop, a little before.
    fn now(&mut self) -> Instant {
        match &mut self.time {
            Some((now, left)) if *left > 0 => {
                *left -= 1;
                *now
            }
            time => {
                let now = Instant::now();
                if let Some(read) = time {
                    *read = (now, USES);
                }
                now
            }
        }
    }

    fn token(&self, index: usize) -> Option<Token> {
        token_of(&self.tokens, index)
    }

    fn port(&mut self, key: PortKey) -> Option<&mut Port> {
        let slot = self.ports.get_mut(key.index)?.as_mut();
        slot.filter(|port| port.key == key)
    }
}

/// The token of the socket at this place, if there are as many.
fn token_of(tokens: &Range<usize>, index: usize) -> Option<Token> {
    let token = tokens.start.checked_add(index)?.checked_add(1)?;
    tokens.contains(&token).then_some(Token(token))
}

/// A port's socket is unusable.
#[derive(Debug, Error)]
#[error("the socket of a port failed: {error}")]
#[non_exhaustive]
pub struct PortFailed {
    /// The port.
    pub port: PortKey,
    /// What the system says.
    #[source]
    pub error: io::Error,
}

impl From<PortFailed> for io::Error {
    fn from(failed: PortFailed) -> Self {
        failed.error
    }
}

#[cfg(test)]
mod tests;
