//! QUIC in a tunnel: an endpoint whose packets a proxy carries.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut};
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::{Duration, Instant};

use aqueduct_handles::bytes::Bytes;
use aqueduct_handles::protocol::driver::{IoLimits, UdpIo, quinn_udp};
use aqueduct_handles::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_handles::tunnel::{TunnelError, UdpTunnel};
use aqueduct_handles::{Rebind, Worker};
use quinn_udp::{RecvMeta, Transmit};

use crate::Endpoint;

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
    /// An endpoint for connections to the target of a tunnel, TLS to that target and
    /// all: to be used with [`connect`](Self::connect) and any address, commonly the
    /// target's if it is known. It lives as long as the tunnel does.
    ///
    /// The tunnel's connection should have been made with
    /// [`connect_carrier`](Self::connect_carrier).
    ///
    /// # Errors
    /// `InvalidInput` when the tunnel does not carry packets of 1,200 bytes, as on a narrow
    /// path to the proxy and a connection that was made otherwise; an error of the runtime's,
    /// or the tunnel's.
    pub async fn through(tunnel: UdpTunnel) -> io::Result<Self> {
        let config = EndpointConfig::client();
        Self::through_with(tunnel, config, TransportSettings::client()).await
    }

    /// As [`through`](Self::through), with a configuration and settings of one's own.
    /// What they say of the size of packets is what the tunnel carries.
    ///
    /// # Errors
    /// Those of [`through`](Self::through), and `InvalidInput` for settings that are out
    /// of range.
    pub async fn through_with(
        tunnel: UdpTunnel,
        config: EndpointConfig,
        mut transport: TransportSettings,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        let until = Instant::now() + PATH;
        let max = loop {
            match tunnel.max_payload() {
                Some(max) if max >= SMALLEST => break max,
                Some(max) if Instant::now() >= until => {
                    let why = format!(
                        "the path to the proxy carries {max} bytes in a packet, and QUIC needs {SMALLEST}"
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
                }
                // On a stream everything fits.
                None if tunnel.uses_capsules() => break BY_CAPSULES,
                None => return Err(TunnelError::Ended.into()),
                // MTU discovery is under way.
                Some(_) => tokio::time::sleep(LOOK).await,
            }
        };
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
        let (inner, worker) = aqueduct_handles::Endpoint::open(config, io.limits(), local)?;
        runtime.spawn(drive(worker, io));
        Ok(Self {
            inner,
            rebind: Rebind::default(),
        })
    }
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
async fn drive(mut worker: Worker, mut io: Carried) {
    let mut sleep = pin!(tokio::time::sleep_until(Instant::now().into()));
    loop {
        let turn = match worker.turn(Instant::now(), &mut io) {
            Ok(Some(turn)) => turn,
            Ok(None) => return,
            // The handles have been told by the worker.
            Err(error) => return tracing::debug!(%error, "the tunnel has ended"),
        };
        if turn.more {
            tokio::task::yield_now().await;
            continue;
        }
        if let Some(at) = turn.deadline {
            sleep.as_mut().reset(at.into());
        }
        let Carried {
            tunnel,
            came,
            blocked,
            over,
            ..
        } = &mut io;
        let waiting = blocked.clone().unwrap_or_default();
        tokio::select! {
            packet = tunnel.recv(), if over.is_none() && !turn.paused => match packet {
                Ok(packet) => came.push_back(packet),
                Err(error) => *over = Some(error),
            },
            _ = tunnel.send(&waiting), if blocked.is_some() => *blocked = None,
            () = sleep.as_mut(), if turn.deadline.is_some() => {}
            () = worker.kicked() => {}
        }
    }
}
