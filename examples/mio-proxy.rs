//! A proxy for UDP (MASQUE, RFC 9298) in one thread and one `mio::Poll`, which has the
//! sockets of its tunnels beside the port of its clients.
//!
//! ```text
//! cargo run -p aqueduct-examples --bin mio-proxy -- 127.0.0.1:4433 cert.der
//! cargo run -p aqueduct-tokio --features proxy --example udp-tunnel -- 127.0.0.1:4433 cert.der
//! ```
//!
//! Targets are addresses: a name would have to be looked up without waiting. Loopback is
//! allowed, since this is an example.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::time::{Instant, SystemTime};

use aqueduct_mio::protocol::config::Config;
use aqueduct_mio::protocol::connection;
use aqueduct_mio::protocol::endpoint::tls::{self, Identity};
use aqueduct_mio::protocol::endpoint::{EndpointConfig, QuinnTransport};
use aqueduct_mio::protocol::event::Event;
use aqueduct_mio::protocol::head::{End, ResponseHead};
use aqueduct_mio::protocol::id::ConnKey;
use aqueduct_mio::protocol::masque::{
    Refusal, TargetPolicy, TunnelEvent, TunnelKey, TunnelRequest, Tunnels, TunnelsConfig,
};
use aqueduct_mio::{App, PortKey, Ports, run};
use http::StatusCode;
use mio::net::UdpSocket;
use mio::{Interest, Poll, Registry, Token};

type Access<'a> = connection::Access<'a, QuinnTransport<'a>>;
/// A connection of the port.
type Peer = (PortKey, ConnKey);
type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// The port has those below: one to be woken by, and one for its socket.
const SOCKETS: usize = 2;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let addr: SocketAddr = args.next().as_deref().unwrap_or("127.0.0.1:4433").parse()?;
    let file = args.next().unwrap_or_else(|| "cert.der".into());
    let identity = Identity::self_signed(["localhost", "127.0.0.1"], SystemTime::now())?;
    std::fs::write(&file, &identity.chain[0])?;
    let tls = tls::server_config(identity.chain, identity.key)?;
    let mut poll = Poll::new()?;
    let mut ports = Ports::new(poll.registry(), 0..SOCKETS)?;
    let config = EndpointConfig::server(tls.into(), Config::default())?;
    let port = ports.bind(config, addr)?;
    println!(
        "https://{} with the certificate in {file}",
        ports.local_addr(port)?
    );
    let mut config = TunnelsConfig::default();
    (config.gate.tcp, config.gate.classic) = (None, false);
    config.gate.policy = TargetPolicy::default().allow("127.0.0.0/8".parse()?);
    let mut proxy = Proxy {
        config,
        registry: poll.registry().try_clone()?,
        clients: BTreeMap::new(),
        sockets: BTreeMap::new(),
        tokens: BTreeMap::new(),
        next: SOCKETS,
    };
    Ok(run(&mut poll, &mut ports, &mut proxy)?)
}

struct Proxy {
    config: TunnelsConfig,
    registry: Registry,
    clients: BTreeMap<Peer, Tunnels>,
    sockets: BTreeMap<(Peer, TunnelKey), (Token, UdpSocket)>,
    /// Whose socket a token is.
    tokens: BTreeMap<Token, (Peer, TunnelKey)>,
    next: usize,
}

impl App for Proxy {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, key: ConnKey, event: Event) {
        let peer = (port, key);
        let tunnels = || Tunnels::new(self.config.clone());
        let mut client = self.clients.remove(&peer).unwrap_or_else(tunnels);
        let Some(mut connection) = ports.connection(port, key) else {
            return;
        };
        let here = connection.info().local_ip();
        let mut access = connection.access();
        let other = client.handle_event(&mut access, Instant::now(), event);
        self.serve(&mut client, &mut access, peer, here);
        match other {
            // The end of it; its tunnels have been told.
            Some(Event::Closed(_)) => return,
            Some(Event::Request { stream, .. }) => {
                let nothing = ResponseHead::new(StatusCode::NOT_FOUND);
                access.respond(stream, &nothing, End::Fin).ok();
            }
            _ => {}
        }
        self.clients.insert(peer, client);
    }

    /// A target has said something.
    fn on_source(&mut self, ports: &mut Ports, event: &mio::event::Event) {
        let Some((peer, tunnel)) = self.tokens.get(&event.token()).copied() else {
            return;
        };
        self.with(ports, peer, |this, client, access| {
            let Some((_, socket)) = this.sockets.get(&(peer, tunnel)) else {
                return;
            };
            let mut buffer = [0; 1 << 16];
            loop {
                match socket.recv(&mut buffer) {
                    // A payload that does not fit is lost, as on any path.
                    Ok(len) => _ = client.send(access, Instant::now(), tunnel, &buffer[..len]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    // Nobody listens there.
                    Err(_) => break,
                }
            }
            client.close(access, Instant::now(), tunnel);
            this.close(peer, tunnel);
        });
    }

    fn deadline(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let due = self.clients.values_mut();
        due.filter_map(|client| client.poll_timeout(now))
            .map(|due| due.at)
            .min()
    }

    fn on_timeout(&mut self, ports: &mut Ports) {
        for peer in self.clients.keys().copied().collect::<Vec<_>>() {
            self.with(ports, peer, |_, client, access| {
                client.handle_timeout(access, Instant::now());
            });
        }
    }
}

impl Proxy {
    /// Works with a client's tunnels, and does what they then ask for.
    fn with(
        &mut self,
        ports: &mut Ports,
        peer: Peer,
        work: impl FnOnce(&mut Self, &mut Tunnels, &mut Access<'_>),
    ) {
        let Some(mut client) = self.clients.remove(&peer) else {
            return;
        };
        if let Some(mut connection) = ports.connection(peer.0, peer.1) {
            let here = connection.info().local_ip();
            let mut access = connection.access();
            work(self, &mut client, &mut access);
            self.serve(&mut client, &mut access, peer, here);
        }
        self.clients.insert(peer, client);
    }

    fn serve(
        &mut self,
        client: &mut Tunnels,
        access: &mut Access<'_>,
        peer: Peer,
        here: Option<IpAddr>,
    ) {
        while let Some((tunnel, event)) = client.poll_event() {
            let now = Instant::now();
            match event {
                TunnelEvent::Requested(request) => {
                    let reached = self.reach(client, peer, tunnel, &request, here);
                    // The client may have given it up.
                    match reached {
                        Ok(to) => client.accept(access, now, tunnel, Some(to)).ok(),
                        Err(refusal) => client.refuse(access, now, tunnel, &refusal).ok(),
                    };
                }
                TunnelEvent::Datagrams => {
                    while let Some(payload) = client.recv(access, now, tunnel) {
                        if let Some((_, socket)) = self.sockets.get(&(peer, tunnel)) {
                            // What the system does not take is lost.
                            socket.send(&payload).ok();
                        }
                    }
                }
                TunnelEvent::Closed(_) => self.close(peer, tunnel),
                _ => {}
            }
        }
    }

    /// A socket that is connected to the target, and heard by the loop.
    fn reach(
        &mut self,
        client: &Tunnels,
        peer: Peer,
        tunnel: TunnelKey,
        request: &TunnelRequest,
        here: Option<IpAddr>,
    ) -> Result<SocketAddr, Refusal> {
        let target = &request.target;
        let nameless = Refusal::ResolutionFailed { rcode: None };
        let ip = target.host.ip().ok_or(nameless)?;
        // What can be bound is this host's own.
        let own = std::net::UdpSocket::bind((ip, 0)).map(|_| ip);
        client.gate().check_address(target, ip, own.ok().or(here))?;
        let to = SocketAddr::new(ip, target.port.get());
        let any: &str = if ip.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let token = Token(self.next);
        let connect = || {
            let mut socket = UdpSocket::bind(any.parse().map_err(std::io::Error::other)?)?;
            socket.connect(to)?;
            self.registry
                .register(&mut socket, token, Interest::READABLE)?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket = connect().map_err(|_| Refusal::Unroutable)?;
        self.next += 1;
        self.tokens.insert(token, (peer, tunnel));
        self.sockets.insert((peer, tunnel), (token, socket));
        Ok(to)
    }

    fn close(&mut self, peer: Peer, tunnel: TunnelKey) {
        if let Some((token, mut socket)) = self.sockets.remove(&(peer, tunnel)) {
            self.registry.deregister(&mut socket).ok();
            self.tokens.remove(&token);
        }
    }
}
