//! The traits, written once for all releases.

/// Errors and figures, which async and poll share.
macro_rules! common {
    ($traits:ident) => {
        use std::time::Duration;

        use $crate::error::{DatagramError, OpenStreamError, ReadError, WriteError};
        use $crate::web_transport::{Error, Stats, clean};

        impl $traits::Error for Error {
            fn session_error(&self) -> Option<(u32, String)> {
                match self {
                    Self::Closed(close)
                    | Self::Open(OpenStreamError::Session(close))
                    | Self::Datagram(DatagramError::Session(close)) => clean(close),
                    _ => None,
                }
            }
        }

        impl $traits::Error for WriteError {
            fn session_error(&self) -> Option<(u32, String)> {
                match self {
                    Self::Session(close) => clean(close),
                    _ => None,
                }
            }

            fn stream_error(&self) -> Option<u32> {
                match self {
                    Self::Stopped(code) => code.app,
                    _ => None,
                }
            }
        }

        impl $traits::Error for ReadError {
            fn session_error(&self) -> Option<(u32, String)> {
                match self {
                    Self::Session(close) => clean(close),
                    _ => None,
                }
            }

            fn stream_error(&self) -> Option<u32> {
                match self {
                    Self::Reset(code) => code.app,
                    _ => None,
                }
            }
        }

        impl $traits::Stats for Stats {
            fn bytes_sent(&self) -> Option<u64> {
                self.get(|path| path.bytes_sent)
            }

            fn bytes_received(&self) -> Option<u64> {
                self.get(|path| path.bytes_received)
            }

            fn bytes_lost(&self) -> Option<u64> {
                self.get(|path| path.bytes_lost)
            }

            fn packets_sent(&self) -> Option<u64> {
                self.get(|path| path.packets_sent)
            }

            fn packets_received(&self) -> Option<u64> {
                self.get(|path| path.datagrams_received)
            }

            fn packets_lost(&self) -> Option<u64> {
                self.get(|path| path.packets_lost)
            }

            fn rtt(&self) -> Option<Duration> {
                self.get(|path| path.rtt)
            }

            fn estimated_send_rate(&self) -> Option<u64> {
                self.send_rate()
            }
        }
    };
}

/// The async traits, with the type of a priority.
macro_rules! awaited {
    ($traits:ident, $order:ty) => {
        mod awaited {
            use bytes::Bytes;

            use super::$traits;
            use $crate::error::{ReadError, WriteError};
            use $crate::web_transport::{Error, Stats, cut, ended, read_out};
            use $crate::{RecvStream, SendStream, Session};

            impl $traits::Session for Session {
                type SendStream = SendStream;
                type RecvStream = RecvStream;
                type Error = Error;

                async fn accept_uni(&self) -> Result<RecvStream, Error> {
                    Self::accept_uni(self).await.map_err(Error::Closed)
                }

                async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Error> {
                    Self::accept_bi(self).await.map_err(Error::Closed)
                }

                async fn open_bi(&self) -> Result<(SendStream, RecvStream), Error> {
                    Self::open_bi(self).await.map_err(Error::Open)
                }

                async fn open_uni(&self) -> Result<SendStream, Error> {
                    Self::open_uni(self).await.map_err(Error::Open)
                }

                fn send_datagram(&self, payload: Bytes) -> Result<(), Error> {
                    Self::send_datagram(self, &payload).map_err(Error::Datagram)
                }

                async fn recv_datagram(&self) -> Result<Bytes, Error> {
                    Self::recv_datagram(self).await.map_err(Error::Closed)
                }

                fn max_datagram_size(&self) -> usize {
                    Self::max_datagram_size(self).unwrap_or(0)
                }

                fn protocol(&self) -> Option<&str> {
                    Self::protocol(self)
                }

                fn close(&self, code: u32, reason: &str) {
                    // A session that has ended needs no close.
                    let _ = Self::close(self, code, cut(reason));
                }

                async fn closed(&self) -> Error {
                    Error::Closed(Self::closed(self).await)
                }

                fn stats(&self) -> impl $traits::Stats {
                    Stats::of(self)
                }
            }

            impl $traits::SendStream for SendStream {
                type Error = WriteError;

                async fn write(&mut self, buf: &[u8]) -> Result<usize, WriteError> {
                    Self::write(self, buf).await
                }

                async fn write_chunk(&mut self, chunk: Bytes) -> Result<(), WriteError> {
                    Self::write_chunk(self, chunk).await
                }

                async fn write_all(&mut self, buf: &[u8]) -> Result<(), WriteError> {
                    Self::write_all(self, buf).await
                }

                fn set_priority(&mut self, order: $order) {
                    self.set_send_order(order.into());
                }

                fn finish(&mut self) -> Result<(), WriteError> {
                    Self::finish(self)
                }

                fn reset(&mut self, code: u32) {
                    // A stream that has ended needs no reset.
                    let _ = Self::reset(self, code);
                }

                async fn closed(&mut self) -> Result<(), WriteError> {
                    ended(self.stopped().await)
                }
            }

            impl $traits::RecvStream for RecvStream {
                type Error = ReadError;

                async fn read(&mut self, dst: &mut [u8]) -> Result<Option<usize>, ReadError> {
                    Self::read(self, dst).await
                }

                async fn read_chunk(&mut self, max: usize) -> Result<Option<Bytes>, ReadError> {
                    Self::read_chunk(self, max).await
                }

                fn stop(&mut self, code: u32) {
                    // A stream that has ended needs no stop.
                    let _ = Self::stop(self, code);
                }

                async fn closed(&mut self) -> Result<(), ReadError> {
                    read_out(Self::closed(self).await)
                }
            }
        }
    };
}

/// The poll traits, with the type of a priority.
macro_rules! polled {
    ($traits:ident, $order:ty) => {
        mod polled {
            use std::task::{Context, Poll, ready};

            use bytes::{BufMut, Bytes};

            use super::$traits;
            use super::$traits::poll;
            use $crate::error::{ReadError, WriteError};
            use $crate::web_transport::{Error, Stats, cut, ended, read_out};
            use $crate::{RecvStream, SendStream, Session};

            impl poll::Session for Session {
                type SendStream = SendStream;
                type RecvStream = RecvStream;
                type Error = Error;

                fn poll_accept_uni(
                    &mut self,
                    cx: &mut Context<'_>,
                ) -> Poll<Result<RecvStream, Error>> {
                    Self::poll_accept_uni(self, cx).map_err(Error::Closed)
                }

                fn poll_accept_bi(
                    &mut self,
                    cx: &mut Context<'_>,
                ) -> Poll<Result<(SendStream, RecvStream), Error>> {
                    Self::poll_accept_bi(self, cx).map_err(Error::Closed)
                }

                fn poll_open_uni(
                    &mut self,
                    cx: &mut Context<'_>,
                ) -> Poll<Result<SendStream, Error>> {
                    Self::poll_open_uni(self, cx).map_err(Error::Open)
                }

                fn poll_open_bi(
                    &mut self,
                    cx: &mut Context<'_>,
                ) -> Poll<Result<(SendStream, RecvStream), Error>> {
                    Self::poll_open_bi(self, cx).map_err(Error::Open)
                }

                fn poll_send_datagram(
                    &mut self,
                    cx: &mut Context<'_>,
                    payload: &[u8],
                ) -> Poll<Result<(), Error>> {
                    Self::poll_send_datagram(self, cx, payload).map_err(Error::Datagram)
                }

                fn poll_recv_datagram(
                    &mut self,
                    cx: &mut Context<'_>,
                ) -> Poll<Result<Bytes, Error>> {
                    Self::poll_recv_datagram(self, cx).map_err(Error::Closed)
                }

                fn max_datagram_size(&self) -> usize {
                    Self::max_datagram_size(self).unwrap_or(0)
                }

                fn protocol(&self) -> Option<&str> {
                    Self::protocol(self)
                }

                fn close(&mut self, code: u32, reason: &str) {
                    // A session that has ended needs no close.
                    let _ = Self::close(self, code, cut(reason));
                }

                fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
                    Self::poll_closed(self, cx).map(Error::Closed)
                }

                fn stats(&self) -> impl $traits::Stats {
                    Stats::of(self)
                }
            }

            impl poll::SendStream for SendStream {
                type Error = WriteError;

                fn poll_write(
                    &mut self,
                    cx: &mut Context<'_>,
                    buf: &[u8],
                ) -> Poll<Result<usize, WriteError>> {
                    self.0.poll_write(cx, buf)
                }

                fn set_priority(&mut self, order: $order) {
                    self.set_send_order(order.into());
                }

                fn finish(&mut self) -> Result<(), WriteError> {
                    Self::finish(self)
                }

                fn reset(&mut self, code: u32) {
                    // A stream that has ended needs no reset.
                    let _ = Self::reset(self, code);
                }

                fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WriteError>> {
                    self.0.poll_stopped(cx).map(ended)
                }
            }

            impl poll::RecvStream for RecvStream {
                type Error = ReadError;

                fn poll_read(
                    &mut self,
                    cx: &mut Context<'_>,
                    dst: &mut [u8],
                ) -> Poll<Result<Option<usize>, ReadError>> {
                    self.0.poll_read(cx, dst)
                }

                fn poll_read_buf<B: BufMut>(
                    &mut self,
                    cx: &mut Context<'_>,
                    buf: &mut B,
                ) -> Poll<Result<Option<usize>, ReadError>> {
                    let max = buf.remaining_mut();
                    let read = ready!(self.poll_read_chunk(cx, max))?;
                    Poll::Ready(Ok(read.map(|chunk| {
                        let len = chunk.len();
                        buf.put(chunk);
                        len
                    })))
                }

                fn poll_read_chunk(
                    &mut self,
                    cx: &mut Context<'_>,
                    max: usize,
                ) -> Poll<Result<Option<Bytes>, ReadError>> {
                    let mut out = [Bytes::new()];
                    let moved = self.0.poll_chunks(cx, max, &mut out);
                    let [chunk] = out;
                    moved.map_ok(|moved| moved.map(|_| chunk))
                }

                fn stop(&mut self, code: u32) {
                    // A stream that has ended needs no stop.
                    let _ = Self::stop(self, code);
                }

                fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
                    self.0.poll_closed(cx).map(read_out)
                }
            }
        }
    };
}
