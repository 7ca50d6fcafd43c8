//! A UDP socket and the connections on it: the smallest loop around quinn-proto that
//! attacks.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use quinn_proto::crypto::rustls::QuicClientConfig;
use quinn_proto::{
    ClientConfig, DatagramEvent, Endpoint, EndpointConfig, IdleTimeout, TransportConfig, VarInt,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, SignatureScheme};

use crate::conn::Conn;

/// How connections are made from here on.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Read what the server sends.
    pub read: bool,
    /// Open the critical streams with ordinary SETTINGS.
    pub greet: bool,
    /// Bytes the server may send on one stream before they are read.
    pub stream_window: u32,
    /// Silence after which a PING is sent.
    pub keep_alive: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            read: true,
            greet: true,
            stream_window: 1 << 20,
            keep_alive: None,
        }
    }
}

/// A socket with connections to one server.
#[derive(Debug)]
pub struct Net {
    /// How connections are made from here on.
    pub options: Options,
    /// The connections, by number.
    pub conns: BTreeMap<usize, Conn>,
    /// UDP payload bytes sent.
    pub sent: u64,
    /// Operations of connections that are over.
    pub past_ops: u64,
    /// Streams that the server reset or stopped, on connections that are over.
    pub past_cut: u64,
    /// How connections ended, and how many of each.
    pub ends: BTreeMap<String, u64>,
    /// Connections that were closed here stay, to say so again to whoever did not hear it.
    pub linger: bool,
    server: SocketAddr,
    local: IpAddr,
    socket: UdpSocket,
    endpoint: Endpoint,
    config: ClientConfig,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
}

impl Net {
    /// A socket at `local` for connections to `server`.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub fn new(server: SocketAddr, local: IpAddr) -> io::Result<Self> {
        Ok(Self {
            options: Options::default(),
            conns: BTreeMap::new(),
            sent: 0,
            past_ops: 0,
            past_cut: 0,
            ends: BTreeMap::new(),
            linger: false,
            server,
            local,
            socket: bind(local)?,
            endpoint: Endpoint::new(Arc::new(EndpointConfig::default()), None, true, None),
            config: ClientConfig::new(crypto()),
            incoming: vec![0; 65_536],
            outgoing: Vec::new(),
        })
    }

    /// Begins a connection and gives its number.
    ///
    /// # Panics
    /// When quinn-proto takes no configuration: a mistake here.
    pub fn connect(&mut self) -> usize {
        let options = self.options;
        let mut transport = TransportConfig::default();
        transport
            .max_idle_timeout(IdleTimeout::try_from(Duration::from_secs(120)).ok())
            .stream_receive_window(options.stream_window.into())
            .receive_window(VarInt::from_u32(16 << 20))
            .send_window(256 << 10)
            .keep_alive_interval(options.keep_alive)
            .datagram_send_buffer_size(64 << 10)
            .initial_rtt(Duration::from_millis(20));
        let mut config = self.config.clone();
        config.transport_config(Arc::new(transport));
        let (handle, quic) = self
            .endpoint
            .connect(Instant::now(), config, self.server, "localhost")
            .expect("a configuration that is valid");
        let conn = Conn::new(quic, handle, options.read, options.greet);
        self.conns.insert(handle.0, conn);
        handle.0
    }

    /// Sends bytes that are no QUIC packet of ours.
    pub fn raw(&mut self, bytes: &[u8]) {
        // A full socket buffer loses them, as a network would.
        let _ = self.socket.send_to(bytes, self.server);
        self.sent += bytes.len() as u64;
    }

    /// Goes on from another port: every connection migrates.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub fn rebind(&mut self) -> io::Result<()> {
        self.socket = bind(self.local)?;
        for conn in self.conns.values_mut() {
            conn.quic.local_address_changed();
        }
        Ok(())
    }

    /// Takes what has come, sends what is to go; false if that was nothing.
    pub fn turn(&mut self) -> bool {
        let mut busy = self.receive();
        let now = Instant::now();
        let mut over = Vec::new();
        for (number, conn) in &mut self.conns {
            if conn.quic.poll_timeout().is_some_and(|due| due <= now) {
                conn.quic.handle_timeout(now);
            }
            while let Some(event) = conn.quic.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(conn.handle, event) {
                    conn.quic.handle_event(event);
                }
            }
            while let Some(event) = conn.quic.poll() {
                conn.on(event);
            }
            conn.flush();
            for _ in 0..64 {
                self.outgoing.clear();
                let Some(transmit) = conn.quic.poll_transmit(now, 1, &mut self.outgoing) else {
                    break;
                };
                busy = true;
                self.sent += transmit.size as u64;
                // What does not go out is lost, and QUIC sends it again.
                let _ = self
                    .socket
                    .send_to(&self.outgoing[..transmit.size], transmit.destination);
            }
            if !self.linger && conn.end.is_none() && conn.quic.is_closed() {
                conn.end = Some("left".into());
            }
            if conn.end.is_some() {
                over.push(*number);
            }
        }
        for number in over {
            self.forget(number);
        }
        busy
    }

    /// Forgets a connection without a word to the server.
    pub fn forget(&mut self, number: usize) {
        if let Some(mut conn) = self.conns.remove(&number) {
            self.past_ops += conn.ops;
            self.past_cut += conn.cut;
            if conn.end.is_some() {
                let drained = quinn_proto::EndpointEvent::drained();
                self.endpoint.handle_event(conn.handle, drained);
            }
            let end = conn.end.take().unwrap_or_else(|| "open".into());
            *self.ends.entry(end).or_default() += 1;
        }
    }

    /// Operations of all connections so far.
    #[must_use]
    pub fn ops(&self) -> u64 {
        self.past_ops + self.conns.values().map(|conn| conn.ops).sum::<u64>()
    }

    fn receive(&mut self) -> bool {
        let now = Instant::now();
        for turn in 0..256 {
            let Ok((len, from)) = self.socket.recv_from(&mut self.incoming) else {
                return turn > 0;
            };
            let data = BytesMut::from(&self.incoming[..len]);
            self.outgoing.clear();
            let event = self
                .endpoint
                .handle(now, from, None, None, data, &mut self.outgoing);
            match event {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(conn) = self.conns.get_mut(&handle.0) {
                        conn.quic.handle_event(event);
                    }
                }
                Some(DatagramEvent::Response(transmit)) => {
                    let _ = self
                        .socket
                        .send_to(&self.outgoing[..transmit.size], transmit.destination);
                }
                _ => {}
            }
        }
        true
    }
}

fn bind(local: IpAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((local, 0))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn crypto() -> Arc<QuicClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("ring has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h3".to_vec()];
    Arc::new(QuicClientConfig::try_from(tls).expect("ring has QUIC's first cipher suite"))
}

/// An attacker takes any certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
