//! What a client needs of a runtime.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use aqueduct_core::pool::HttpsRecord;

/// Work that goes on by itself.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A look-up of a name.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// A look-up of the HTTPS records of a name.
pub type ResolvingHttps = Pin<Box<dyn Future<Output = io::Result<Vec<HttpsRecord>>> + Send>>;

/// What a client needs of a runtime beside an endpoint: one task for each connection, one
/// for each upload that its answer overtakes, and names. Time comes from the driver of the
/// endpoint.
pub trait Runtime: Send + Sync + 'static {
    /// Runs a task to its end, without being waited for.
    fn spawn(&self, task: Task);

    /// The addresses of a host, a name or an address with a zone, as the system finds them.
    fn resolve(&self, host: &str, port: u16) -> Resolving;
}

/// Finds the addresses of names, in place of the system
/// ([`ClientBuilder::resolver`](super::ClientBuilder::resolver)). Closures of this shape
/// are resolvers.
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, the best ones first; their ports count for nothing. Both
    /// families at once: the client sorts them (RFC 8305 §4).
    fn resolve(&self, host: &str, port: u16) -> Resolving;

    /// The HTTPS records (RFC 9460) of a name, asked for beside the addresses:
    /// `example.com`, for port 8443 `_8443._https.example.com`, and what an alias among
    /// them leads to. The client connects to where they say, with hints for addresses, and
    /// to the origin's own place if that fails. `None` where nobody can be asked, which is
    /// the default, and that of closures.
    fn https(&self, name: &str) -> Option<ResolvingHttps> {
        let _ = name;
        None
    }
}

impl<F> Resolve for F
where
    F: Fn(&str, u16) -> Resolving + Send + Sync + 'static,
{
    fn resolve(&self, host: &str, port: u16) -> Resolving {
        self(host, port)
    }
}
