//! Work from other threads.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use aqueduct_core::connection::{Command, CommandError, Reply};
use aqueduct_core::id::ConnKey;
use mio::{Registry, Token, Waker};

use crate::Ports;
use crate::key::PortKey;

/// Jobs that may wait; one more is refused.
const CAPACITY: usize = 1024;

pub(crate) type Job = Box<dyn FnOnce(&mut Ports) + Send>;

/// Hands work to the thread that owns a [`Ports`]: clone it, send it anywhere.
///
/// At most 1024 jobs wait. A job costs one allocation and one wake-up of the
/// loop, so it suits control and not bytes.
#[derive(Clone, Debug)]
pub struct Remote {
    jobs: SyncSender<Job>,
    waker: Arc<Waker>,
}

impl Remote {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<(Self, Receiver<Job>)> {
        let (jobs, inbox) = sync_channel(CAPACITY);
        let waker = Arc::new(Waker::new(registry, token)?);
        Ok((Self { jobs, waker }, inbox))
    }

    /// Runs `job` on the loop's thread, in its next [`Ports::receive`]. Never
    /// waits.
    ///
    /// # Errors
    /// `WouldBlock` when the inbox is full, `BrokenPipe` when the `Ports` are
    /// gone; the job is dropped.
    pub fn run(&self, job: impl FnOnce(&mut Ports) + Send + 'static) -> io::Result<()> {
        self.jobs
            .try_send(Box::new(job))
            .map_err(|error| match error {
                TrySendError::Full(_) => io::ErrorKind::WouldBlock,
                TrySendError::Disconnected(_) => io::ErrorKind::BrokenPipe,
            })?;
        self.waker.wake()
    }

    /// Wakes the loop. What it is for is done with the next packet or timer where that fails.
    pub(crate) fn wake(&self) {
        _ = self.waker.wake();
    }

    /// Applies `command` to a connection. What it replies comes out of the
    /// receiver, which may be dropped by those who do not care.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn command(
        &self,
        port: PortKey,
        connection: ConnKey,
        command: Command,
    ) -> io::Result<Receiver<Result<Reply, CommandError>>> {
        let (reply, answer) = sync_channel(1);
        self.run(move |ports| {
            let result = match ports.connection(port, connection) {
                Some(mut connection) => command.apply(&mut connection.access()),
                None => Err(CommandError::NoConnection),
            };
            // The asker may have gone; nobody else wants to know.
            _ = reply.try_send(result);
        })?;
        Ok(answer)
    }
}
