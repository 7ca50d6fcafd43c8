//! Several endpoints on one port. Linux alone balances between their sockets.

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::cid::{LbConfig, Owners, ServerId, destination};
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, Target, TransportSettings};
use aqueduct_tokio::protocol::error::CloseReason;
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::protocol::transport::EarlyData;
use aqueduct_tokio::{Connection, Endpoint, GroupStats, MemoryTickets, ServerGroup};
use bytes::Bytes;
use http::Response;

use crate::harness::{ANY, pattern, request, within};

const TEN_MB: usize = 10_000_000;

fn config() -> EndpointConfig {
    let tls = Identity::localhost().server().into();
    EndpointConfig::server(tls, Config::default()).expect("suits")
}

/// A connection from a socket of its own.
async fn connect(to: SocketAddr) -> (Endpoint, Connection) {
    let endpoint = Endpoint::client(ANY).expect("binds");
    let mut target = Target::new(to, "localhost", Identity::localhost().client_arc());
    // Whoever waits for data behind a NAT that forgets must speak to be found again.
    let mut transport = TransportSettings::default();
    transport.keep_alive = Some(Duration::from_millis(200));
    // Never more under way than any socket's buffer holds: when a path challenge is
    // lost, quinn-proto 0.11.19 fails a debug assertion (quinn issue 2658).
    transport.stream_receive_window = 64 * 1024;
    target.transport = Some(transport);
    let connection = endpoint.connect_with(target).expect("begins").await;
    (endpoint, connection.expect("shakes hands"))
}

/// Answers every request on every connection with the same content.
fn serve(server: &ServerGroup, content: Bytes) {
    let server = server.clone();
    tokio::spawn(async move {
        while let Some(connection) = server.accept().await {
            let content = content.clone();
            tokio::spawn(async move {
                while let Some((_, mut stream)) = connection.accept_request().await {
                    stream.send_response(Response::new(())).expect("once");
                    stream.send_data(content.clone()).await.expect("is read");
                    stream.finish().expect("once");
                }
            });
        }
    });
}

/// Downloads, and calls `each_mb` after each megabyte.
async fn download(client: &Connection, mut each_mb: impl FnMut()) -> Vec<u8> {
    let mut stream = client.request_empty(request("GET")).await.expect("is sent");
    stream.recv_response().await.expect("arrives");
    let mut content = Vec::new();
    while let Some(data) = stream.recv_data().await.expect("goes on") {
        let before = content.len() / 1_000_000;
        content.extend_from_slice(&data);
        if content.len() / 1_000_000 > before {
            each_mb();
        }
    }
    content
}

fn forwarded(stats: &[GroupStats]) -> u64 {
    stats.iter().map(|stats| stats.forwarded).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_survives_new_ports_of_its_client() {
    // Row E4
    within(async {
        let server = ServerGroup::bind(config(), ANY, 4).expect("binds");
        serve(&server, pattern(TEN_MB));
        let (endpoint, client) = connect(server.local_addr()).await;
        let before: Vec<_> = server.stats();
        let mut ports = BTreeSet::new();
        let content = download(&client, || {
            endpoint
                .rebind(UdpSocket::bind(ANY).expect("binds"))
                .expect("suits");
            ports.insert(endpoint.local_addr());
        })
        .await;
        assert!(content == pattern(TEN_MB));
        assert!(ports.len() > 3, "{ports:?}");
        // Of so many ports the kernel gave some to other endpoints.
        let after = server.stats();
        assert!(forwarded(&after) > 0, "{after:?}");
        // The connection is still where it was.
        let homes = |stats: &[GroupStats]| -> Vec<usize> {
            stats.iter().map(|stats| stats.open_connections).collect()
        };
        assert_eq!(homes(&before), homes(&after));
        assert_eq!(server.open_connections(), 1);
    })
    .await;
}

/// Rows A18, B35: what stands behind tickets is the workers' together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_one_worker_resumes_at_another() {
    within(async {
        let config = config().early_data(true).expect("suits");
        let server = ServerGroup::bind(config, ANY, 4).expect("binds");
        serve(&server, Bytes::new());
        let (store, tls) = (
            Arc::new(MemoryTickets::new()),
            Identity::localhost().client_arc(),
        );
        let (mut kept, mut homes) = (Vec::new(), BTreeSet::new());
        let mut before = vec![0; 4];
        // Each has the ticket that the one before it was given, and a port of its own.
        for number in 0..16 {
            let endpoint = Endpoint::client(ANY).expect("binds");
            let target = Target::new(server.local_addr(), "localhost", tls.clone())
                .tickets(store.clone())
                .early_data(true);
            let connection = endpoint.connect_with(target).expect("begins").await;
            let connection = connection.expect("shakes hands");
            let resumes = match number {
                0 => EarlyData::None,
                _ => EarlyData::Accepted,
            };
            assert_eq!(connection.early_data(), Some(resumes), "{homes:?}");
            assert!(connection.ticket().await);
            let stats = server.stats();
            let now: Vec<_> = stats.iter().map(|stats| stats.open_connections).collect();
            homes.extend((0..4).filter(|worker| now[*worker] > before[*worker]));
            before = now;
            kept.push((endpoint, connection));
        }
        assert!(homes.len() > 1, "{before:?}");
    })
    .await;
}

/// A NAT in front of a server, which forgets its mapping when told, and a load
/// balancer's eye on what passes.
struct Nat {
    addr: SocketAddr,
    forget: Arc<tokio::sync::Notify>,
    /// The servers that short headers named.
    named: Arc<Mutex<BTreeSet<Option<ServerId>>>>,
}

impl Nat {
    async fn new(server: SocketAddr, balancer: LbConfig) -> Self {
        let inside = tokio::net::UdpSocket::bind(ANY).await.expect("binds");
        let (addr, forget) = (
            inside.local_addr().expect("bound"),
            Arc::<tokio::sync::Notify>::default(),
        );
        let named = Arc::<Mutex<BTreeSet<_>>>::default();
        let (told, seen) = (forget.clone(), named.clone());
        tokio::spawn(async move {
            let mut outside = tokio::net::UdpSocket::bind(ANY).await.expect("binds");
            let mut client = None;
            let (mut up, mut down) = (vec![0; 2000], vec![0; 2000]);
            loop {
                tokio::select! {
                    biased;
                    () = told.notified() => {
                        outside = tokio::net::UdpSocket::bind(ANY).await.expect("binds");
                    }
                    Ok((len, from)) = inside.recv_from(&mut up) => {
                        client = Some(from);
                        if up[0] & 0x80 == 0 {
                            let cid = destination(&up[..len], |first| balancer.cid_len_of(first));
                            let server = cid.and_then(|cid| balancer.server_id(cid));
                            seen.lock().expect("no panic").insert(server);
                        }
                        outside.send_to(&up[..len], server).await.ok();
                    }
                    Ok((len, _)) = outside.recv_from(&mut down) => {
                        if let Some(client) = client {
                            inside.send_to(&down[..len], client).await.ok();
                        }
                    }
                }
            }
        });
        Self {
            addr,
            forget,
            named,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_survives_a_nat_that_forgets() {
    // Row E4. The client does not notice anything and keeps its connection id.
    within(async {
        let shared = LbConfig::new(2, 2, 8)
            .expect("in range")
            .key(*b"a balancer's key");
        let ids = (0..4).map(|at| ServerId::new(&[17, at]).expect("in range"));
        let owners = Owners::new(shared.clone(), ids.clone().collect()).expect("suits");
        let server = ServerGroup::bind_owners(config(), ANY, owners).expect("binds");
        serve(&server, pattern(TEN_MB));
        let nat = Nat::new(server.local_addr(), shared).await;
        let (_endpoint, client) = connect(nat.addr).await;
        let content = download(&client, || nat.forget.notify_one()).await;
        assert!(content == pattern(TEN_MB));
        let stats = server.stats();
        assert!(forwarded(&stats) > 0, "{stats:?}");

        // To the balancer all packets named the one endpoint that has the connection.
        let home = stats.iter().position(|stats| stats.open_connections == 1);
        let home = ids.clone().nth(home.expect("is open"));
        let named = nat.named.lock().expect("no panic");
        assert_eq!(*named, BTreeSet::from([home]));
    })
    .await;
}

#[tokio::test]
async fn connections_spread_and_come_out_of_one_accept() {
    within(async {
        let server = ServerGroup::bind(config(), ANY, 4).expect("binds");
        let mut connections = Vec::new();
        for _ in 0..24 {
            let (client, accepted) = tokio::join!(connect(server.local_addr()), server.accept());
            connections.push((client, accepted.expect("open")));
        }
        let stats = server.stats();
        assert_eq!(server.open_connections(), 24);
        let busy = stats.iter().filter(|stats| stats.open_connections > 0);
        assert!(busy.count() > 1, "{stats:?}");
        // Where no address changes, the kernel finds the owner by itself.
        assert_eq!(forwarded(&stats), 0);

        // The end of the group is the end of all.
        server.close(Code::H3_NO_ERROR, "enough");
        assert!(server.accept().await.is_none());
        for ((_, client), _) in &connections {
            let reason = client.closed().await;
            assert!(
                matches!(&reason, CloseReason::Remote { code, .. } if *code == Code::H3_NO_ERROR),
                "{reason}"
            );
        }
        server.wait_idle().await;
        assert_eq!(server.open_connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_group_drains_gracefully() {
    // Row A12
    within(async {
        let server = ServerGroup::bind(config(), ANY, 2).expect("binds");
        let mut open = Vec::new();
        for _ in 0..8 {
            let ((endpoint, client), accepted) =
                tokio::join!(connect(server.local_addr()), server.accept());
            let accepted = accepted.expect("open");
            let stream = client.request_empty(request("GET")).await.expect("is sent");
            let (_, answer) = accepted.accept_request().await.expect("arrives");
            open.push((endpoint, client, accepted, stream, answer));
        }
        server.drain(Duration::from_secs(10));
        assert!(server.accept().await.is_none());
        for (_, client, _, stream, mut answer) in open {
            assert!(client.draining().await.is_some());
            // What was begun is finished.
            answer.send_response(Response::new(())).expect("once");
            answer.send_data(pattern(1000)).await.expect("is read");
            answer.finish().expect("once");
            let mut stream = stream;
            stream.recv_response().await.expect("arrives");
            assert_eq!(
                stream.read_to_end(1000).await.expect("whole"),
                pattern(1000)
            );
        }
        server.wait_idle().await;
    })
    .await;
}

#[tokio::test]
async fn a_group_may_be_one_endpoint_and_not_none() {
    within(async {
        let server = ServerGroup::bind(config(), ANY, 1).expect("binds");
        // Nobody else may join the port of a single endpoint.
        let taken = UdpSocket::bind(server.local_addr()).expect_err("taken");
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        let (client, accepted) = tokio::join!(connect(server.local_addr()), server.accept());
        assert!(accepted.is_some());
        drop(client);
        for count in [0, 257] {
            let error = ServerGroup::bind(config(), ANY, count).expect_err("out of range");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    })
    .await;
}
