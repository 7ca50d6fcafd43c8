//! What is the same for all: certificate, crypto, windows, buffers, size of packets.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use quinn_proto::{EndpointConfig, IdleTimeout, TransportConfig, VarInt};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub type Res<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Streams of each direction that may be open at once.
pub const STREAMS: u32 = 2048;
pub const STREAM_WINDOW: u32 = 2 << 20;
pub const WINDOW: u32 = 8 << 20;
pub const DATAGRAM_BUFFER: usize = 1 << 20;
/// No contestant looks for a larger one.
pub const MTU: u16 = 1452;
/// Sessions of a connection.
pub const SESSIONS: usize = 1100;
pub const IDLE: Duration = Duration::from_secs(120);
/// The server's name.
pub const NAME: &str = "localhost";

/// Where the server is, and what both know.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The server's; port 0 for a server that chooses.
    pub addr: SocketAddr,
    dir: PathBuf,
}

impl Setup {
    pub fn new(addr: SocketAddr, dir: &Path) -> Self {
        Self {
            addr,
            dir: dir.to_owned(),
        }
    }

    /// Writes a certificate for all that use this folder.
    pub fn prepare(dir: &Path) -> Res<()> {
        let key = rcgen::KeyPair::generate()?;
        let cert = rcgen::CertificateParams::new([NAME.to_owned(), "127.0.0.1".to_owned()])?
            .self_signed(&key)?;
        std::fs::write(dir.join("cert.der"), cert.der())?;
        std::fs::write(dir.join("key.der"), key.serialize_der())?;
        std::fs::write(dir.join("cert.pem"), cert.pem())?;
        std::fs::write(dir.join("key.pem"), key.serialize_pem())?;
        Ok(())
    }

    /// The path of one of the files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn certificate(&self) -> io::Result<CertificateDer<'static>> {
        Ok(std::fs::read(self.file("cert.der"))?.into())
    }

    pub fn server_tls(&self, alpn: &[u8]) -> Res<Arc<ServerConfig>> {
        let key = PrivatePkcs8KeyDer::from(std::fs::read(self.file("key.der"))?);
        let builder = ServerConfig::builder_with_provider(provider());
        let mut tls = builder
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate()?], PrivateKeyDer::from(key))?;
        tls.alpn_protocols = vec![alpn.to_vec()];
        Ok(Arc::new(tls))
    }

    pub fn client_tls(&self, alpn: &[u8]) -> Res<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()?)?;
        let builder = ClientConfig::builder_with_provider(provider());
        let mut tls = builder
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.to_vec()];
        // Handshakes are whole ones.
        tls.resumption = Resumption::disabled();
        Ok(Arc::new(tls))
    }

    /// Where an answer of such a size is.
    pub fn uri(&self, size: usize) -> Uri {
        let uri = format!("https://{NAME}:{}/{size}", self.addr.port());
        uri.parse().expect("a URI")
    }
}

/// The size that a path asks for.
pub fn size_of_path(path: &str) -> usize {
    path.trim_start_matches('/').parse().unwrap_or(0)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The settings of those that stand on quinn-proto.
pub fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS.into())
        .max_concurrent_uni_streams(STREAMS.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(WINDOW.into())
        .send_window(WINDOW.into())
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .initial_mtu(MTU)
        .mtu_discovery_config(None)
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(
            IDLE.as_millis() as u32
        ))));
    Arc::new(transport)
}

/// The same for quinn's endpoints.
pub fn endpoint() -> EndpointConfig {
    EndpointConfig::default()
}

pub fn quic_server(setup: &Setup, alpn: &[u8]) -> Res<quinn_proto::ServerConfig> {
    let tls = quinn_proto::crypto::rustls::QuicServerConfig::try_from(setup.server_tls(alpn)?)?;
    let mut config = quinn_proto::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport());
    Ok(config)
}

pub fn quic_client(setup: &Setup, alpn: &[u8]) -> Res<quinn_proto::ClientConfig> {
    let tls = quinn_proto::crypto::rustls::QuicClientConfig::try_from(setup.client_tls(alpn)?)?;
    let mut config = quinn_proto::ClientConfig::new(Arc::new(tls));
    config.transport_config(transport());
    Ok(config)
}
