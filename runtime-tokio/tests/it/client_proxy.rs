//! A client whose connections go through a proxy: QUIC in QUIC, over real sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aqueduct_tokio::http_client::{ClientProxy, EarlyOutcome, Error, Resolving};
use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, TransportSettings};
use aqueduct_tokio::protocol::error::Class;
use aqueduct_tokio::protocol::pool::{DialFailure, PoolError, PoolLimits};
use aqueduct_tokio::protocol::testing::cert::Identity;
use aqueduct_tokio::proxy::{Credentials, GateConfig, Proxy, TargetPolicy};
use aqueduct_tokio::tls::{Ticket, TicketStore};
use aqueduct_tokio::{Client, ClientBuilder, Connection, Endpoint, MemoryTickets};
use http::{HeaderValue, Response};
use tokio::net::UdpSocket;

use crate::harness::{ANY, within};

/// A server: where requests came from, and its connections.
struct Site {
    endpoint: Endpoint,
    from: Arc<Mutex<Vec<SocketAddr>>>,
    connections: Arc<Mutex<Vec<Connection>>>,
}

impl Site {
    fn new() -> Self {
        let tls = Identity::localhost().server().into();
        let config = EndpointConfig::server(tls, Config::default());
        let config = config.and_then(|config| config.early_data(true));
        let endpoint = Endpoint::server(config.expect("suits"), ANY).expect("binds");
        let (from, connections) = (Arc::<Mutex<Vec<_>>>::default(), Arc::default());
        let site = Self {
            endpoint,
            from,
            connections,
        };
        let (endpoint, from) = (site.endpoint.clone(), site.from.clone());
        let connections: Arc<Mutex<Vec<_>>> = site.connections.clone();
        tokio::spawn(async move {
            while let Some(connection) = endpoint.accept().await {
                let from = from.clone();
                connections
                    .lock()
                    .expect("no panic")
                    .push(connection.clone());
                tokio::spawn(async move {
                    let mut held = Vec::new();
                    while let Some((request, mut stream)) = connection.accept_request().await {
                        if request.uri().path() == "/held" {
                            held.push(stream);
                            continue;
                        }
                        let address = connection.remote_address().expect("is there");
                        from.lock().expect("no panic").push(address);
                        // The client may have gone.
                        let _ = stream.send.send_empty(Response::new(()));
                    }
                });
            }
        });
        site
    }

    fn uri(&self, host: &str) -> String {
        format!("https://{host}:{}/", self.endpoint.local_addr().port())
    }

    fn take(&self) -> Vec<SocketAddr> {
        std::mem::take(&mut *self.from.lock().expect("no panic"))
    }
}

/// A proxy that leads to loopback, for who shows a token.
struct World {
    endpoint: Endpoint,
    proxy: Proxy,
    connections: Arc<Mutex<Vec<Connection>>>,
    client: Endpoint,
}

impl World {
    fn new() -> Self {
        let tls = Identity::new(7, &["proxy.example", "127.0.0.1"]).server();
        let config = EndpointConfig::server(tls.into(), Config::default());
        let endpoint = Endpoint::server(config.expect("suits"), ANY).expect("binds");
        let mut gate = GateConfig::default();
        gate.policy = TargetPolicy::default().allow("127.0.0.0/8".parse().expect("a rule"));
        gate.credentials = Some(Credentials::new().bearer("right"));
        let proxy = Proxy::new(gate);
        let connections: Arc<Mutex<Vec<Connection>>> = Arc::default();
        let (serving, gate, kept) = (endpoint.clone(), proxy.clone(), connections.clone());
        tokio::spawn(async move {
            while let Some(connection) = serving.accept().await {
                kept.lock().expect("no panic").push(connection.clone());
                let proxy = gate.clone();
                tokio::spawn(async move {
                    while let Some((request, stream)) = connection.accept_request().await {
                        let proxy = proxy.clone();
                        tokio::spawn(async move { proxy.serve(request, stream).await });
                    }
                });
            }
        });
        Self {
            endpoint,
            proxy,
            connections,
            client: Endpoint::client(ANY).expect("binds"),
        }
    }

    /// The proxy as a client knows it.
    fn known(&self, token: &'static str) -> ClientProxy {
        Self::known_at(self.endpoint.local_addr(), token)
    }

    fn known_at(address: SocketAddr, token: &'static str) -> ClientProxy {
        let uri = format!("https://127.0.0.1:{}", address.port());
        let tls = Identity::new(7, &["proxy.example", "127.0.0.1"]).client_arc();
        ClientProxy::new(&uri)
            .expect("a URI")
            .authorization(HeaderValue::from_static(token))
            .tls(tls)
    }

    fn client(&self, change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let builder = ClientBuilder::with_tls(Identity::localhost().client_arc());
        // No name of an origin is looked up here.
        let builder = builder.resolver(|host: &str, _: u16| -> Resolving { panic!("{host}") });
        let builder = change(builder.proxy(self.known("Bearer right")));
        self.client.client_on(builder).expect("suits")
    }
}

/// Why there was no way through the proxy.
fn refusal(error: &Error) -> (String, Class) {
    let Error::Pool(PoolError::Dial(why)) = error else {
        panic!("{error:?}");
    };
    let DialFailure::Proxy { why, class } = &**why else {
        panic!("{why:?}");
    };
    (why.to_string(), *class)
}

#[tokio::test]
async fn all_connections_go_through_the_proxy() {
    within(async {
        let (world, sites) = (World::new(), [Site::new(), Site::new()]);
        let client = world.client(|builder| builder);
        for (site, host) in sites.iter().zip(["localhost", "127.0.0.1"]) {
            for _ in 0..3 {
                let answer = client.get(site.uri(host)).await.expect("is answered");
                assert_eq!(answer.status(), 200);
            }
            let from = site.take();
            assert_eq!(from.len(), 3);
            let own = world.client.local_addr().port();
            let proxys = world.endpoint.local_addr().port();
            let is_other = |from: &SocketAddr| ![own, proxys].contains(&from.port());
            assert!(
                from.iter().all(is_other),
                "of the proxy's sockets: {from:?}"
            );
        }
        // One connection to the proxy carries both, each in a tunnel.
        let stats = client.stats();
        assert_eq!((stats.dials, stats.all.connections), (3, 3), "{stats:?}");
        assert_eq!(stats.all.active, 2, "the tunnels are requests");
        assert_eq!(world.proxy.gate().stats().active, 2);
        assert_eq!(world.connections.lock().expect("no panic").len(), 1);
        // Nothing is left of it.
        client.drain();
        client.closed().await;
        assert_eq!(world.client.open_connections(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_credential_that_is_not_taken_is_told() {
    within(async {
        let (world, site) = (World::new(), Site::new());
        let client = world.client(|builder| builder.proxy(world.known("Bearer wrong")));
        let error = client.get(site.uri("127.0.0.1")).await.expect_err("no way");
        let (why, class) = refusal(&error);
        assert!(why.contains("401"), "{why}");
        assert_eq!(class, Class::Invalid);
        assert!(error.is_unprocessed() && !error.is_retryable(), "{error:?}");
        assert!(site.connections.lock().expect("no panic").is_empty());
        assert_eq!(client.stats().all.active, 0);
        assert!(!format!("{:?}", world.known("Bearer wrong")).contains("wrong"));
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_not_reached_or_not_it_is_told() {
    within(async {
        let (world, site) = (World::new(), Site::new());
        let impostor = world.known("Bearer right");
        let impostor = impostor.tls(Identity::localhost().client_arc());
        let client = world.client(|builder| builder.proxy(impostor));
        let error = client.get(site.uri("127.0.0.1")).await.expect_err("no way");
        let (why, class) = refusal(&error);
        assert!(why.contains("certificate"), "{why}");
        assert_ne!(class, Class::Transient);
        assert!(error.is_unprocessed());
        let client = world.client(|builder| {
            let named = ClientProxy::new("https://proxy.example").expect("a URI");
            builder
                .proxy(named)
                .resolver(|host: &str, _: u16| -> Resolving {
                    assert_eq!(host, "proxy.example");
                    Box::pin(async { Err(std::io::Error::other("no such name")) })
                })
        });
        let error = client.get(site.uri("127.0.0.1")).await.expect_err("no way");
        let (why, class) = refusal(&error);
        assert!(why.contains("no such name"), "{why}");
        assert_eq!(class, Class::Transient);
        assert!(site.connections.lock().expect("no panic").is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_target_that_the_proxy_does_not_reach_is_told() {
    within(async {
        let world = World::new();
        let client = world.client(|builder| builder);
        // Private, and not allowed.
        let error = client.get("https://10.0.0.1/").await.expect_err("no way");
        let (why, class) = refusal(&error);
        assert!(why.contains("403"), "{why}");
        assert_eq!(class, Class::Invalid);
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_lost_is_dialled_again() {
    within(async {
        let (world, site) = (World::new(), Site::new());
        let client = world.client(|builder| builder);
        client
            .get(site.uri("127.0.0.1"))
            .await
            .expect("is answered");
        let carrier = world.connections.lock().expect("no panic").remove(0);
        carrier.close(Code::H3_NO_ERROR, "restarts");
        while client.stats().all.connections > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        client
            .get(site.uri("127.0.0.1"))
            .await
            .expect("is answered");
        assert_eq!(site.take().len(), 2);
        let stats = client.stats();
        assert_eq!((stats.dials, stats.cut_off), (4, 1), "one was a tunnel");
    })
    .await;
}

/// A wire to a server, which can be cut.
struct Wire {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
}

impl Wire {
    async fn to(server: SocketAddr) -> Self {
        let near = UdpSocket::bind(ANY).await.expect("binds");
        let far = UdpSocket::bind(ANY).await.expect("binds");
        far.connect(server).await.expect("is there");
        let address = near.local_addr().expect("is bound");
        let cut = Arc::new(AtomicBool::new(false));
        let is_cut = cut.clone();
        tokio::spawn(async move {
            let (mut out, mut back) = (vec![0; 65_536], vec![0; 65_536]);
            let mut client = ANY;
            loop {
                tokio::select! {
                    Ok((len, from)) = near.recv_from(&mut out) => {
                        client = from;
                        if !is_cut.load(Ordering::Relaxed) {
                            far.send(&out[..len]).await.expect("goes");
                        }
                    }
                    Ok(len) = far.recv(&mut back) => {
                        if !is_cut.load(Ordering::Relaxed) {
                            near.send_to(&back[..len], client).await.expect("goes");
                        }
                    }
                }
            }
        });
        Self { address, cut }
    }
}

/// Row D14: a proxy that is lost takes with it what is under way through it, soon, whether
/// it says so or not; each request is told of once, and what comes later gets through again.
#[tokio::test]
async fn what_is_under_way_ends_with_its_proxy() {
    within(async {
        for says_so in [true, false] {
            let (world, site) = (World::new(), Site::new());
            let wire = Wire::to(world.endpoint.local_addr()).await;
            let mut quic = TransportSettings::default();
            quic.idle_timeout = Some(Duration::from_millis(600));
            let proxy = World::known_at(wire.address, "Bearer right");
            let client = world.client(|builder| builder.proxy(proxy).transport(quic));
            client
                .get(site.uri("127.0.0.1"))
                .await
                .expect("is answered");
            let asked: Vec<_> = (0..5)
                .map(|_| {
                    let (client, uri) = (client.clone(), site.uri("127.0.0.1") + "held");
                    tokio::spawn(async move { client.get(uri).await.map(drop) })
                })
                .collect();
            while client.stats().all.active < 5 + 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            match says_so {
                true => {
                    let carrier = world.connections.lock().expect("no panic").remove(0);
                    carrier.close(Code::H3_INTERNAL_ERROR, "dies");
                }
                false => wire.cut.store(true, Ordering::Relaxed),
            }
            let soon = tokio::time::timeout(Duration::from_secs(10), async {
                for later in asked {
                    let error = later.await.expect("no panic").expect_err("is cut off");
                    // Whoever says that it is broken is not asked again unasked.
                    assert_eq!(error.is_retryable(), !says_so, "{error:?}");
                    assert!(!error.is_unprocessed(), "{error:?}");
                }
            });
            soon.await.expect("soon");
            wire.cut.store(false, Ordering::Relaxed);
            // Those who are told of a failed dial may try again.
            while let Err(error) = client.get(site.uri("127.0.0.1")).await {
                assert!(error.is_unprocessed() && error.is_retryable(), "{error:?}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(site.take().len(), 2);
        }
    })
    .await;
}

/// Tickets, and whose they were.
#[derive(Debug, Default)]
struct Names(MemoryTickets, Mutex<Vec<String>>);

impl TicketStore for Names {
    fn insert(&self, name: &str, ticket: Ticket) {
        self.1.lock().expect("no panic").push(name.into());
        self.0.insert(name, ticket);
    }

    fn take(&self, name: &str) -> Option<Ticket> {
        self.0.take(name)
    }
}

/// Row A18, in a tunnel.
#[tokio::test]
async fn early_data_goes_through_the_tunnel() {
    within(async {
        let (world, site) = (World::new(), Site::new());
        let store = Arc::new(Names::default());
        let client = world.client(|builder| builder.tickets(store.clone()).early_data(true));
        let ask = async |expected| {
            let answer = client.get(site.uri("localhost")).await;
            let answer = answer.expect("is answered");
            let outcome = answer.extensions().get::<EarlyOutcome>();
            assert_eq!(outcome.copied(), expected);
        };
        ask(None).await;
        let pause = || tokio::time::sleep(Duration::from_millis(1));
        while store.0.is_empty() {
            pause().await;
        }
        let connection = site.connections.lock().expect("no panic").remove(0);
        connection.close(Code::H3_NO_ERROR, "");
        while client.stats().all.connections > 1 {
            pause().await;
        }
        ask(Some(EarlyOutcome::Accepted)).await;
        // The proxy has another TLS, whose tickets would not fit.
        let names = store.1.lock().expect("no panic");
        assert!(names.iter().all(|name| name == "localhost"), "{names:?}");
    })
    .await;
}

#[tokio::test]
async fn one_connection_is_too_few() {
    let world = World::new();
    let mut limits = PoolLimits::default();
    limits.max_connections = 1;
    let builder = ClientBuilder::with_tls(Identity::localhost().client_arc());
    let builder = builder.proxy(world.known("Bearer right")).limits(limits);
    let error = world.client.client_on(builder).expect_err("contradicts");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}
