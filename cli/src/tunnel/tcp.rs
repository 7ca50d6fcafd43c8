//! `--tcp`: local connections, a tunnel for each.

use std::future::Future;
use std::time::Duration;

use aqueduct_tokio::proxy::{End, Target, TcpTunnel, relay_tcp};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::upstream::Upstream;

/// Connections at once.
const MOST: usize = 1024;
/// How long to wait when none can be accepted, as when there are no descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Carries connections for ever.
pub(super) async fn run(listener: TcpListener, target: &Target, upstream: &Upstream) {
    accept(listener, |stream| {
        let (upstream, target) = (upstream.clone(), target.clone());
        async move {
            match upstream.tcp(&target).await {
                Ok(tunnel) => relay(tunnel, stream).await,
                Err(failure) => {
                    upstream.tell(&failure);
                    // That is how no connection looks from here.
                    let _ = stream.set_zero_linger();
                }
            }
        }
    })
    .await;
}

/// Has each connection served in a task of its own, for ever. So many at once; others wait.
pub(super) async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = std::sync::Arc::new(Semaphore::new(MOST));
    loop {
        // It is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let served = serve(stream);
                tokio::spawn(async move {
                    served.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Moves bytes until both directions have ended, each by itself; what breaks off is a reset at the
/// other side.
pub(super) async fn relay(tunnel: TcpTunnel, stream: TcpStream) {
    let (_, end) = relay_tcp(tunnel, stream).await;
    match end {
        End::Finished => {}
        End::Target(error) => tracing::debug!("a connection has broken off here: {error}"),
        end => tracing::debug!("a connection has broken off in the tunnel: {end}"),
    }
}
