//! The client for HTTP/3 on tokio.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use aqueduct_handles::client::{Client, ClientBuilder, Resolving, Runtime, Task};

use crate::Endpoint;

/// A client for HTTP/3, with an endpoint of its own on the current runtime.
///
/// # Errors
/// `InvalidInput` when the settings contradict each other or TLS refuses what is to be
/// trusted; else as for [`Endpoint::client`].
pub fn client(builder: ClientBuilder) -> io::Result<Client> {
    // One socket for both families, where there are both.
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let endpoint = Endpoint::client(any)
        .or_else(|_| Endpoint::client(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))))?;
    endpoint.client_on(builder)
}

impl Endpoint {
    /// A client for HTTP/3 whose connections are this endpoint's. Name look-ups use the
    /// threads of the current runtime.
    ///
    /// # Errors
    /// As for [`client`], but for the socket.
    pub fn client_on(&self, builder: ClientBuilder) -> io::Result<Client> {
        let runtime = tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
        builder.build_on(self.inner.clone(), Tokio(runtime))
    }
}

struct Tokio(tokio::runtime::Handle);

impl Runtime for Tokio {
    fn spawn(&self, task: Task) {
        self.0.spawn(task);
    }

    fn resolve(&self, host: &str, port: u16) -> Resolving {
        let host = host.to_owned();
        // It finds the runtime by itself, since a task of it looks up.
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}
