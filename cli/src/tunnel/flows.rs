//! Packets to and from tunnels for UDP, one for each of those who send.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aqueduct_tokio::proxy::{Target, TunnelError, UdpTunnel};
use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Instant;

use super::upstream::Upstream;
use crate::exit::{Exit, Failure};

/// Packets that wait while a tunnel opens, or takes no more.
const WAITING: usize = 64;
/// Flows at once.
const MOST: usize = 1024;
/// Silence after which a tunnel is closed (RFC 9298 section 6.2 has two minutes for the least).
const IDLE: Duration = Duration::from_secs(120);

/// The most that comes in one packet.
pub(super) const LARGEST: usize = 65_536;

/// Flows by who sends or where to.
#[derive(Debug)]
pub(super) struct Flows<K>(BTreeMap<K, mpsc::Sender<Bytes>>);

impl<K: Ord + Clone> Flows<K> {
    pub(super) fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Gives a packet to its flow, which `begin` makes if there is none. What does not fit is lost,
    /// as on any way of packets.
    pub(super) fn pass(
        &mut self,
        key: &K,
        packet: Bytes,
        begin: impl FnOnce(mpsc::Receiver<Bytes>),
    ) {
        let packet = match self.0.get(key).map(|flow| flow.try_send(packet.clone())) {
            Some(Ok(()) | Err(TrySendError::Full(_))) => return,
            Some(Err(TrySendError::Closed(packet))) => packet,
            None => packet,
        };
        if self.0.len() >= MOST {
            self.0.retain(|_, flow| !flow.is_closed());
            if self.0.len() >= MOST {
                return tracing::debug!("a packet is lost: there are too many flows");
            }
        }
        let (send, packets) = mpsc::channel(WAITING);
        // It is the first.
        let _ = send.try_send(packet);
        self.0.insert(key.clone(), send);
        begin(packets);
    }
}

/// Where the packets of a tunnel go, and what stands before each.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) socket: Arc<UdpSocket>,
    pub(super) to: SocketAddr,
    pub(super) header: Vec<u8>,
}

impl Back {
    async fn give(&self, payload: Bytes) {
        let sent = if self.header.is_empty() {
            self.socket.send_to(&payload, self.to).await
        } else {
            let whole = [self.header.as_slice(), &payload].concat();
            self.socket.send_to(&whole, self.to).await
        };
        if let Err(error) = sent {
            tracing::debug!(%error, to = %self.to, "a packet was not sent");
        }
    }
}

/// Opens a tunnel, if none is given, and carries packets until nobody sends any more, or it ends.
/// Where that brings nothing back, no other is asked for for a while.
pub(super) async fn run(
    upstream: Upstream,
    target: Target,
    first: Option<UdpTunnel>,
    mut packets: mpsc::Receiver<Bytes>,
    back: Back,
) {
    let name = target.to_string();
    let backoff = upstream.backoff();
    let until = match (first, backoff.until(&name)) {
        (None, Some(until)) => Some(until),
        (first, _) => carry(&upstream, &target, first, &mut packets, &back)
            .await
            .map(|failure| {
                let until = backoff.failed(&name);
                upstream.tell(&failure);
                until
            }),
    };
    let Some(until) = until else {
        return backoff.answered(&name);
    };
    // What is sent meanwhile would not fare better.
    let dropped = async {
        while packets.recv().await.is_some() {
            backoff.dropped(&name);
        }
    };
    let _ = tokio::time::timeout_at(until, dropped).await;
    upstream.tell_dropped(&name, backoff.take_dropped(&name));
}

/// The same once. Why the target should be left alone, if it should.
async fn carry(
    upstream: &Upstream,
    target: &Target,
    first: Option<UdpTunnel>,
    packets: &mut mpsc::Receiver<Bytes>,
    back: &Back,
) -> Option<Failure> {
    let tunnel = match first {
        Some(tunnel) => tunnel,
        None => match upstream.udp(target).await {
            Ok(tunnel) => tunnel,
            Err(failure) => return Some(failure),
        },
    };
    tracing::debug!(%target, back = %back.to, "a tunnel is open");
    let moved = Moved::now();
    let answered = AtomicBool::new(false);
    let out = async {
        while let Some(packet) = packets.recv().await {
            match tunnel.send(&packet).await {
                Ok(()) => moved.touch(),
                Err(TunnelError::TooLarge) => {
                    let bytes = packet.len();
                    tracing::debug!(bytes, "a packet is lost: it is larger than the path takes");
                }
                Err(error) => return Some(error),
            }
        }
        None
    };
    let into = async {
        loop {
            match tunnel.recv().await {
                Ok(payload) => {
                    moved.touch();
                    answered.store(true, Ordering::Relaxed);
                    back.give(payload).await;
                }
                Err(error) => return Some(error),
            }
        }
    };
    let end = tokio::select! {
        end = out => end,
        end = into => end,
        () = moved.idle() => None,
    };
    match &end {
        Some(error) => tracing::debug!(%target, %error, "a tunnel is over"),
        None => tracing::debug!(%target, "a tunnel is over"),
    }
    // With the connection all tunnels are over, wherever they led.
    let ended = end.filter(|error| !matches!(error, TunnelError::Connection(_)))?;
    (!answered.into_inner()).then(|| {
        let what = format!("nothing comes back from {target}");
        let what = match ended {
            TunnelError::Ended => format!("{what}: the proxy has ended the tunnel"),
            error => format!("{what}: {error}"),
        };
        Failure::new(Exit::Failure, what)
    })
}

/// When something last moved.
struct Moved {
    began: Instant,
    /// Milliseconds after `began`.
    at: AtomicU64,
}

impl Moved {
    fn now() -> Self {
        Self {
            began: Instant::now(),
            at: AtomicU64::new(0),
        }
    }

    fn touch(&self) {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(at, Ordering::Relaxed);
    }

    /// Waits until nothing has moved for too long.
    async fn idle(&self) {
        loop {
            let moved = Duration::from_millis(self.at.load(Ordering::Relaxed));
            let until = self.began + moved + IDLE;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_one_sender_go_one_way_and_those_without_room_are_lost() {
        let mut flows = Flows::new();
        let mut begun = Vec::new();
        for at in 0..WAITING + 10 {
            flows.pass(&1, Bytes::from(vec![at as u8]), |packets| {
                begun.push(packets);
            });
        }
        flows.pass(&2, Bytes::new(), |packets| {
            begun.push(packets);
        });
        assert_eq!(begun.len(), 2);
        assert_eq!(begun[0].len(), WAITING);
        assert_eq!(begun[0].try_recv().unwrap(), &[0][..]);
        // One that has ended is begun anew.
        begun.clear();
        flows.pass(&1, Bytes::new(), |packets| {
            begun.push(packets);
        });
        assert_eq!(begun.len(), 1);
    }

    #[test]
    fn flows_that_have_ended_make_room() {
        let mut flows = Flows::new();
        let mut open = Vec::new();
        for at in 0..MOST {
            flows.pass(&at, Bytes::new(), |packets| {
                open.push(packets);
            });
        }
        flows.pass(&MOST, Bytes::new(), |packets| {
            open.push(packets);
        });
        assert_eq!(open.len(), MOST);
        open.pop();
        flows.pass(&MOST, Bytes::new(), |packets| {
            open.push(packets);
        });
        assert_eq!(open.len(), MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_flow_and_packets_do_not_let_it() {
        let moved = Moved::now();
        tokio::time::sleep(IDLE / 2).await;
        moved.touch();
        let begun = Instant::now();
        moved.idle().await;
        assert!(begun.elapsed() >= IDLE - Duration::from_millis(2));
    }
}
