//! What goes through a proxy: clients and their target, in one thread.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aqueduct_core::testing::cert::Identity;
use aqueduct_tokio::protocol::endpoint::{Target as Dial, TransportSettings};
use aqueduct_tokio::proxy::{Dialect, OpenTunnel, Template, UdpTunnel, carrier_settings};
use aqueduct_tokio::rustls::{ClientConfig, RootCertStore};
use aqueduct_tokio::{Connection, Endpoint, tls};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::udp::Udp;
use crate::{Direction, PAYLOAD, Tunnels};

/// After how long what has not come is lost.
const LOST: Duration = Duration::from_millis(100);

/// One tunnel's packets on their way.
#[derive(Debug, Default)]
struct Flow {
    in_flight: AtomicU32,
    room: Notify,
    /// Where the target sees it come from.
    from: OnceLock<SocketAddr>,
}

/// All tunnels, and what has become of their packets.
#[derive(Debug)]
struct Flows {
    tunnels: Tunnels,
    flows: Vec<Flow>,
    arrived: AtomicU64,
    lost: AtomicU64,
}

impl Flows {
    /// Counts what has come where it was to come to.
    fn arrive(&self, contents: &[u8], stride: usize) {
        for payload in contents.chunks(stride.max(1)) {
            let Some(flow) = self.flows.get(number(payload)) else {
                continue;
            };
            self.arrived.fetch_add(1, Relaxed);
            let before = flow.in_flight.load(Relaxed);
            let left = before.saturating_sub(1);
            flow.in_flight.store(left, Relaxed);
            if left + self.tunnels.burst <= self.tunnels.window {
                flow.room.notify_one();
            }
        }
    }

    /// Waits until another burst may go.
    async fn room(&self, number: usize) {
        let flow = &self.flows[number];
        while flow.in_flight.load(Relaxed) + self.tunnels.burst > self.tunnels.window {
            if timeout(LOST, flow.room.notified()).await.is_err() {
                let lost = flow.in_flight.swap(0, Relaxed);
                self.lost.fetch_add(lost.into(), Relaxed);
            }
        }
        flow.in_flight.fetch_add(self.tunnels.burst, Relaxed);
    }
}

/// The tunnel that a payload belongs to.
fn number(payload: &[u8]) -> usize {
    let number = payload
        .first_chunk()
        .map(|bytes| u32::from_be_bytes(*bytes));
    number.map_or(usize::MAX, |number| number as usize)
}

/// A client's end.
#[derive(Debug)]
enum Link {
    Bare(Udp, SocketAddr),
    Tunnel(Box<UdpTunnel>),
}

impl Link {
    async fn send(&self, burst: &[u8]) {
        match self {
            Self::Bare(udp, to) => {
                udp.send(*to, burst, PAYLOAD);
            }
            Self::Tunnel(tunnel) => {
                for payload in burst.chunks(PAYLOAD) {
                    tunnel.send(payload).await.expect("goes");
                }
            }
        }
    }

    async fn recv(&self, mut each: impl FnMut(&[u8], usize)) {
        match self {
            Self::Bare(udp, _) => {
                let come = udp.recv(|_, contents, stride| each(contents, stride));
                come.await.expect("receives");
            }
            Self::Tunnel(tunnel) => {
                let payload = tunnel.recv().await.expect("comes");
                each(&payload, PAYLOAD);
            }
        }
    }
}

/// The client's end of a proxy.
pub(crate) enum Way {
    /// The datagrams go to its socket as they are.
    Bare(SocketAddr),
    /// Tunnels, for those that trust this certificate.
    Masque(SocketAddr, Option<Vec<u8>>),
}

/// What came through, and what did not, up to now.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Count {
    pub(crate) arrived: u64,
    pub(crate) lost: u64,
}

/// Tunnels through a proxy, and what goes through them until it is dropped.
pub(crate) struct Load {
    flows: Arc<Flows>,
    _tasks: JoinSet<()>,
    _kept: Option<(Endpoint, Connection)>,
}

impl Load {
    pub(crate) async fn start(
        way: Way,
        target: Udp,
        tunnels: Tunnels,
        direction: Direction,
    ) -> Self {
        let target = Arc::new(target);
        let flows = Arc::new(Flows {
            tunnels,
            flows: (0..tunnels.count).map(|_| Flow::default()).collect(),
            arrived: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(at_target(
            Arc::clone(&target),
            Arc::clone(&flows),
            direction,
        ));
        let (kept, links) = links(way, target.address(), tunnels.count).await;
        for (number, link) in links.iter().enumerate() {
            hello(link, number, &flows).await;
        }
        for (number, link) in links.into_iter().enumerate() {
            let link = Arc::new(link);
            let (theirs, back) = (Arc::clone(&link), Arc::clone(&flows));
            tasks.spawn(async move {
                loop {
                    let count = |contents: &[u8], stride| back.arrive(contents, stride);
                    theirs.recv(count).await;
                }
            });
            let (flows, target) = (Arc::clone(&flows), Arc::clone(&target));
            tasks.spawn(async move {
                let burst = burst(number, flows.tunnels.burst);
                let from = *flows.flows[number].from.get().expect("said hello");
                loop {
                    flows.room(number).await;
                    match direction {
                        Direction::Up | Direction::Echo => link.send(&burst).await,
                        Direction::Down => {
                            target.send(from, &burst, PAYLOAD);
                        }
                    }
                    // A tunnel is taken from, too.
                    tokio::task::yield_now().await;
                }
            });
        }
        Self {
            flows,
            _tasks: tasks,
            _kept: kept,
        }
    }

    pub(crate) fn count(&self) -> Count {
        Count {
            arrived: self.flows.arrived.load(Relaxed),
            lost: self.flows.lost.load(Relaxed),
        }
    }
}

/// Payloads of one tunnel.
fn burst(number: usize, count: u32) -> Vec<u8> {
    let mut payload = [7; PAYLOAD];
    let number = u32::try_from(number).expect("few");
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload.repeat(count as usize)
}

/// Tells the target of a tunnel: the first packets may be lost, or too large for a path
/// that nobody has looked at.
async fn hello(link: &Link, number: usize, flows: &Flows) {
    for _ in 0..200 {
        match link {
            Link::Tunnel(tunnel) if tunnel.max_payload() < Some(PAYLOAD) => {}
            link => link.send(&burst(number, 1)).await,
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        if flows.flows[number].from.get().is_some() {
            return;
        }
    }
    panic!("nothing gets through");
}

/// Counts, or sends back what has come.
async fn at_target(target: Arc<Udp>, flows: Arc<Flows>, direction: Direction) {
    loop {
        let come = target.recv(|from, contents, stride| {
            if let Some(flow) = flows.flows.get(number(contents)) {
                let _ = flow.from.set(from);
            }
            match direction {
                Direction::Up => flows.arrive(contents, stride),
                Direction::Echo => {
                    target.send(from, contents, stride);
                }
                Direction::Down => {}
            }
        });
        come.await.expect("receives");
    }
}

async fn links(
    way: Way,
    target: SocketAddr,
    count: usize,
) -> (Option<(Endpoint, Connection)>, Vec<Link>) {
    let (to, certificate) = match way {
        Way::Bare(to) => {
            let link = |_| Link::Bare(Udp::bind(None).expect("binds"), to);
            return (None, (0..count).map(link).collect());
        }
        Way::Masque(to, certificate) => (to, certificate),
    };
    let endpoint = Endpoint::client("127.0.0.1:0".parse().expect("an address")).expect("binds");
    let mut settings = TransportSettings::client();
    let carrier = carrier_settings();
    (settings.initial_mtu, settings.min_mtu) = (carrier.initial_mtu, carrier.min_mtu);
    let dial = Dial::new(to, "localhost", Arc::new(trust(certificate)));
    let connecting = endpoint.connect_with(dial.transport(settings));
    let connection = connecting.expect("begins").await.expect("connects");
    let origin = format!("https://localhost:{}/", to.port());
    let template = Template::default_for(Dialect::Udp.kind(), &origin.parse().expect("a URI"));
    let target = target.to_string().parse().expect("a target");
    let open = OpenTunnel::new(Dialect::Udp, target, template);
    let mut links = Vec::new();
    for _ in 0..count {
        let tunnel = connection.open_tunnel(&open).await.expect("opens");
        links.push(Link::Tunnel(Box::new(tunnel.into_udp().expect("for UDP"))));
    }
    (Some((endpoint, connection)), links)
}

fn trust(certificate: Option<Vec<u8>>) -> ClientConfig {
    let Some(certificate) = certificate else {
        return Identity::localhost().client();
    };
    let mut roots = RootCertStore::empty();
    roots.add(certificate.into()).expect("a certificate");
    tls::client_config(roots).expect("suits")
}

/// Lets a load go on.
pub(crate) async fn pass(time: Duration) {
    let _ = timeout(time, pending::<()>()).await;
}
