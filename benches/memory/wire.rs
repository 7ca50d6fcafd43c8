//! A socket that is two queues.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::rc::Rc;

use aqueduct_core::driver::quinn_udp::{RecvMeta, Transmit};
use aqueduct_core::driver::{IoLimits, UdpIo};
use aqueduct_core::id::Side;

/// Datagrams a send call, as a socket has it on Linux.
const GSO: usize = 44;

/// What has been sent.
#[derive(Copy, Clone, Debug, Default)]
pub struct Counts {
    /// Send calls.
    pub sends: u64,
    /// UDP datagrams.
    pub packets: u64,
}

/// Datagrams on their way, and buffers that have arrived and are used again: the network
/// allocates nothing.
#[derive(Debug, Default)]
struct Queue {
    full: VecDeque<Vec<u8>>,
    empty: Vec<Vec<u8>>,
}

/// One end of the network.
#[derive(Debug)]
pub struct Wire {
    peer: SocketAddr,
    inbox: Rc<RefCell<Queue>>,
    outbox: Rc<RefCell<Queue>>,
    sent: Counts,
}

impl Wire {
    /// The client's and the server's.
    #[must_use]
    pub fn pair() -> [Self; 2] {
        let [one, two] = [Rc::default(), Rc::default()];
        let end = |peer, inbox: &Rc<_>, outbox: &Rc<_>| Self {
            peer: Self::addr(peer),
            inbox: Rc::clone(inbox),
            outbox: Rc::clone(outbox),
            sent: Counts::default(),
        };
        [end(Side::Server, &one, &two), end(Side::Client, &two, &one)]
    }

    /// Where an end is.
    #[must_use]
    pub fn addr(side: Side) -> SocketAddr {
        let port = match side {
            Side::Client => 1,
            Side::Server => 2,
        };
        ([127, 0, 0, 1], port).into()
    }

    /// What this end has sent.
    #[must_use]
    pub fn sent(&self) -> Counts {
        self.sent
    }

    /// Whether something has come for this end.
    #[must_use]
    pub fn has_some(&self) -> bool {
        !self.inbox.borrow().full.is_empty()
    }

    /// Puts datagrams of such a size on their way, the last of them shorter maybe.
    pub fn put(&mut self, contents: &[u8], size: usize) {
        let mut queue = self.outbox.borrow_mut();
        self.sent.sends += 1;
        for datagram in contents.chunks(size.max(1)) {
            let mut buffer = queue.empty.pop().unwrap_or_default();
            buffer.clear();
            buffer.extend_from_slice(datagram);
            queue.full.push_back(buffer);
            self.sent.packets += 1;
        }
    }

    /// The next datagram, looked at in place.
    pub fn take<R>(&mut self, look: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let datagram = self.inbox.borrow_mut().full.pop_front()?;
        let seen = look(&datagram);
        self.inbox.borrow_mut().empty.push(datagram);
        Some(seen)
    }
}

impl UdpIo for Wire {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let (peer, mut filled) = (self.peer, 0);
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let copied = self.take(|datagram| {
                buf[..datagram.len()].copy_from_slice(datagram);
                datagram.len()
            });
            let Some(len) = copied else {
                break;
            };
            *meta = RecvMeta::default();
            (meta.addr, meta.len, meta.stride) = (peer, len, len);
            filled += 1;
        }
        match filled {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(filled),
        }
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        let size = transmit.segment_size.unwrap_or(transmit.contents.len());
        self.put(transmit.contents, size);
        Ok(())
    }

    fn limits(&self) -> IoLimits {
        IoLimits::new().gso(GSO).may_fragment(false)
    }
}
