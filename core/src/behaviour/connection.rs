//! What the behaviour of a connection is told.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

use super::action::{Action, ActionError, Actions, Failure};
use super::context::Context;
use super::mode::Mode;
use super::stream::{HandedOver, Owner};
use crate::error::{CloseReason, TransportFailure};
use crate::id::{Dir, StreamKey};
use crate::quic::{StartError, StreamClosed};
use crate::transport::EarlyData;

/// What a callback of a connection gives.
pub type ConnectionResult<M> = Result<Actions<Action<M>>, Failure>;

/// What a connection does. Every callback may be left out.
///
/// Each returns what is to be done, in order. One that fails closes the connection with the
/// failure's code and reason; `closed` follows.
pub trait Behaviour {
    /// What the application, and the connection's streams, tell it from outside.
    type Message: Send + 'static;

    /// A client has begun the handshake (server). Addresses, server name and ALPN are in
    /// [`Context::about`].
    fn new_connection(&mut self, cx: &Context<'_>) -> ConnectionResult<Self::Message> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The handshake is complete. Whether TLS resumed a session is in [`Context::about`].
    fn connected(&mut self, cx: &Context<'_>, early: EarlyData) -> ConnectionResult<Self::Message> {
        let _ = (cx, early);
        Ok(Actions::new())
    }

    /// The handshake is complete but for the application's word on the peer's certificates,
    /// in DER, end entity first. Called where
    /// [`quic::Config::confirm`](crate::quic::Config::confirm) asks for it. Whoever asks for
    /// it and leaves this out refuses everybody, with `certificate_unknown`.
    ///
    /// # Errors
    /// The callback's own.
    fn certificate(&mut self, cx: &Context<'_>, chain: &[Bytes]) -> Result<Verdict, Failure> {
        let _ = (cx, chain);
        Ok(Verdict::Refuse(46))
    }

    /// The peer allows more streams of this direction.
    fn streams_available(&mut self, cx: &Context<'_>, dir: Dir) -> ConnectionResult<Self::Message> {
        let _ = (cx, dir);
        Ok(Actions::new())
    }

    /// The peer would open streams that its limit does not allow.
    fn peer_needs_streams(
        &mut self,
        cx: &Context<'_>,
        dir: Dir,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, dir);
        Ok(Actions::new())
    }

    /// The peer's address is another (server).
    fn peer_address_changed(
        &mut self,
        cx: &Context<'_>,
        address: SocketAddr,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, address);
        Ok(Actions::new())
    }

    /// The peer reaches this side at another address.
    fn local_address_changed(
        &mut self,
        cx: &Context<'_>,
        address: Option<IpAddr>,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, address);
        Ok(Actions::new())
    }

    /// The server gave session tickets, which the store of the connection has (client).
    fn ticket(&mut self, cx: &Context<'_>) -> ConnectionResult<Self::Message> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The largest datagram that can be sent is another, in bytes; `None` when none can.
    fn datagram_state(
        &mut self,
        cx: &Context<'_>,
        max: Option<usize>,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, max);
        Ok(Actions::new())
    }

    /// A datagram arrived.
    fn datagram(&mut self, cx: &Context<'_>, datagram: Bytes) -> ConnectionResult<Self::Message> {
        let _ = (cx, datagram);
        Ok(Actions::new())
    }

    /// Datagrams are taken again after
    /// [`DatagramError::Blocked`](crate::quic::DatagramError::Blocked).
    fn datagrams_unblocked(&mut self, cx: &Context<'_>) -> ConnectionResult<Self::Message> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The peer opened a stream: whose is it to be?
    ///
    /// # Errors
    /// The callback's own, which closes the connection.
    fn new_stream(
        &mut self,
        cx: &Context<'_>,
        stream: StreamKey,
        opened: Opened,
    ) -> Result<Accept<Self::Message>, Failure> {
        let _ = (cx, stream, opened);
        Ok(Accept::Orphan)
    }

    /// A stream has no owner, because nobody took it or its owner left it. It is passive,
    /// and waits for [`StreamAction::HandOff`](super::StreamAction::HandOff) or an end.
    /// Whoever leaves this out has it abandoned with code 0.
    fn orphaned(
        &mut self,
        cx: &Context<'_>,
        stream: StreamKey,
        what: HandedOver,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, what);
        Ok(Action::Stream(stream, super::StreamAction::Abandon(0)).into())
    }

    /// A stream without an owner is over.
    fn orphan_closed(
        &mut self,
        cx: &Context<'_>,
        stream: StreamKey,
        how: StreamClosed,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, stream, how);
        Ok(Actions::new())
    }

    /// A stream of [`Action::Start`] was not begun. Its owner comes back, and has heard
    /// nothing.
    fn not_started(
        &mut self,
        cx: &Context<'_>,
        why: StartError,
        owner: Owner<Self::Message>,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, why, owner);
        Ok(Actions::new())
    }

    /// The application, or a stream, says something.
    fn message(
        &mut self,
        cx: &Context<'_>,
        message: Self::Message,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, message);
        Ok(Actions::new())
    }

    /// The time of [`Action::WakeAt`] has come.
    fn timeout(&mut self, cx: &Context<'_>) -> ConnectionResult<Self::Message> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// What was due before [`Action::Continue`] is done.
    fn continued(&mut self, cx: &Context<'_>) -> ConnectionResult<Self::Message> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// An action was not done. A failure here closes the connection, as everywhere.
    fn action_failed(
        &mut self,
        cx: &Context<'_>,
        why: ActionError,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, why);
        Ok(Actions::new())
    }

    /// The connection winds down.
    fn draining(&mut self, cx: &Context<'_>) -> ConnectionResult<Self::Message> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// QUIC ends the connection. The ends of its streams follow, and then `closed`.
    fn shutdown_by_transport(
        &mut self,
        cx: &Context<'_>,
        failure: &TransportFailure,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, failure);
        Ok(Actions::new())
    }

    /// The peer's application ends the connection, with a code of 62 bits. The ends of its
    /// streams follow, and then `closed`.
    fn shutdown_by_peer(
        &mut self,
        cx: &Context<'_>,
        code: u64,
        reason: &Bytes,
    ) -> ConnectionResult<Self::Message> {
        let _ = (cx, code, reason);
        Ok(Actions::new())
    }

    /// The connection is over, and all of its streams are. The last callback, exactly once.
    fn closed(&mut self, cx: &Context<'_>, how: &ConnectionClosed) {
        let _ = (cx, how);
    }
}

/// What is said of the peer's certificates.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
pub enum Verdict {
    /// They will do.
    Accept,
    /// They will not: the TLS alert that says why (RFC 8446 §6.2).
    Refuse(u8),
    /// [`Action::Confirm`] says it, in time.
    Later,
}

/// A stream that the peer opened.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub struct Opened {
    /// Whether bytes flow both ways.
    pub dir: Dir,
    /// It came before the handshake was complete (0-RTT): it may be a replay (server).
    pub early: bool,
}

/// Whose a stream is that the peer opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Accept<M> {
    /// This owner's, and it receives in this mode.
    Own(Owner<M>, Mode),
    /// Nobody's: it is the connection's, passive.
    /// [`Behaviour::orphaned`] follows.
    Orphan,
}

/// How a connection ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ConnectionClosed {
    /// The handshake had been completed, and the certificates confirmed where that was asked.
    pub handshake_completed: bool,
    /// This side's application ended it.
    pub by_app: bool,
    /// The peer had ended it, or QUIC.
    pub reason: CloseReason,
}
