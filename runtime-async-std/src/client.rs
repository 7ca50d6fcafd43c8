//! The client for HTTP/3 on smol and async-std.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use aqueduct_handles::client::{Client, ClientBuilder, Resolving, Runtime, Task};

use crate::{Driver, Endpoint};

/// A client for HTTP/3, with an endpoint of its own. `spawn` is given the endpoint's
/// driver and, for each connection and each upload that its answer overtakes, a task.
///
/// # Errors
/// `InvalidInput` when the settings contradict each other or TLS refuses what is to be
/// trusted; else as for [`Endpoint::client`].
pub fn client(
    builder: ClientBuilder,
    spawn: impl Fn(Driver) + Send + Sync + 'static,
) -> io::Result<Client> {
    // One socket for both families, where there are both.
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let endpoint = Endpoint::client(any, &spawn)
        .or_else(|_| Endpoint::client(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)), &spawn))?;
    endpoint.client_on(builder, spawn)
}

impl Endpoint {
    /// A client for HTTP/3 whose connections are this endpoint's. Names are looked up on
    /// threads of the `blocking` crate.
    ///
    /// # Errors
    /// As for [`client`], but for the socket.
    pub fn client_on(
        &self,
        builder: ClientBuilder,
        spawn: impl Fn(Driver) + Send + Sync + 'static,
    ) -> io::Result<Client> {
        builder.build_on(self.inner.clone(), Spawner(spawn))
    }
}

struct Spawner<S>(S);

impl<S> Runtime for Spawner<S>
where
    S: Fn(Driver) + Send + Sync + 'static,
{
    fn spawn(&self, task: Task) {
        (self.0)(task);
    }

    fn resolve(&self, host: &str, port: u16) -> Resolving {
        let host = host.to_owned();
        Box::pin(blocking::unblock(move || {
            Ok((host, port).to_socket_addrs()?.collect())
        }))
    }
}
