//! The stream traits of tokio and of the futures crates, for every half.
//!
//! Reading copies once, from QUIC's buffers to the caller's; writing copies
//! once, from the caller's buffer to what QUIC keeps until it is acknowledged.
//! The inherent methods that take and give [`bytes::Bytes`] copy nothing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(feature = "tokio")]
use crate::half::RecvHalf;
use crate::half::SendHalf;
use crate::http::{BodyReceiver, BodySender, ResponseReceiver, ResponseSender};
use crate::stream::{RecvStream, SendStream};
use crate::table::SendOver;

/// Ends a half unless it has been ended before, as `poll_shutdown` and
/// `poll_close` may be called again.
fn close(half: &mut SendHalf) -> io::Result<()> {
    let over = half.half.conn.lock().stream(half.half.at).send_over;
    if over == Some(SendOver::Finished) {
        Ok(())
    } else {
        Ok(half.finish()?)
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
                    $send_half.poll_write(cx, buf).map_err(Into::into)
                }

                fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    // What was taken is on its way.
                    Poll::Ready(Ok(()))
                }

                fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    let $s = self.get_mut();
                    Poll::Ready(close(&mut $send_half))
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
                    $send_half.poll_write(cx, buf).map_err(Into::into)
                }

                fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    // What was taken is on its way.
                    Poll::Ready(Ok(()))
                }

                fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                    let $s = self.get_mut();
                    Poll::Ready(close(&mut $send_half))
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
                    let half: &mut RecvHalf = &mut $recv_half;
                    half.poll_copy(cx, buf.remaining(), &mut |bytes| buf.put_slice(bytes))
                        .map_ok(|_| ())
                        .map_err(Into::into)
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
                    $recv_half.poll_read(cx, buf).map_ok(Option::unwrap_or_default).map_err(Into::into)
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
    }
    recv {
        RecvStream => |it| it.0;
        BodyReceiver => |it| it.0;
        ResponseReceiver => |it| it.0.0;
    }
}
