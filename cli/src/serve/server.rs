//! The server's endpoint on the adapter of choice.
//!
//! The handles are the same type on all, so nothing else of the server knows
//! which one moves its packets.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use aqueduct_tokio::protocol::code::Code;
use aqueduct_tokio::protocol::endpoint::EndpointConfig;
use aqueduct_tokio::{Connection, ServerGroup};
use bytes::Bytes;

use crate::args::{Runtime, Serve};

/// An endpoint that accepts connections.
pub(super) enum Server {
    Tokio(ServerGroup),
    AsyncStd(aqueduct_async_std::Endpoint),
    Mio(aqueduct_mio::handles::Endpoint),
}

/// The same call on whichever it is.
macro_rules! each {
    ($server:expr, $endpoint:ident => $call:expr) => {
        match $server {
            Server::Tokio($endpoint) => $call,
            Server::AsyncStd($endpoint) => $call,
            Server::Mio($endpoint) => $call,
        }
    };
}

impl Server {
    pub(super) fn bind(options: &Serve, config: EndpointConfig) -> io::Result<Self> {
        let address = options.listen;
        Ok(match options.runtime {
            Runtime::Tokio => {
                let workers = options.workers.into();
                Self::Tokio(ServerGroup::bind(config, address, workers)?)
            }
            Runtime::AsyncStd => {
                let mut spawned = Ok(());
                let endpoint = aqueduct_async_std::Endpoint::server(config, address, |driver| {
                    spawned = detach("async-io", move || async_io::block_on(driver));
                })?;
                spawned?;
                Self::AsyncStd(endpoint)
            }
            Runtime::Mio => {
                let socket = UdpSocket::bind(address)?;
                let (endpoint, driver) = aqueduct_mio::handles::endpoint(config, socket)?;
                detach("mio", move || {
                    // The handles have been told.
                    if let Err(error) = driver.run() {
                        tracing::error!(%error, "the endpoint's socket failed");
                    }
                })?;
                Self::Mio(endpoint)
            }
        })
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        each!(self, endpoint => endpoint.local_addr())
    }

    pub(super) async fn accept(&self) -> Option<Connection> {
        each!(self, endpoint => endpoint.accept().await)
    }

    pub(super) fn drain(&self, limit: Duration) {
        each!(self, endpoint => endpoint.drain(limit));
    }

    pub(super) fn close(&self, code: Code, reason: impl Into<Bytes>) {
        each!(self, endpoint => endpoint.close(code, reason));
    }

    pub(super) async fn wait_idle(&self) {
        each!(self, endpoint => endpoint.wait_idle().await);
    }
}

/// A thread that ends with its work.
fn detach(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}
