//! A socket for loops that have no runtime: quinn-udp and poll(2).

use std::io::{self, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::time::Duration;

use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use crate::contestants::bound;
use crate::setup::{MTU, Res, Setup};

/// Datagrams a send call, as quinn has them.
pub const FEW: usize = 10;
/// As many as the system takes.
pub const MANY: usize = 65_507 / MTU as usize;
/// What the kernel coalesces at most.
const BUFFER: usize = 64 << 10;
const BATCH: usize = if BATCH_SIZE < 16 { BATCH_SIZE } else { 16 };
/// Datagrams after which others have their turn.
const ENOUGH: usize = 1024;

pub struct Io {
    socket: UdpSocket,
    state: UdpSocketState,
    buffers: Vec<u8>,
    gso: usize,
}

impl Io {
    /// With at most so many datagrams a send call.
    pub fn new(setup: &Setup, server: bool, gso: usize) -> Res<Self> {
        let socket = bound(setup, server)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let gso = gso.min(state.max_gso_segments());
        Ok(Self {
            socket,
            state,
            buffers: vec![0; BUFFER * BATCH],
            gso,
        })
    }

    #[cfg(feature = "quiche")]
    pub fn local(&self) -> io::Result<std::net::SocketAddr> {
        self.socket.local_addr()
    }

    /// Datagrams that one call may send.
    pub fn gso(&self) -> usize {
        self.gso
    }

    /// Gives what has arrived to `take`, datagram by datagram.
    pub fn receive(&mut self, mut take: impl FnMut(&RecvMeta, &[u8])) -> io::Result<()> {
        let (mut meta, mut taken) = ([RecvMeta::default(); BATCH], 0);
        while taken < ENOUGH {
            let mut chunks = self.buffers.chunks_exact_mut(BUFFER);
            let mut buffers: [IoSliceMut<'_>; BATCH] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            let socket = UdpSockRef::from(&self.socket);
            let count = match self.state.recv(socket, &mut buffers, &mut meta) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            for (meta, buffer) in meta.iter().zip(&buffers).take(count) {
                for datagram in buffer[..meta.len].chunks(meta.stride.max(1)) {
                    take(meta, datagram);
                    taken += 1;
                }
            }
            if count < BATCH {
                break;
            }
        }
        Ok(())
    }

    /// Sends; waits where the socket is full.
    pub fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        loop {
            match self
                .state
                .try_send(UdpSockRef::from(&self.socket), transmit)
            {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.poll(libc::POLLOUT, None)?;
                }
                other => return other,
            }
        }
    }

    /// Waits until something has arrived.
    pub fn wait(&self, limit: Option<Duration>) -> io::Result<()> {
        self.poll(libc::POLLIN, limit)
    }

    fn poll(&self, events: i16, limit: Option<Duration>) -> io::Result<()> {
        let mut fd = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events,
            revents: 0,
        };
        let limit = limit.map(|limit| libc::timespec {
            tv_sec: limit.as_secs() as _,
            tv_nsec: limit.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: one descriptor, a limit or none, no signals.
        let result = unsafe { libc::ppoll(&mut fd, 1, limit, std::ptr::null()) };
        match result {
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                error => Err(error),
            },
            _ => Ok(()),
        }
    }
}
