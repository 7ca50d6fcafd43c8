//! `--tcp`: local connections, a tunnel for each.

use std::future::Future;
use std::time::Duration;

use aqueduct_tokio::proxy::{Target, TcpTunnel, TunnelError};
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::upstream::Upstream;

/// Connections at once.
const MOST: usize = 1024;
/// How long to wait when none can be accepted, as when there are no descriptors.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;

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
                    reset(&stream);
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

/// Ends it by a reset when it is dropped.
pub(super) fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// Moves bytes until both directions have ended, each by itself; what breaks off is a reset at the
/// other side.
pub(super) async fn relay(tunnel: TcpTunnel, mut stream: TcpStream) {
    let (mut send, mut recv) = tunnel.split();
    let ended = {
        let (mut from, mut to) = stream.split();
        let out = async {
            let mut buffer = BytesMut::new();
            loop {
                buffer.reserve(CHUNK);
                if from.read_buf(&mut buffer).await.map_err(Broken::Local)? == 0 {
                    return send.finish().await.map_err(Broken::Tunnel);
                }
                let data = buffer.split().freeze();
                send.send_data(data).await.map_err(Broken::Tunnel)?;
            }
        };
        let into = async {
            while let Some(data) = recv.recv_data().await.map_err(Broken::Tunnel)? {
                to.write_all(&data).await.map_err(Broken::Local)?;
            }
            to.shutdown().await.map_err(Broken::Local)
        };
        tokio::try_join!(out, into)
    };
    if let Err(broken) = ended {
        tracing::debug!(%broken, "a connection has broken off");
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
        // A stream that was reset is a connection that is reset, and the other way round.
        match &broken {
            Broken::Tunnel(error) => send.abort_for(error),
            Broken::Local(_) => send.abort(),
        }
        recv.abort();
        reset(&stream);
    }
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("here: {0}")]
    Local(std::io::Error),
    #[error("in the tunnel: {0}")]
    Tunnel(TunnelError),
}
