//! HTTP datagrams (RFC 9297) of sessions and requests.

use bytes::{BufMut, Bytes, BytesMut};

use super::super::command::{Call, Command};
use super::super::state::State;
use super::Access;
use crate::error::{DatagramError, Gone};
use crate::id::StreamKey;
use crate::session::{Owner, Sessions};
use crate::transport::Transport;
use crate::wire::datagram::ContextId;

impl<T: Transport> Access<'_, T> {
    /// Takes datagrams for a request that is not a session from here on, or for a claimed
    /// bidirectional stream that the client opened. For CONNECT and claimed streams there
    /// are those, too, that came since the stream did, within the limits for early ones; a
    /// datagram ends any other request before this.
    ///
    /// # Errors
    /// [`Gone`] for a stream that is over, never was, or can have none.
    pub fn enable_datagrams(&mut self, stream: StreamKey) -> Result<(), Gone> {
        let slot = self.slot(stream)?;
        let claimed = Owner::of(slot.owner) == Owner::Claimed && stream.id().is_request();
        if slot.exchange_ref().is_none() && !claimed {
            return Err(Gone::NoSuchHalf);
        }
        if Sessions::is_session(self.h3(), stream) {
            return Ok(());
        }
        let call = self.shell.noted(|| Command::EnableDatagrams(stream));
        self.run(call, |sessions, cx| sessions.enable_datagrams(cx, stream));
        Ok(())
    }

    /// Sends one datagram of a session or request. One copy; no allocation once the
    /// buffer is warm. After `Blocked` an unblocked event follows.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was sent.
    pub fn send_datagram(
        &mut self,
        stream: impl Into<StreamKey>,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        self.send_with(stream.into(), None, payload)
    }

    /// As [`Self::send_datagram`] for a request, with a context id before the payload:
    /// still one copy.
    ///
    /// # Errors
    /// [`DatagramError`]; nothing was sent.
    pub fn send_datagram_in(
        &mut self,
        stream: StreamKey,
        context: ContextId,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        self.send_with(stream, Some(context), payload)
    }

    fn send_with(
        &mut self,
        stream: StreamKey,
        context: Option<ContextId>,
        payload: &[u8],
    ) -> Result<(), DatagramError> {
        if self.shell.is_closed() {
            return Err(DatagramError::Gone);
        }
        let call = || {
            let mut sent = BytesMut::new();
            if let Some(context) = context {
                sent.put_slice(&context.encode());
            }
            sent.put_slice(payload);
            Call::SendDatagram(stream, sent.freeze())
        };
        let call = self.shell.noted(call);
        self.run(call, |sessions, cx| {
            sessions.send_datagram(cx, stream, context, payload)
        })
    }

    /// The oldest datagram that waits for a session or request, a context id included:
    /// see [`ContextId::split`].
    pub fn recv_datagram(&mut self, stream: impl Into<StreamKey>) -> Option<Bytes> {
        let stream = stream.into();
        self.shell.pop_datagram(self.t, self.now, stream)
    }

    /// Largest payload [`Self::send_datagram`] takes at present, in bytes, a context id
    /// included; `None` when datagrams are not usable.
    #[must_use]
    pub fn max_datagram_size(&self, stream: impl Into<StreamKey>) -> Option<usize> {
        self.shell
            .state
            .sessions
            .max_datagram_size(&self.shell.state.h3, self.t, stream.into())
    }

    /// Datagrams of a session or request that were dropped because the application did
    /// not take them; 0 when it is gone.
    #[must_use]
    pub fn datagrams_overflowed(&self, stream: impl Into<StreamKey>) -> u64 {
        let State { h3, sessions, .. } = &self.shell.state;
        sessions.datagrams_overflowed(h3, stream.into())
    }
}
