//! A UDP socket with GSO and GRO on tokio, as the proxy has them.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use aqueduct_tokio::protocol::driver::{prepare, quinn_udp};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Receive buffers for one call, and the bytes of each: all that GRO joins.
const BUFFERS: usize = 8;
const BUFFER: usize = 65_536;

/// Memory for received payloads: one for each thread.
struct Scratch {
    buffers: [Box<[u8]>; BUFFERS],
    meta: [RecvMeta; BUFFERS],
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        buffers: std::array::from_fn(|_| vec![0; BUFFER].into()),
        meta: [RecvMeta::default(); BUFFERS],
    });
}

#[derive(Debug)]
pub(crate) struct Udp {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Udp {
    /// A socket on loopback, connected if it is to be.
    pub(crate) fn bind(to: Option<SocketAddr>) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
        if let Some(to) = to {
            socket.connect(to)?;
        }
        let state = prepare(|| UdpSockRef::from(&socket))?;
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    /// Waits, and gives each batch that has come: from where, its bytes, and those of
    /// each payload but the last.
    pub(crate) async fn recv(
        &self,
        mut each: impl FnMut(SocketAddr, &[u8], usize),
    ) -> io::Result<()> {
        self.socket.readable().await?;
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { buffers, meta } = scratch;
            let received = self.socket.try_io(Interest::READABLE, || {
                let mut slices = buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
                self.state
                    .recv(UdpSockRef::from(&self.socket), &mut slices, meta)
            });
            let count = match received {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            for (buffer, meta) in buffers.iter().zip(&*meta).take(count) {
                each(meta.addr, &buffer[..meta.len], meta.stride);
            }
            Ok(())
        })
    }

    /// Sends payloads of `stride` bytes with one call, or drops them as a path does.
    pub(crate) fn send(&self, to: SocketAddr, contents: &[u8], stride: usize) -> bool {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents,
            segment_size: (contents.len() > stride).then_some(stride),
            src_ip: None,
        };
        // tokio knows that it may send once it has waited for it; a socket that may not
        // fails all the same.
        self.state
            .try_send(UdpSockRef::from(&self.socket), &transmit)
            .is_ok()
    }
}
