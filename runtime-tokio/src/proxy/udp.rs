//! A tunnel for UDP and a socket: payloads back and forth, in batches.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::pin;

use aqueduct_handles::bytes::Bytes;
use aqueduct_handles::protocol::driver::{prepare, quinn_udp};
use aqueduct_handles::tunnel::{TunnelError, UdpTunnel};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::{End, ProxyOptions, Traffic, later};
use crate::driver::receive;

/// Receive buffers for one call, and the bytes of each: all that GRO joins.
const BUFFERS: usize = 4;
const BUFFER: usize = 65_536;

/// Payloads that are sent with one call, and their bytes.
const BATCH: usize = 64;
const BATCH_BYTES: usize = 60_000;

/// A connected socket, and what the system offers beyond send and receive.
pub(super) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    to: SocketAddr,
}

impl Socket {
    pub(super) fn new(socket: std::net::UdpSocket, to: SocketAddr) -> io::Result<Self> {
        let state = prepare(|| UdpSockRef::from(&socket))?;
        Ok(Self {
            socket: UdpSocket::from_std(socket)?,
            state,
            to,
        })
    }

    /// What the system has to say of packets that were sent.
    fn error(&self) -> Option<io::Error> {
        let error = self.socket.take_error().ok().flatten();
        // It has been told.
        let told = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = self.socket.try_io(Interest::ERROR, told);
        error
    }

    /// Takes what has come, as far as the buffers go.
    fn recv(&self, scratch: &mut Scratch) -> io::Result<usize> {
        let Scratch { buffers, meta } = scratch;
        receive(&self.socket, BUFFERS, || {
            let mut slices = buffers.each_mut().map(|buffer| IoSliceMut::new(buffer));
            self.state
                .recv(UdpSockRef::from(&self.socket), &mut slices, meta)
        })
    }

    /// Sends payloads of one size, but for the last.
    async fn send(&self, contents: &[u8], segment: Option<usize>) -> io::Result<()> {
        let transmit = Transmit {
            destination: self.to,
            //= https://www.rfc-editor.org/rfc/rfc9298#section-6.2
            // What is inside of a tunnel says nothing about the way there.
            ecn: None,
            contents,
            segment_size: segment,
            src_ip: None,
        };
        loop {
            let sent = self.socket.try_io(Interest::WRITABLE, || {
                self.state
                    .try_send(UdpSockRef::from(&self.socket), &transmit)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.socket.writable().await?;
                }
                sent => return sent,
            }
        }
    }
}

/// Memory for received payloads: one for each thread, since it is in use only between two
/// waits.
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

/// Moves payloads until one side ends the tunnel.
pub(super) async fn relay(
    tunnel: &UdpTunnel,
    socket: &Socket,
    options: &ProxyOptions,
) -> (Traffic, End) {
    let mut relay = Relay {
        tunnel,
        socket,
        options,
        traffic: Traffic::default(),
        came: Vec::new(),
        batch: Vec::new(),
        waiting: Vec::new(),
    };
    let end = relay.run().await;
    (relay.traffic, end)
}

struct Relay<'a> {
    tunnel: &'a UdpTunnel,
    socket: &'a Socket,
    options: &'a ProxyOptions,
    traffic: Traffic,
    /// Payloads from the tunnel.
    came: Vec<Bytes>,
    /// Those of one size on their way to the target, one after another.
    batch: Vec<u8>,
    /// Payloads that the tunnel had no room for. Nothing more is read before they are
    /// gone.
    waiting: Vec<Bytes>,
}

impl Relay<'_> {
    async fn run(&mut self) -> End {
        let idle = self.options.idle_timeout;
        let mut active = Instant::now();
        let mut sleep = pin!(tokio::time::sleep_until(later(active, idle)));
        let mut failing = pin!(self.socket.socket.ready(Interest::ERROR));
        loop {
            let moved = tokio::select! {
                payload = self.tunnel.recv() => match payload {
                    Ok(payload) => self.pass_on(payload).await,
                    Err(TunnelError::Ended) => Err(End::Finished),
                    Err(error) => Err(End::Client(error)),
                },
                ready = self.socket.socket.readable() => match ready {
                    Ok(()) => self.take_in().await,
                    Err(error) => Err(End::Target(error.kind())),
                },
                // What ICMP says wakes nobody who waits for payloads.
                _ = failing.as_mut() => {
                    failing.set(self.socket.socket.ready(Interest::ERROR));
                    match self.socket.error() {
                        Some(error) => self.failed(&error),
                        None => continue,
                    }
                }
                // It is set again when it is over, not with every payload.
                () = sleep.as_mut() => {
                    let at = later(active, idle);
                    if at <= Instant::now() {
                        return End::Idle;
                    }
                    sleep.as_mut().reset(at);
                    continue;
                }
            };
            match moved {
                Ok(()) => active = Instant::now(),
                Err(end) => return end,
            }
        }
    }

    /// Sends a payload, and those that have come with it.
    async fn pass_on(&mut self, first: Bytes) -> Result<(), End> {
        let most = self.socket.state.max_gso_segments().clamp(1, BATCH);
        self.came.push(first);
        self.tunnel.try_recv_many(&mut self.came, BATCH - 1);
        let mut came = std::mem::take(&mut self.came);
        let passed = self.send_all(&came, most).await;
        came.clear();
        self.came = came;
        passed
    }

    async fn send_all(&mut self, mut payloads: &[Bytes], most: usize) -> Result<(), End> {
        while let Some(first) = payloads.first() {
            let (count, size) = (run(payloads, most), first.len());
            let (now, rest) = payloads.split_at(count);
            payloads = rest;
            let sent = match now {
                [alone] => self.socket.send(alone, None).await,
                several => {
                    self.batch.clear();
                    for payload in several {
                        self.batch.extend_from_slice(payload);
                    }
                    self.socket.send(&self.batch, Some(size)).await
                }
            };
            match sent {
                Ok(()) => {
                    self.traffic.packets_out += count as u64;
                    self.traffic.bytes_out += now.iter().map(|p| p.len() as u64).sum::<u64>();
                }
                //= https://www.rfc-editor.org/rfc/rfc9298#section-5
                // What is larger than the link takes is dropped.
                Err(error) if quinn_udp::is_msg_size_err(&error) => {
                    self.traffic.too_large += count as u64;
                }
                Err(error) => {
                    self.traffic.not_sent += count as u64;
                    self.failed(&error)?;
                }
            }
        }
        Ok(())
    }

    /// Sends what has come from the target through the tunnel.
    async fn take_in(&mut self) -> Result<(), End> {
        let Self {
            tunnel,
            socket,
            traffic,
            waiting,
            ..
        } = self;
        let received = SCRATCH.with_borrow_mut(|scratch| {
            let count = socket.recv(scratch)?;
            for (buffer, meta) in scratch.buffers.iter().zip(&scratch.meta).take(count) {
                let all = buffer.get(..meta.len).unwrap_or_default();
                pass(tunnel, all, meta.stride.max(1), traffic, waiting)?;
            }
            Ok::<_, Failed>(())
        });
        match received {
            Ok(()) => {}
            Err(Failed::Tunnel(error)) => return Err(ended(error)),
            Err(Failed::Socket(error)) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock => Ok(()),
                    _ => self.failed(&error),
                };
            }
        }
        // The target's socket fills up meanwhile, and the system drops the rest.
        for payload in std::mem::take(&mut self.waiting) {
            match self.tunnel.send(&payload).await {
                Ok(()) => {
                    self.traffic.packets_in += 1;
                    self.traffic.bytes_in += payload.len() as u64;
                }
                Err(TunnelError::TooLarge) => self.traffic.too_large += 1,
                Err(error) => return Err(ended(error)),
            }
        }
        Ok(())
    }

    /// The socket has failed, which may be nothing.
    fn failed(&self, error: &io::Error) -> Result<(), End> {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(()),
            //= https://www.rfc-editor.org/rfc/rfc9298#section-3.1
            // ICMP says that nobody listens: the stream is closed.
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
                if !self.options.keep_unreachable =>
            {
                Err(End::Target(error.kind()))
            }
            // The next may go.
            _ => Ok(()),
        }
    }
}

enum Failed {
    Socket(io::Error),
    Tunnel(TunnelError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<TunnelError> for Failed {
    fn from(error: TunnelError) -> Self {
        Self::Tunnel(error)
    }
}

/// How many payloads go with one call: of the same size, a smaller one the last. At least
/// one, if there is one.
fn run(payloads: &[Bytes], most: usize) -> usize {
    let size = payloads.first().map_or(0, Bytes::len);
    let most = most.min(BATCH_BYTES / size.max(1)).max(1);
    if size == 0 {
        return payloads.len().min(1);
    }
    let same = payloads.iter().take(most);
    let same = same.take_while(|payload| payload.len() == size).count();
    let smaller = payloads.get(same).map_or(0, Bytes::len);
    same + usize::from(same < most && 0 < smaller && smaller < size)
}

/// Sends payloads of `size` bytes, but for the last, through the tunnel, or keeps them
/// until there is room.
fn pass(
    tunnel: &UdpTunnel,
    contents: &[u8],
    size: usize,
    traffic: &mut Traffic,
    waiting: &mut Vec<Bytes>,
) -> Result<(), TunnelError> {
    let mut left = contents;
    loop {
        let next = left.get(..size).unwrap_or(left);
        let taken = match waiting.is_empty() {
            true => tunnel.try_send_segments(left, size),
            false => Err(TunnelError::Blocked),
        };
        let taken = match taken {
            Ok(taken) => {
                traffic.packets_in += taken.div_ceil(size).max(1) as u64;
                traffic.bytes_in += taken as u64;
                taken
            }
            Err(TunnelError::TooLarge) => {
                traffic.too_large += 1;
                next.len()
            }
            Err(TunnelError::Blocked) => {
                waiting.push(Bytes::copy_from_slice(next));
                next.len()
            }
            Err(error) => return Err(error),
        };
        left = left.get(taken..).unwrap_or_default();
        if left.is_empty() {
            return Ok(());
        }
    }
}

fn ended(error: TunnelError) -> End {
    match error {
        TunnelError::Ended => End::Finished,
        error => End::Client(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One call sends payloads of one size, and a smaller one after them.
    #[test]
    fn payloads_of_one_size_go_together() {
        let sized = |sizes: &[usize]| -> Vec<Bytes> {
            sizes.iter().map(|size| vec![7; *size].into()).collect()
        };
        for (sizes, most, together) in [
            (&[][..], 64, 0),
            (&[0, 0][..], 64, 1),
            (&[9, 0][..], 64, 1),
            (&[9, 9, 9][..], 64, 3),
            (&[9, 9, 9][..], 2, 2),
            (&[9, 9, 3, 3][..], 64, 3),
            (&[9, 9, 10][..], 64, 2),
            (&[40_000, 40_000][..], 64, 1),
            (&[65_527][..], 64, 1),
        ] {
            assert_eq!(run(&sized(sizes), most), together, "{sizes:?}");
        }
    }
}
