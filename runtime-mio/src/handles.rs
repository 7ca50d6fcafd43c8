//! Async handles whose packets are moved by a mio loop on a thread of its own.
//!
//! The handles are those of `aqueduct-tokio` and `aqueduct-async-std`, so their
//! tasks may run on any executor. Unlike [`Ports`](crate::Ports) this has a lock
//! around the endpoint, which the handles share with the loop.

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;
use std::task::{Context, Wake};
use std::time::Instant;

use aqueduct_core::driver::UdpIo;
use aqueduct_core::endpoint::EndpointConfig;
pub use aqueduct_handles::*;
use mio::{Events, Poll, Token, Waker};

use crate::socket::Socket;

const SOCKET: Token = Token(0);
const KICK: Token = Token(1);

/// The loop of one endpoint.
#[derive(Debug)]
pub struct Driver {
    worker: Worker,
    io: Socket,
    poll: Poll,
    kick: Arc<Kick>,
}

/// An endpoint on a socket that is bound already, and what a thread has to run
/// for it.
///
/// # Errors
/// The socket cannot be used, or the configuration does not suit.
pub fn endpoint(config: EndpointConfig, socket: UdpSocket) -> io::Result<(Endpoint, Driver)> {
    let local = socket.local_addr()?;
    let mut io = Socket::new(socket)?;
    let (endpoint, worker) = Endpoint::open(config, io.limits(), local)?;
    let poll = Poll::new()?;
    io.register(poll.registry(), SOCKET)?;
    let kick = Arc::new(Kick(Waker::new(poll.registry(), KICK)?));
    let driver = Driver {
        worker,
        io,
        poll,
        kick,
    };
    Ok((endpoint, driver))
}

impl Driver {
    /// Runs until every handle and connection is gone.
    ///
    /// # Errors
    /// The socket or the poll fails; every handle has been told.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(16);
        let waker = self.kick.into();
        while let Some(mut turn) = self.worker.turn(Instant::now(), &mut self.io)? {
            let kicked = self.worker.poll_kicked(&mut Context::from_waker(&waker));
            turn.more |= (self.io.readable && !turn.paused) || kicked.is_ready();
            let registry = self.poll.registry();
            self.io.watch_writing(registry, SOCKET, turn.wants_write)?;
            match self.poll.poll(&mut events, turn.wait(Instant::now())) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Wakes the loop when a handle has something for it.
#[derive(Debug)]
struct Kick(Waker);

impl Wake for Kick {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Err(error) = self.0.wake() {
            // What it was for is done with the next packet or timer.
            tracing::debug!(%error, "the loop was not woken");
        }
    }
}
