//! Tunnels through a proxy to real sockets (rows C7, C11, C15, C17, C34, C36).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aqueduct_core::testing::cert::Identity;
use aqueduct_tokio::protocol::config::Config;
use aqueduct_tokio::protocol::endpoint::{EndpointConfig, Target as Dial};
use aqueduct_tokio::protocol::uri::HttpsUri;
use aqueduct_tokio::proxy::{
    Dialect, End, GateConfig, OpenTunnel, OpenTunnelError, Proxy, ProxyOptions, Refusal, Served,
    Target, TargetPolicy, TcpTunnel, Template, Tunnel, TunnelError, UdpTunnel,
};
use aqueduct_tokio::{Connection, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;

/// A proxy that may go to loopback, a connection to it, and what it has served.
pub(crate) struct World {
    proxy: Proxy,
    pub(crate) connection: Connection,
    served: mpsc::UnboundedReceiver<Served>,
    origin: HttpsUri,
    _client: Endpoint,
}

impl World {
    async fn new() -> Self {
        Self::allowed(ProxyOptions::default()).await
    }

    /// The same with other options.
    async fn allowed(options: ProxyOptions) -> Self {
        let policy = TargetPolicy::default().allow("127.0.0.0/8".parse().expect("a rule"));
        let mut gate = GateConfig::default();
        gate.policy = policy;
        Self::with(gate, options).await
    }

    pub(crate) async fn with(gate: GateConfig, options: ProxyOptions) -> Self {
        Self::on(Config::default(), gate, options).await
    }

    /// The same with HTTP/3 of this configuration at the proxy.
    async fn on(http: Config, gate: GateConfig, options: ProxyOptions) -> Self {
        Self::reached(http, gate, options, |proxy| proxy).await
    }

    /// One that may go to loopback, by a path that begins at what `path` makes of its address.
    pub(crate) async fn behind(path: impl FnOnce(SocketAddr) -> SocketAddr) -> Self {
        let mut gate = GateConfig::default();
        gate.policy = TargetPolicy::default().allow("127.0.0.0/8".parse().expect("a rule"));
        Self::reached(Config::default(), gate, ProxyOptions::default(), path).await
    }

    async fn reached(
        http: Config,
        gate: GateConfig,
        options: ProxyOptions,
        path: impl FnOnce(SocketAddr) -> SocketAddr,
    ) -> Self {
        let config = EndpointConfig::server(Identity::localhost().server().into(), http);
        let local = "127.0.0.1:0".parse().expect("an address");
        let server = Endpoint::server(config.expect("suits"), local).expect("binds");
        let proxy = Proxy::with_options(gate, options);
        let (told, served) = mpsc::unbounded_channel();
        let (to, serving) = (server.local_addr(), proxy.clone());
        tokio::spawn(async move {
            while let Some(connection) = server.accept().await {
                let (proxy, told) = (serving.clone(), told.clone());
                tokio::spawn(async move {
                    while let Some((request, stream)) = connection.accept_request().await {
                        let (proxy, told) = (proxy.clone(), told.clone());
                        tokio::spawn(async move {
                            let served = proxy.serve(request, stream).await;
                            let served = match served {
                                Served::Other(request) => {
                                    let (_, mut stream) = *request;
                                    let answer = http::Response::new(());
                                    stream.send.send_empty(answer).expect("open");
                                    return;
                                }
                                served => served,
                            };
                            let _ = told.send(served);
                        });
                    }
                });
            }
        });
        let client = Endpoint::client(local).expect("binds");
        let to_proxy = Dial::new(path(to), "localhost", Identity::localhost().client_arc());
        let connecting = client.connect_carrier(to_proxy);
        let connection = connecting.expect("begins").await.expect("connects");
        let origin = format!("https://localhost:{}/", to.port());
        Self {
            proxy,
            connection,
            served,
            origin: origin.parse().expect("a URI"),
            _client: client,
        }
    }

    pub(crate) fn open(&self, dialect: Dialect, target: &Target) -> OpenTunnel {
        let template = Template::default_for(dialect.kind(), &self.origin);
        OpenTunnel::new(dialect, target.clone(), template)
    }

    pub(crate) async fn udp(&self, to: SocketAddr) -> UdpTunnel {
        let open = self.open(Dialect::Udp, &target(to));
        let tunnel = self.connection.open_tunnel(&open).await.expect("opens");
        tunnel.into_udp().expect("for UDP")
    }

    async fn tcp(&self, dialect: Dialect, to: SocketAddr) -> TcpTunnel {
        let open = self.open(dialect, &target(to));
        let tunnel = self.connection.open_tunnel(&open).await.expect("opens");
        tunnel.into_tcp().expect("for TCP")
    }
}

pub(crate) fn target(to: SocketAddr) -> Target {
    to.to_string().parse().expect("an authority")
}

pub(crate) async fn udp_echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let to = socket.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&buffer[..len], from).await;
        }
    });
    to
}

/// Answers with all that came, once that has ended.
async fn tcp_echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let to = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                if stream.read_to_end(&mut all).await.is_ok() {
                    let _ = stream.write_all(&all).await;
                }
            });
        }
    });
    to
}

#[tokio::test]
async fn udp_payloads_of_all_sizes_go_there_and_back() {
    let mut world = World::new().await;
    let tunnel = world.udp(udp_echo().await).await;
    for len in [0, 1, 100, 1000, 1150] {
        let payload = vec![len as u8; len];
        tunnel.send(&payload).await.expect("fits");
        assert_eq!(tunnel.recv().await.expect("comes back"), payload);
    }
    drop(tunnel);
    let Some(Served::Tunnel(report)) = world.served.recv().await else {
        panic!("there was a tunnel");
    };
    assert_eq!(report.end, End::Finished);
    let traffic = report.traffic;
    assert_eq!((traffic.packets_out, traffic.packets_in), (5, 5));
    assert_eq!((traffic.bytes_out, traffic.bytes_in), (2251, 2251));
    let stats = world.proxy.gate().stats();
    assert_eq!((stats.active, stats.pending, stats.opened), (0, 0, 1));
}

#[tokio::test]
async fn tcp_goes_both_ways_and_ends_both_ways() {
    let mut world = World::new().await;
    let to = tcp_echo().await;
    for dialect in [Dialect::Tcp12, Dialect::Tcp07, Dialect::Classic] {
        let (mut send, mut recv) = world.tcp(dialect, to).await.split();
        let data: Vec<u8> = (0..4 << 20)
            .map(|at: u32| (at >> 8) as u8 ^ at as u8)
            .collect();
        let sent = data.clone();
        let sender = tokio::spawn(async move {
            send.write_all(&sent).await.expect("goes");
            send.shutdown().await.expect("ends");
            send
        });
        let mut got = Vec::new();
        recv.read_to_end(&mut got).await.expect("all of it");
        assert!(got == data, "{dialect:?}: {} bytes", got.len());
        drop(sender.await.expect("no panic"));
        let Some(Served::Tunnel(report)) = world.served.recv().await else {
            panic!("there was a tunnel");
        };
        assert_eq!((report.dialect, report.end), (dialect, End::Finished));
        assert_eq!(report.traffic.bytes_in, data.len() as u64);
    }
}

/// Row C15: a tunnel through which nothing goes ends, and one direction of TCP alone may be
/// still for less.
#[tokio::test]
async fn tunnels_end_when_nothing_goes_through_them() {
    let short = Duration::from_millis(50);
    let mut idle = ProxyOptions::default();
    idle.idle_timeout = short;
    let mut half_closed = ProxyOptions::default();
    half_closed.half_closed_timeout = short;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let to = silent.local_addr().expect("bound");
    for (options, dialect, ends) in [
        (&idle, Dialect::Udp, false),
        (&idle, Dialect::Tcp12, false),
        (&half_closed, Dialect::Tcp12, true),
    ] {
        let mut world = World::allowed(options.clone()).await;
        let open = world.open(dialect, &target(to));
        let tunnel = world.connection.open_tunnel(&open).await.expect("opens");
        let error = match tunnel {
            Tunnel::Udp(tunnel) => tunnel.recv().await.expect_err("ends"),
            Tunnel::Tcp(mut tunnel) => {
                if ends {
                    tunnel.send.finish().await.expect("ends");
                }
                tunnel.recv.recv_data().await.expect_err("is reset")
            }
            other => panic!("{other:?}"),
        };
        match dialect {
            Dialect::Udp => assert_eq!(error, TunnelError::Ended),
            _ => assert!(matches!(error, TunnelError::Reset(code) if code.wire.value() == 0x10f)),
        }
        let Some(Served::Tunnel(report)) = world.served.recv().await else {
            panic!("there was a tunnel");
        };
        assert_eq!((report.dialect, report.end), (dialect, End::Idle));
    }
}

/// `Duration::MAX` is never, as everywhere.
#[tokio::test]
async fn a_tunnel_may_be_idle_for_ever() {
    let mut options = ProxyOptions::default();
    options.idle_timeout = Duration::MAX;
    options.half_closed_timeout = Duration::MAX;
    let world = World::allowed(options).await;
    let udp = world.udp(udp_echo().await).await;
    udp.send(b"there").await.expect("goes");
    assert_eq!(udp.recv().await.expect("comes back"), &b"there"[..]);
    let mut tcp = world.tcp(Dialect::Tcp12, tcp_echo().await).await;
    tcp.write_all(b"and back").await.expect("goes");
    tcp.shutdown().await.expect("ends");
    let mut got = Vec::new();
    tcp.read_to_end(&mut got).await.expect("all of it");
    assert_eq!(got, b"and back");
}

/// Row C17: a connection that is reset is a stream that is.
#[tokio::test]
async fn a_reset_of_the_targets_is_told() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let to = listener.local_addr().expect("bound");
    let mut tunnel = world.tcp(Dialect::Tcp12, to).await;
    let (stream, _) = listener.accept().await.expect("comes");
    stream.set_zero_linger().expect("a socket");
    drop(stream);
    let error = tunnel.recv.recv_data().await.expect_err("is reset");
    let TunnelError::Reset(code) = error else {
        panic!("{error}");
    };
    assert_eq!(code.wire.value(), 0x10f);
}

/// Nothing follows FINAL_DATA, though it may have come with it.
#[tokio::test]
async fn what_follows_the_end_of_tcp_is_malformed() {
    let mut world = World::new().await;
    // It does not answer before its client has ended.
    let to = tcp_echo().await;
    let open = world.open(Dialect::Tcp12, &target(to));
    let head = open.head().expect("a head").into_http();
    let mut tunnel = world.connection.request(head).await.expect("goes");
    assert_eq!(tunnel.recv_response().await.expect("comes").status(), 200);
    let [data, last] = Dialect::Tcp12.types().expect("capsules");
    let mut both = bytes::BytesMut::new();
    for ty in [last, data] {
        // Types of four bytes, a length of one.
        both.extend((ty.0 as u32 | 0x8000_0000).to_be_bytes());
        both.extend(b"\x02so");
    }
    tunnel.send_data(both.freeze()).await.expect("goes");
    let error = tunnel.recv_data().await.expect_err("is reset");
    let aqueduct_tokio::error::ReadError::Reset(code) = error else {
        panic!("{error}");
    };
    assert_eq!(code.wire.value(), 0x10e);
    let Some(Served::Tunnel(report)) = world.served.recv().await else {
        panic!("there was a tunnel");
    };
    assert!(matches!(report.end, End::Client(_)), "{:?}", report.end);
}

#[tokio::test]
async fn what_may_not_be_reached_is_refused_with_a_reason() {
    let mut options = ProxyOptions::default();
    options.resolver = Some(Arc::new(|name: &str| {
        let found: Vec<IpAddr> = match name {
            "inside.example" => vec!["10.0.0.1".parse().expect("one")],
            _ => Vec::new(),
        };
        Box::pin(async move { Ok(found) })
    }));
    let mut world = World::with(GateConfig::default(), options).await;
    for (target, status, error) in [
        ("127.0.0.1:9", 403, "destination_ip_prohibited"),
        ("inside.example:9", 403, "destination_ip_prohibited"),
        ("nowhere.example:9", 502, "dns_error"),
    ] {
        let open = world.open(Dialect::Udp, &target.parse().expect("a target"));
        let refused = world.connection.open_tunnel(&open).await;
        let Err(OpenTunnelError::Refused(head)) = refused else {
            panic!("{target}: {refused:?}");
        };
        assert_eq!(head.status.as_u16(), status, "{target}");
        let told = aqueduct_tokio::protocol::masque::proxy_error(&head.headers);
        assert_eq!(told.as_deref(), Some(error), "{target}");
        let served = world.served.recv().await;
        assert!(matches!(served, Some(Served::Refused { .. })), "{served:?}");
    }
    assert_eq!(world.proxy.gate().stats().refused, 3);
}

/// Row C15, against RFC 9298 section 3.1, which wins: nobody listens, and the tunnel ends.
#[tokio::test]
async fn a_target_that_does_not_listen_ends_the_tunnel() {
    let mut world = World::new().await;
    let nobody = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let to = nobody.local_addr().expect("bound");
    drop(nobody);
    let tunnel = world.udp(to).await;
    tunnel.send(b"hello?").await.expect("goes");
    assert!(tunnel.recv().await.is_err());
    let Some(Served::Tunnel(report)) = world.served.recv().await else {
        panic!("there was a tunnel");
    };
    assert_eq!(
        report.end,
        End::Target(std::io::ErrorKind::ConnectionRefused)
    );
}

/// Row C15: a connected socket takes nothing from anybody else.
#[tokio::test]
async fn strangers_are_not_heard() {
    let world = World::new().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    let tunnel = world.udp(socket.local_addr().expect("bound")).await;
    tunnel.send(b"hello").await.expect("goes");
    let mut buffer = [0; 16];
    let (_, proxy) = socket.recv_from(&mut buffer).await.expect("comes");
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    stranger.send_to(b"forged", proxy).await.expect("goes");
    socket.send_to(b"answer", proxy).await.expect("goes");
    assert_eq!(tunnel.recv().await.expect("comes"), &b"answer"[..]);
    let more = tokio::time::timeout(Duration::from_millis(50), tunnel.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

/// Row C36: a GET, a session's place, and tunnels on one connection; a stalled tunnel
/// stops reading its target and nothing else.
#[tokio::test]
async fn a_stalled_tunnel_holds_nobody_up() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let to = listener.local_addr().expect("bound");
    let mut stalled = world.tcp(Dialect::Tcp12, to).await;
    let (mut target, _) = listener.accept().await.expect("comes");
    let data = vec![7; 64 << 20];
    // More than all buffers on the way hold: it cannot all be taken.
    let writing = tokio::time::timeout(Duration::from_secs(1), target.write_all(&data)).await;
    assert!(writing.is_err(), "64 MiB have gone somewhere");
    let udp = world.udp(udp_echo().await).await;
    udp.send(b"still here").await.expect("goes");
    assert_eq!(udp.recv().await.expect("comes"), &b"still here"[..]);
    let get = http::Request::get("https://localhost/").body(());
    let mut get = world
        .connection
        .request_empty(get.expect("a request"))
        .await
        .expect("goes");
    assert_eq!(get.recv_response().await.expect("comes").status(), 200);
    let first = stalled
        .recv
        .recv_data()
        .await
        .expect("there")
        .expect("some");
    assert_eq!(first[0], 7);
}

#[tokio::test]
async fn a_client_has_so_many_tunnels_and_no_more() {
    let mut options = ProxyOptions::default();
    options.max_per_client = 2;
    let world = World::allowed(options).await;
    let to = udp_echo().await;
    let first = world.udp(to).await;
    let _second = world.udp(to).await;
    let open = world.open(Dialect::Udp, &target(to));
    let third = world.connection.open_tunnel(&open).await;
    assert!(
        matches!(third, Err(OpenTunnelError::Refused(_))),
        "{third:?}"
    );
    drop(first);
    // Its end is on the way.
    for _ in 0..100 {
        if world.proxy.gate().stats().active == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.udp(to).await;
}

#[tokio::test]
async fn draining_refuses_what_is_new() {
    let mut world = World::new().await;
    let to = udp_echo().await;
    let tunnel = world.udp(to).await;
    world.proxy.gate().set_draining(true);
    let open = world.open(Dialect::Udp, &target(to));
    let late = world.connection.open_tunnel(&open).await;
    assert!(matches!(late, Err(OpenTunnelError::Refused(_))), "{late:?}");
    let served = world.served.recv().await;
    assert!(
        matches!(
            served,
            Some(Served::Refused {
                refusal: Refusal::Draining,
                ..
            })
        ),
        "{served:?}"
    );
    tunnel.send(b"on").await.expect("goes on");
    assert_eq!(tunnel.recv().await.expect("comes"), &b"on"[..]);
    world.proxy.gate().set_draining(false);
    world.udp(to).await;
}

/// QUIC in QUIC: TLS is the target's own, and the proxy sees packets alone.
#[tokio::test]
async fn http3_goes_through_a_tunnel() {
    fetch_through(World::new().await).await;
}

/// Row C12: the proxy takes no datagrams, so that the packets go in capsules.
#[tokio::test]
async fn http3_goes_through_a_tunnel_without_datagrams() {
    let policy = TargetPolicy::default().allow("127.0.0.0/8".parse().expect("a rule"));
    let (mut gate, mut http) = (GateConfig::default(), Config::default());
    (gate.policy, http.datagrams) = (policy, false);
    fetch_through(World::on(http, gate, ProxyOptions::default()).await).await;
}

pub(crate) async fn fetch_through(world: World) {
    let config = EndpointConfig::server(Identity::localhost().server().into(), Config::default());
    let local = "127.0.0.1:0".parse().expect("an address");
    let server = Endpoint::server(config.expect("suits"), local).expect("binds");
    let to = server.local_addr();
    tokio::spawn(async move {
        let connection = server.accept().await.expect("comes");
        let (_, mut stream) = connection.accept_request().await.expect("comes");
        let answer = http::Response::new(());
        stream.send_response(answer).expect("open");
        stream
            .send_data(vec![7; 3 << 20].into())
            .await
            .expect("goes");
        stream.finish().expect("open");
        let _ = connection.closed().await;
    });
    let tunnel = world.udp(to).await;
    let inner = Endpoint::through(tunnel).await.expect("carries QUIC");
    let tls = Identity::localhost().client_arc();
    let connection = inner.connect(to, "localhost", tls).expect("begins").await;
    let connection = connection.expect("shakes hands");
    let get = http::Request::get("https://localhost/").body(());
    let get = connection.request_empty(get.expect("a request")).await;
    let mut get = get.expect("goes");
    assert_eq!(get.recv_response().await.expect("comes").status(), 200);
    let body = get.read_to_end(4 << 20).await.expect("all of it");
    assert!(body.len() == 3 << 20 && body.iter().all(|byte| *byte == 7));
}
