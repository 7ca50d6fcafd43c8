//! The stream traits of tokio and of the futures crates, for every half.
//!
//! Reading copies once, from QUIC's buffers to the caller's; writing copies
//! once, from the caller's buffer to what QUIC keeps until it is acknowledged.
//! The inherent methods that take and give [`bytes::Bytes`] copy nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

#[cfg(feature = "futures-io")]
use crate::half::into_buffer;
use crate::half::{RecvHalf, SendHalf};
use crate::http::{BodyReceiver, BodySender, ResponseReceiver, ResponseSender};
use crate::stream::{RecvStream, SendStream};
use crate::table::SendOver;
use crate::tunnel::{TcpReceiver, TcpSender, TcpTunnel};

/// What writes are made of. What was taken is on its way, so that there is nothing to flush.
trait Write {
    /// Sends a copy of what is taken of `data`.
    fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Ends it unless it has been ended before, as `poll_shutdown` and
    /// `poll_close` may be called again.
    fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// What reads are made of.
trait Read {
    /// Gives at most `max` bytes to `put`, and tells how many; none at the end.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        put: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>>;
}

impl Write for SendHalf {
    fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, data).map_err(Into::into)
    }

    fn close(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let over = self.half.conn.lock().stream(self.half.at).send_over;
        Poll::Ready(match over {
            Some(SendOver::Finished) => Ok(()),
            _ => self.finish().map_err(Into::into),
        })
    }
}

impl Read for RecvHalf {
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        put: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        let polled = self.poll_copy(cx, max, put);
        polled.map_ok(Option::unwrap_or_default).map_err(Into::into)
    }
}

impl Write for TcpSender {
    fn write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_copy(cx, data).map_err(Into::into)
    }

    fn close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(cx).map_err(Into::into)
    }
}

impl Read for TcpReceiver {
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        put: &mut dyn FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        if max == 0 {
            return Poll::Ready(Ok(0));
        }
        let bytes = ready!(self.poll_fill(cx, max))?.unwrap_or_default();
        put(&bytes);
        Poll::Ready(Ok(bytes.len()))
    }
}

macro_rules! halves {
    (
        send { $($send:ty => |$s:ident| $send_half:expr;)* }
        recv { $($recv:ty => |$r:ident| $recv_half:expr;)* }
    ) => {
        $(
            #[cfg(feature = "tokio")]
            impl tokio::io::AsyncWrite for $send {
                fn poll_write(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &[u8],
                ) -> Poll<io::Result<usize>> {
                    let $s = self.get_mut();
                    Write::write(&mut $send_half, cx, buf)
                }

                fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Poll::Ready(Ok(()))
                }

                fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    let $s = self.get_mut();
                    Write::close(&mut $send_half, cx)
                }
            }

            #[cfg(feature = "futures-io")]
            impl futures_io::AsyncWrite for $send {
                fn poll_write(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &[u8],
                ) -> Poll<io::Result<usize>> {
                    let $s = self.get_mut();
                    Write::write(&mut $send_half, cx, buf)
                }

                fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    Poll::Ready(Ok(()))
                }

                fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                    let $s = self.get_mut();
                    Write::close(&mut $send_half, cx)
                }
            }
        )*
        $(
            #[cfg(feature = "tokio")]
            impl tokio::io::AsyncRead for $recv {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &mut tokio::io::ReadBuf<'_>,
                ) -> Poll<io::Result<()>> {
                    let $r = self.get_mut();
                    let max = buf.remaining();
                    let put = &mut |bytes: &[u8]| buf.put_slice(bytes);
                    Read::read(&mut $recv_half, cx, max, put).map_ok(|_| ())
                }
            }

            #[cfg(feature = "futures-io")]
            impl futures_io::AsyncRead for $recv {
                fn poll_read(
                    self: Pin<&mut Self>,
                    cx: &mut Context<'_>,
                    buf: &mut [u8],
                ) -> Poll<io::Result<usize>> {
                    let $r = self.get_mut();
                    Read::read(&mut $recv_half, cx, buf.len(), &mut into_buffer(buf))
                }
            }
        )*
    };
}

halves! {
    send {
        SendStream => |it| it.0;
        BodySender => |it| it.0;
        ResponseSender => |it| it.body.0;
        TcpSender => |it| *it;
        TcpTunnel => |it| it.send;
    }
    recv {
        RecvStream => |it| it.0;
        BodyReceiver => |it| it.0;
        ResponseReceiver => |it| it.0.0;
        TcpReceiver => |it| *it;
        TcpTunnel => |it| it.recv;
    }
}
