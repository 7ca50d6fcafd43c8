//! A client and a server endpoint, joined by two links, on virtual time.
//!
//! Same options and same calls give the same trace, with two exceptions that no
//! seed reaches: TLS draws its own random bytes, and quinn draws the keys of
//! tokens and stateless resets. Neither changes the size or the time of
//! anything, only the bytes of packets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cert::Identity;
use super::link::Link;
use super::watch::{Watch, watch};
use crate::config::Config;
use crate::connection::{Command, CommandError, Reply};
use crate::endpoint::{
    Arrival, ConnectionMut, Endpoint, EndpointConfig, IncomingPolicy, QuicMut, Target,
    TransportSettings,
};
use crate::event::Event;
use crate::head::{self, RequestHead};
use crate::id::{ConnKey, StreamKey};
use crate::mix::Mix;
use crate::quic;

/// What a [`Pair`] is made with.
#[derive(Clone, Debug)]
pub struct Options {
    /// All luck follows from it.
    pub seed: u64,
    /// HTTP/3 of the client.
    pub client: Config,
    /// HTTP/3 of the server.
    pub server: Config,
    /// QUIC of both.
    pub transport: TransportSettings,
    /// Which connections the server takes.
    pub incoming: IncomingPolicy,
    /// Paths that are WebTransport's alone at the server.
    pub resources: Vec<String>,
    /// Bytes that all of the server's connections are promised, when not the default.
    pub memory: Option<usize>,
    /// TLS of the server, when not [`Identity::localhost`]'s.
    pub server_tls: Option<Arc<rustls::ServerConfig>>,
    /// TLS of the client, when not one that trusts [`Identity::localhost`].
    pub client_tls: Option<Arc<rustls::ClientConfig>>,
    /// The server takes early data. Default no.
    pub early_data: bool,
    /// Raw QUIC, that the client speaks and the server takes.
    pub quic: Option<Quic>,
    /// Let both endpoints be looked at, if anybody does. Default yes.
    pub record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            client: Config::default(),
            server: Config::default(),
            transport: TransportSettings::default(),
            incoming: IncomingPolicy::default(),
            resources: Vec::new(),
            memory: None,
            server_tls: None,
            client_tls: None,
            early_data: false,
            quic: None,
            record: true,
        }
    }
}

/// Raw QUIC of a [`Pair`].
#[derive(Clone, Debug)]
pub struct Quic {
    /// Its names in TLS.
    pub names: Vec<&'static str>,
    /// The client's.
    pub client: quic::Config,
    /// The server's.
    pub server: quic::Config,
    /// The server speaks nothing else.
    pub only: bool,
}

impl Default for Quic {
    fn default() -> Self {
        Self {
            names: vec!["chat"],
            client: quic::Config::default(),
            server: quic::Config::default(),
            only: false,
        }
    }
}

/// One end of a [`Pair`].
#[derive(Debug)]
pub struct End {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Its address.
    pub addr: SocketAddr,
    /// The way out.
    pub link: Link,
    /// Events not taken yet, oldest first.
    pub events: Vec<(ConnKey, Event)>,
    /// Datagrams per transmit that the end's socket takes.
    pub gso: usize,
    buffer: Vec<u8>,
    /// Last, so that the endpoint is gone when it is gone through.
    watched: Watched,
}

/// What is gone through at the end.
#[derive(Debug)]
struct Watched {
    watch: Option<Box<dyn Watch>>,
    seed: u64,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watch) = &mut self.watch
            && !std::thread::panicking()
        {
            watch.check(self.seed);
        }
    }
}

/// A client and a server endpoint on virtual time.
#[derive(Debug)]
pub struct Pair {
    /// The client's end.
    pub client: End,
    /// The server's end.
    pub server: End,
    /// The time at present.
    pub now: Instant,
    /// [`Self::drive`] does not wait for deadlines further off than this, so that
    /// it passes over loss recovery and not over idle timeouts. Default 4 s.
    pub patience: Duration,
    target: Target,
    epoch: Instant,
}

impl Default for Pair {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Pair {
    /// A pair without connections.
    ///
    /// # Panics
    /// When the options do not suit.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let identity = Identity::localhost();
        let mut luck = Mix(options.seed);
        let mut seed = || -> [u8; 32] { std::array::from_fn(|_| luck.next() as u8) };
        let server_tls = options
            .server_tls
            .unwrap_or_else(|| Arc::new(identity.server()));
        let client_tls = options.client_tls.unwrap_or_else(|| identity.client_arc());
        let client = EndpointConfig::client().seed(seed());
        let server = match &options.quic {
            None => EndpointConfig::server(server_tls, options.server),
            Some(raw) if raw.only => {
                EndpointConfig::quic_server(server_tls, raw.names.clone(), raw.server.clone())
            }
            Some(raw) => EndpointConfig::server(server_tls, options.server)
                .and_then(|config| config.quic(raw.names.clone(), raw.server.clone())),
        };
        let mut server = server
            .and_then(|config| config.early_data(options.early_data))
            .expect("TLS suits QUIC")
            .incoming(options.incoming)
            .resources(options.resources)
            .seed(seed());
        if let Some(bytes) = options.memory {
            server = server.memory(bytes);
        }
        let mut end = |mut config: EndpointConfig, host| {
            let mut watch = options.record.then(watch).flatten();
            if let Some(factory) = watch.as_mut().and_then(|watch| watch.endpoint()) {
                config = config.observe(factory);
            }
            End {
                endpoint: config
                    .may_fragment(false)
                    .transport(options.transport.clone())
                    .and_then(Endpoint::new)
                    .expect("settings in range"),
                addr: SocketAddr::from(([10, 0, 0, host], 4433)),
                link: Link::new(luck.next()),
                events: Vec::new(),
                gso: 10,
                buffer: Vec::new(),
                watched: Watched {
                    watch,
                    seed: options.seed,
                },
            }
        };
        let (client, server) = (end(client, 1), end(server, 2));
        let mut target = Target::new(server.addr, "localhost", client_tls).http(options.client);
        if let Some(raw) = options.quic {
            target = target.quic(raw.names, raw.client).expect("names of ALPN");
        }
        // The one reading of a clock: an `Instant` can be had in no other way, and
        // only differences to it are ever looked at.
        let now = super::epoch();
        Self {
            client,
            server,
            now,
            patience: Duration::from_secs(4),
            target,
            epoch: now,
        }
    }

    /// A pair and one connection, established, with all events of the handshake
    /// taken.
    ///
    /// # Panics
    /// When the handshake fails.
    #[must_use]
    pub fn connected(options: Options) -> (Self, ConnKey, ConnKey) {
        let mut pair = Self::new(options);
        let (client, server) = pair.establish();
        (pair, client, server)
    }

    /// Where the client connects to.
    #[must_use]
    pub fn target(&self) -> Target {
        self.target.clone()
    }

    /// Begins a connection.
    ///
    /// # Panics
    /// When the endpoint refuses.
    pub fn connect(&mut self) -> ConnKey {
        let target = self.target();
        self.client
            .endpoint
            .connect(self.now, &target)
            .expect("connects")
    }

    /// Establishes one more connection and takes the events of its handshake.
    ///
    /// # Panics
    /// When the handshake fails.
    pub fn establish(&mut self) -> (ConnKey, ConnKey) {
        let client = self.connect();
        self.drive();
        let mut server = None;
        for (key, event) in self.server.events.drain(..) {
            if matches!(event, Event::Connected { .. }) {
                server = Some(key);
            }
        }
        let mine = self.client.take(client);
        assert!(
            matches!(mine.first(), Some(Event::Connected { .. })),
            "{mine:?}"
        );
        (client, server.expect("the server is connected"))
    }

    /// The client's connection.
    ///
    /// # Panics
    /// When it is gone.
    pub fn client(&mut self, key: ConnKey) -> ConnectionMut<'_> {
        self.client
            .endpoint
            .connection(self.now, key)
            .expect("the client's connection")
    }

    /// The server's connection.
    ///
    /// # Panics
    /// When it is gone.
    pub fn server(&mut self, key: ConnKey) -> ConnectionMut<'_> {
        self.server
            .endpoint
            .connection(self.now, key)
            .expect("the server's connection")
    }

    /// The client's connection of raw QUIC.
    ///
    /// # Panics
    /// When it is gone.
    pub fn client_quic(&mut self, key: ConnKey) -> QuicMut<'_> {
        let connection = self.client.endpoint.quic(self.now, key);
        connection.expect("the client's connection")
    }

    /// The server's.
    ///
    /// # Panics
    /// When it is gone.
    pub fn server_quic(&mut self, key: ConnKey) -> QuicMut<'_> {
        let connection = self.server.endpoint.quic(self.now, key);
        connection.expect("the server's connection")
    }

    /// A request, as both ends know it. Other events of the server's are gone.
    ///
    /// # Panics
    /// When it does not begin or arrive.
    pub fn request(
        &mut self,
        [client, server]: [ConnKey; 2],
        head: &RequestHead,
        end: head::End,
    ) -> [StreamKey; 2] {
        let sent = self.client(client).access().request(head, end);
        let sent = sent.expect("begins");
        self.drive();
        let asked = |event| match event {
            Event::Request { stream, .. } => Some(stream),
            _ => None,
        };
        let told = self.server.take(server).into_iter().find_map(asked);
        [sent, told.expect("arrives")]
    }

    /// A command to the client.
    ///
    /// # Errors
    /// The command's.
    pub fn client_command(&mut self, key: ConnKey, what: Command) -> Result<Reply, CommandError> {
        self.client.endpoint.handle_command(self.now, key, what)
    }

    /// A command to the server.
    ///
    /// # Errors
    /// The command's.
    pub fn server_command(&mut self, key: ConnKey, what: Command) -> Result<Reply, CommandError> {
        self.server.endpoint.handle_command(self.now, key, what)
    }

    /// Lets everything happen until nothing is on the way and no deadline is
    /// nearer than [`Self::patience`].
    pub fn drive(&mut self) {
        while let Some(at) = self.step() {
            if !self.flying() && at.saturating_duration_since(self.now) > self.patience {
                return;
            }
            self.now = self.now.max(at);
        }
    }

    /// Lets time pass, with everything that happens in it.
    pub fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.step()
            && at <= until
        {
            self.now = self.now.max(at);
        }
        self.now = until;
        self.step();
    }

    /// Lets everything happen, deadlines included however far they are, until the
    /// condition holds or nothing can happen any more. Tells whether it holds. The
    /// condition is asked after each thing that happens, and may use both ends.
    pub fn drive_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        loop {
            self.step();
            if done(self) {
                return true;
            }
            // What the condition did to the ends counts from the present time.
            let Some(at) = self.step() else { return false };
            self.now = self.now.max(at);
        }
    }

    /// Does what can be done at the present time, and tells when the next thing
    /// happens.
    pub fn step(&mut self) -> Option<Instant> {
        self.server.receive(self.now, &mut self.client.link);
        self.client.receive(self.now, &mut self.server.link);
        let mut next = None;
        let addrs = [self.server.addr, self.client.addr];
        for (end, peer) in [&mut self.client, &mut self.server].into_iter().zip(addrs) {
            end.endpoint.handle_timeout(self.now);
            end.pump(self.now, peer);
            let deadline = end.endpoint.poll_timeout().map(|deadline| deadline.at);
            next = [next, deadline, end.link.next_arrival()]
                .into_iter()
                .flatten()
                .min();
        }
        next
    }

    /// Time since the pair was made.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// The client gets a new address, as when a NAT forgets the old one.
    pub fn rebind_client(&mut self) {
        self.client.addr.set_port(self.client.addr.port() + 1);
    }

    fn flying(&self) -> bool {
        self.client
            .link
            .next_arrival()
            .or(self.server.link.next_arrival())
            .is_some()
    }
}

impl End {
    /// What was recorded since the last call. What has been taken is not gone
    /// through at the end.
    #[must_use]
    pub fn recording(&mut self) -> String {
        let watch = self.watched.watch.as_mut();
        watch.map_or_else(String::new, |watch| watch.take())
    }

    /// Takes the events of one connection.
    pub fn take(&mut self, key: ConnKey) -> Vec<Event> {
        let mut taken = Vec::new();
        for (of, event) in std::mem::take(&mut self.events) {
            if of == key {
                taken.push(event);
            } else {
                self.events.push((of, event));
            }
        }
        taken
    }

    fn receive(&mut self, now: Instant, link: &mut Link) {
        while let Some((from, datagram)) = link.receive(now) {
            self.endpoint.handle_datagram(now, from, datagram);
        }
    }

    fn pump(&mut self, now: Instant, peer: SocketAddr) {
        while let Some(event) = self.endpoint.poll_event() {
            self.events.push(event);
        }
        while let Some(transmit) = self.endpoint.poll_transmit(now, self.gso, &mut self.buffer) {
            let contents = self.buffer.get(..transmit.size).unwrap_or(&self.buffer);
            // Nobody is at an address that a rebinding has left.
            if transmit.remote == peer {
                self.link
                    .send(now, Arrival::new(self.addr), &transmit, contents);
            }
        }
        // Sending can make events, such as room for blocked datagrams.
        while let Some(event) = self.endpoint.poll_event() {
            self.events.push(event);
        }
    }
}
