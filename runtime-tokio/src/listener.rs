//! A server that is locked, reloaded, and moved to another port while it serves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aqueduct_handles::protocol::code::Code;
use aqueduct_handles::protocol::endpoint::{ConfigError, EndpointConfig};
use aqueduct_handles::tls::rustls::ServerConfig;

use crate::Endpoint;

/// What accepts connections at one address, and keeps what it was made with, so that it can go
/// on at another. Dropping it is [`Stop::LetLive`].
#[derive(Debug)]
pub struct Listener {
    config: EndpointConfig,
    /// What has replaced the configuration's.
    tls: Option<Arc<ServerConfig>>,
    endpoint: Endpoint,
}

/// What becomes of connections when their listener stops. The port is free once the last of
/// them is over, and nobody has a clone of their [`Endpoint`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Stop {
    /// They live on.
    LetLive,
    /// They are wound down, as by [`Endpoint::drain`], within this time.
    Drain(Duration),
    /// They are closed at once.
    Close(Code),
}

impl Listener {
    /// Accepts at `addr`, of IPv4 or IPv6; port 0 lets the system choose.
    ///
    /// # Errors
    /// As for [`Endpoint::server`]; of the kind [`AddrInUse`](io::ErrorKind::AddrInUse), that
    /// somebody else is there.
    pub fn bind(config: EndpointConfig, addr: SocketAddr) -> io::Result<Self> {
        let endpoint = Endpoint::server(config.clone(), addr)?;
        Ok(Self {
            config,
            tls: None,
            endpoint,
        })
    }

    /// The endpoint at present: who accepts does so here.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where it accepts.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }

    /// Refuses new connections (CONNECTION_REFUSED); those that exist are not touched.
    pub fn lock(&self) {
        self.endpoint.set_accepting(false);
    }

    /// Takes them again.
    pub fn unlock(&self) {
        self.endpoint.set_accepting(true);
    }

    /// Takes another TLS configuration, such as one with a renewed certificate, for the
    /// connections that are accepted from here on: see [`Endpoint::set_server_tls`].
    ///
    /// # Errors
    /// [`ConfigError`], and nothing is replaced.
    pub fn reload(&mut self, tls: Arc<ServerConfig>) -> Result<(), ConfigError> {
        self.endpoint.set_server_tls(Arc::clone(&tls))?;
        self.tls = Some(tls);
        Ok(())
    }

    /// Goes on at another address, with the configuration that it has at present, unlocked;
    /// what it has accepted where it was stops as `stop` says.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind), and it goes on where it was.
    pub fn restart(&mut self, addr: SocketAddr, stop: Stop) -> io::Result<()> {
        let next = Endpoint::server(self.config.clone(), addr)?;
        if let Some(tls) = &self.tls {
            next.set_server_tls(Arc::clone(tls))
                .map_err(io::Error::other)?;
        }
        let before = std::mem::replace(&mut self.endpoint, next);
        end(&before, stop);
        Ok(())
    }

    /// Accepts no more.
    pub fn stop(self, stop: Stop) {
        end(&self.endpoint, stop);
    }
}

fn end(endpoint: &Endpoint, stop: Stop) {
    match stop {
        Stop::LetLive => endpoint.set_accepting(false),
        Stop::Drain(limit) => endpoint.drain(limit),
        Stop::Close(code) => endpoint.close(code, ""),
    }
}
