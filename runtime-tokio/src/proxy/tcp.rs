//! A tunnel for TCP and a connection: bytes back and forth, each direction by itself.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aqueduct_handles::bytes::BytesMut;
use aqueduct_handles::tunnel::{TcpReceiver, TcpSender, TcpTunnel};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::Instant;

use super::{End, Traffic, later};

/// Bytes that are read from the target at a time.
const CHUNK: usize = 64 * 1024;

/// How long nothing may move: in both directions, and in the one that is left.
#[derive(Copy, Clone)]
pub(super) struct Patience {
    pub(super) idle: Duration,
    pub(super) half_closed: Duration,
}

/// What both directions note for who watches.
struct Watch {
    began: Instant,
    /// Milliseconds after `began` at which something last moved.
    moved: AtomicU64,
    half_closed: AtomicBool,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
}

impl Watch {
    fn moved(&self, count: &AtomicU64, bytes: usize) {
        count.fetch_add(bytes as u64, Ordering::Relaxed);
        self.touch();
    }

    fn touch(&self) {
        let at = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(at, Ordering::Relaxed);
    }

    /// Waits until nothing has moved for too long.
    async fn idle(&self, patience: Patience) {
        loop {
            let limit = match self.half_closed.load(Ordering::Relaxed) {
                true => patience.half_closed.min(patience.idle),
                false => patience.idle,
            };
            let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
            let at = later(self.began + moved, limit);
            if at <= Instant::now() {
                return;
            }
            // A direction that ends shortens the wait, so it is looked at now and then.
            let look = later(Instant::now(), patience.half_closed);
            tokio::time::sleep_until(at.min(look)).await;
        }
    }
}

/// Moves bytes between a tunnel and a connection until both directions have ended, each by
/// itself, or one side breaks off, which is a reset at the other; however long nothing comes.
/// For the client's end as well: the connection is the one that was accepted there, and
/// [`End::Target`] tells of that. Dropping the future resets the tunnel.
pub async fn relay_tcp(tunnel: TcpTunnel, stream: TcpStream) -> (Traffic, End) {
    let patience = Patience {
        idle: Duration::MAX,
        half_closed: Duration::MAX,
    };
    relay(tunnel, stream, patience).await
}

/// As [`relay_tcp`], while something moves.
pub(super) async fn relay(
    tunnel: TcpTunnel,
    mut stream: TcpStream,
    patience: Patience,
) -> (Traffic, End) {
    let watch = Watch {
        began: Instant::now(),
        moved: AtomicU64::new(0),
        half_closed: AtomicBool::new(false),
        bytes_out: AtomicU64::new(0),
        bytes_in: AtomicU64::new(0),
    };
    let (mut send, mut recv) = tunnel.split();
    let end = {
        let (mut from, mut to) = stream.split();
        let both = async {
            tokio::try_join!(
                to_target(&mut recv, &mut to, &watch),
                from_target(&mut from, &mut send, &watch),
            )
        };
        tokio::select! {
            ended = both => ended.map_or_else(|end| end, |_| End::Finished),
            () = watch.idle(patience) => End::Idle,
        }
    };
    if end != End::Finished {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
        // A stream that was reset, or ends too soon, is a connection that is reset, and
        // the other way round.
        match &end {
            End::Client(error) => send.abort_for(error),
            _ => send.abort(),
        }
        recv.abort();
        let _ = stream.set_zero_linger();
    }
    let traffic = Traffic {
        bytes_out: watch.bytes_out.load(Ordering::Relaxed),
        bytes_in: watch.bytes_in.load(Ordering::Relaxed),
        ..Traffic::default()
    };
    (traffic, end)
}

/// Bytes of the client's, as the target takes them.
async fn to_target(
    recv: &mut TcpReceiver,
    to: &mut WriteHalf<'_>,
    watch: &Watch,
) -> Result<(), End> {
    loop {
        match recv.recv_data().await {
            Ok(Some(data)) => {
                to.write_all(&data).await.map_err(|error| target(&error))?;
                watch.moved(&watch.bytes_out, data.len());
            }
            Ok(None) => break,
            Err(error) => return Err(End::Client(error)),
        }
    }
    to.shutdown().await.map_err(|error| target(&error))?;
    watch.half_closed.store(true, Ordering::Relaxed);
    watch.touch();
    Ok(())
}

/// Bytes of the target's, as the tunnel takes them: while it takes none, none are read.
async fn from_target(
    from: &mut ReadHalf<'_>,
    send: &mut TcpSender,
    watch: &Watch,
) -> Result<(), End> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        let read = from.read_buf(&mut buffer).await;
        if read.map_err(|error| target(&error))? == 0 {
            break;
        }
        let data = buffer.split().freeze();
        let len = data.len();
        send.send_data(data).await.map_err(End::Client)?;
        watch.moved(&watch.bytes_in, len);
    }
    send.finish().await.map_err(End::Client)?;
    watch.half_closed.store(true, Ordering::Relaxed);
    watch.touch();
    Ok(())
}

fn target(error: &io::Error) -> End {
    End::Target(error.kind())
}
