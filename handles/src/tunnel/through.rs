//! QUIC in a tunnel: an endpoint whose packets a proxy carries.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use aqueduct_core::driver::quinn_udp::{RecvMeta, Transmit};
use aqueduct_core::driver::{IoLimits, UdpIo};
use aqueduct_core::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_core::time::after;
use bytes::Bytes;

use super::{TunnelError, UdpTunnel};
use crate::alarm::Alarm;
use crate::clock::now;
use crate::endpoint::Endpoint;
use crate::shared::Shared;
use crate::worker::Worker;

/// Bytes of the smallest packet that QUIC begins with (RFC 9000 section 14.1).
const SMALLEST: usize = 1200;

/// Bytes of the largest packet of QUIC where packets go in capsules, for the rest of the
/// way.
const BY_CAPSULES: usize = 1452;

/// How long the path to the proxy may take to show that it carries those.
const PATH: Duration = Duration::from_secs(3);

/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(5);

impl Endpoint {
    /// An endpoint for connections to the target of a tunnel, TLS to that target and all,
    /// and what a task has to run for it: to be used with [`connect`](Self::connect) and
    /// any address, commonly the target's if it is known. It lives as long as the tunnel
    /// does. What the configuration and the settings say of the size of packets is what the
    /// tunnel carries. Time comes from the driver of the tunnel's own connection, so this
    /// needs nothing of a runtime but the task.
    ///
    /// The tunnel's connection should have been made with
    /// [`connect_carrier`](Self::connect_carrier).
    ///
    /// # Errors
    /// `InvalidInput` when the tunnel does not carry packets of 1,200 bytes, as on a narrow
    /// path to the proxy and a connection that was made otherwise, or for settings that are
    /// out of range; an error of the tunnel's.
    pub async fn through(
        tunnel: UdpTunnel,
        config: EndpointConfig,
        mut transport: TransportSettings,
    ) -> io::Result<(Self, impl Future<Output = ()> + Send + 'static + use<>)> {
        let outer = tunnel.shared().clone();
        let max = carried(&tunnel, &mut Alarm::new(&outer)).await?;
        let max = u16::try_from(max).unwrap_or(u16::MAX).min(1472);
        let local = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        // Nobody there sends what would be lost on the way back, or end the tunnel, as
        // some proxies have it.
        transport.mtu_discovery = Some(max);
        let config = config
            .max_udp_payload(max)
            .and_then(|config| config.transport(transport))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let io = Carried {
            tunnel,
            from: None,
            came: VecDeque::new(),
            blocked: None,
            over: None,
        };
        let (endpoint, worker) = Self::open(config, io.limits(), local)?;
        Ok((endpoint, drive(worker, io, outer)))
    }
}

/// Bytes of the largest payload, once it is large enough.
async fn carried(tunnel: &UdpTunnel, alarm: &mut Alarm) -> io::Result<usize> {
    let until = after(now(), PATH);
    poll_fn(|cx| {
        loop {
            match tunnel.max_payload() {
                Some(max) if max >= SMALLEST => return Poll::Ready(Ok(max)),
                Some(max) if now() >= until => {
                    let why = format!(
                        "the path to the proxy carries {max} bytes in a packet, and QUIC needs {SMALLEST}"
                    );
                    let error = io::Error::new(io::ErrorKind::InvalidInput, why);
                    return Poll::Ready(Err(error));
                }
                // On a stream everything fits.
                None if tunnel.uses_capsules() => return Poll::Ready(Ok(BY_CAPSULES)),
                None => return Poll::Ready(Err(TunnelError::Ended.into())),
                // MTU discovery is under way.
                Some(_) => {
                    let next = alarm.at().filter(|at| *at > now());
                    let next = next.unwrap_or_else(|| after(now(), LOOK));
                    if alarm.poll(cx, next).is_pending() {
                        return Poll::Pending;
                    }
                }
            }
        }
    })
    .await
}

/// A tunnel as a socket.
struct Carried {
    tunnel: UdpTunnel,
    /// Where packets were last sent to, which is where they come from.
    from: Option<SocketAddr>,
    came: VecDeque<Bytes>,
    /// A packet that the tunnel had no room for.
    blocked: Option<Bytes>,
    over: Option<TunnelError>,
}

impl UdpIo for Carried {
    fn recv(&mut self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta]) -> io::Result<usize> {
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let next = self.came.pop_front().or_else(|| self.tunnel.try_recv());
            let (Some(packet), Some(from)) = (next, self.from) else {
                break;
            };
            if let Some(place) = buf.get_mut(..packet.len()) {
                place.copy_from_slice(&packet);
                *meta = RecvMeta::default();
                (meta.addr, meta.len, meta.stride) = (from, packet.len(), packet.len());
                count += 1;
            }
        }
        match (count, &self.over) {
            (0, Some(error)) => Err(lost(error)),
            (0, None) => Err(io::ErrorKind::WouldBlock.into()),
            (count, _) => Ok(count),
        }
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.from = Some(transmit.destination);
        if self.blocked.is_some() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match self.tunnel.try_send(transmit.contents) {
            Err(TunnelError::Blocked) => {
                self.blocked = Some(Bytes::copy_from_slice(transmit.contents));
                Ok(())
            }
            // As on any path: a packet that is too large is lost, which tells QUIC how
            // large they may be. The end is told by receiving.
            _ => Ok(()),
        }
    }

    fn limits(&self) -> IoLimits {
        IoLimits::new().may_fragment(false)
    }
}

/// Why there are no packets any more, for the handles.
fn lost(error: &TunnelError) -> io::Error {
    let why = match error {
        TunnelError::Connection(reason) => format!("the connection to the proxy is lost: {reason}"),
        error => format!("the proxy has ended the tunnel: {error}"),
    };
    io::Error::new(io::ErrorKind::NotConnected, why)
}

/// Runs until every handle and connection is gone, or the tunnel has ended.
async fn drive(mut worker: Worker, mut io: Carried, outer: Arc<Shared>) {
    let mut alarm = Alarm::new(&outer);
    loop {
        let turn = match worker.turn(now(), &mut io) {
            Ok(Some(turn)) => turn,
            Ok(None) => return,
            // The handles have been told by the worker.
            Err(error) => return tracing::debug!(%error, "the tunnel has ended"),
        };
        if turn.more {
            give_way().await;
        } else {
            io.wait(&worker, turn.paused, turn.deadline, &mut alarm)
                .await;
        }
    }
}

/// Lets other tasks have their turn.
async fn give_way() {
    let mut gave = false;
    poll_fn(|cx| match std::mem::replace(&mut gave, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

impl Carried {
    /// Waits until there is something to do.
    async fn wait(
        &mut self,
        worker: &Worker,
        paused: bool,
        deadline: Option<Instant>,
        alarm: &mut Alarm,
    ) {
        let Self {
            tunnel,
            came,
            blocked,
            over,
            ..
        } = self;
        let waiting = blocked.clone().unwrap_or_default();
        let mut recv = pin!(tunnel.recv());
        let mut send = pin!(tunnel.send(&waiting));
        poll_fn(|cx: &mut Context<'_>| {
            if over.is_none()
                && !paused
                && let Poll::Ready(packet) = recv.as_mut().poll(cx)
            {
                match packet {
                    Ok(packet) => came.push_back(packet),
                    Err(error) => *over = Some(error),
                }
                return Poll::Ready(());
            }
            if blocked.is_some() && send.as_mut().poll(cx).is_ready() {
                *blocked = None;
                return Poll::Ready(());
            }
            if let Some(at) = deadline
                && alarm.poll(cx, at).is_ready()
            {
                return Poll::Ready(());
            }
            worker.poll_kicked(cx)
        })
        .await;
    }
}
