//! `--udp`: packets of a local socket, a tunnel for each who sends to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_tokio::proxy::{Target, UdpTunnel};
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::time::Instant;

use super::flows::{self, Back, Flows, LARGEST};
use super::upstream::Upstream;

/// How long the tunnel that was opened to see whether there is one waits for its use.
const KEPT: Duration = Duration::from_secs(60);
/// How long to wait when the socket fails.
const PAUSE: Duration = Duration::from_millis(10);

/// Carries packets for ever. The `first` sender has that tunnel.
pub(super) async fn run(socket: UdpSocket, target: &Target, first: UdpTunnel, upstream: &Upstream) {
    let socket = Arc::new(socket);
    let (mut first, opened) = (Some(first), Instant::now());
    let mut flows: Flows<SocketAddr> = Flows::new();
    let mut buffer = vec![0; LARGEST];
    loop {
        let received = tokio::select! {
            received = socket.recv_from(&mut buffer) => received,
            () = tokio::time::sleep_until(opened + KEPT), if first.is_some() => {
                first = None;
                continue;
            }
        };
        let (len, from) = match received {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, "no packet could be taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let packet = Bytes::copy_from_slice(buffer.get(..len).unwrap_or_default());
        flows.pass(&from, packet, |packets| {
            let back = Back {
                socket: socket.clone(),
                to: from,
                header: Vec::new(),
            };
            let (upstream, target) = (upstream.clone(), target.clone());
            tokio::spawn(flows::run(upstream, target, first.take(), packets, back));
        });
    }
}
