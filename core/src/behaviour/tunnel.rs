//! Behaviours of tunnels (MASQUE): one tunnel's application as callbacks, in either role.
//!
//! [`TunnelRunner`] runs one tunnel of [`Tunnels`](crate::masque::Tunnels) as
//! [`Runner`](super::Runner) runs a connection: `handle`, `run`, `apply`. What is not taken
//! stays with the machine, and TCP that nobody takes with the peer.

mod runner;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use thiserror::Error;

use super::action::{Actions, Failure};
use crate::head::ResponseHead;
use crate::masque::{
    AnswerTunnelError, Refusal, TunnelClose, TunnelIoError, TunnelKey, TunnelRequest,
    TunnelSendError,
};

pub use runner::TunnelRunner;

/// What a callback of a tunnel gives.
pub type TunnelResult = Result<Actions<TunnelAction>, Failure>;

/// What a tunnel does. Every callback may be left out.
///
/// Each returns what is to be done, in order. One that fails ends the tunnel as
/// [`TunnelAction::Stop`] does with the failure's code, and nothing else of the connection;
/// `closed` follows. The peer hears no reason, since QUIC's streams have none.
pub trait TunnelBehaviour {
    /// What the application tells it from outside.
    type Message: Send + 'static;

    /// Somebody asks for the tunnel (server). Whoever leaves it out refuses with
    /// [`Refusal::Forbidden`].
    ///
    /// # Errors
    /// The callback's own: the tunnel is refused with [`Refusal::Internal`].
    fn requested(
        &mut self,
        cx: &TunnelContext,
        request: &TunnelRequest,
    ) -> Result<TunnelAnswer, Failure> {
        let _ = (cx, request);
        Ok(TunnelAnswer::Refuse(Refusal::Forbidden))
    }

    /// The tunnel is open. A client is told the head of the answer.
    fn established(&mut self, cx: &TunnelContext, answer: Option<&ResponseHead>) -> TunnelResult {
        let _ = (cx, answer);
        Ok(Actions::new())
    }

    /// The proxy has refused (client); the head says why. `closed` follows.
    fn rejected(&mut self, cx: &TunnelContext, answer: &ResponseHead) {
        let _ = (cx, answer);
    }

    /// A UDP payload has come, of at most
    /// [`MAX_UDP_PAYLOAD`](crate::masque::MAX_UDP_PAYLOAD) bytes. What came before the
    /// peer's end is told before `closed`.
    fn payload(&mut self, cx: &TunnelContext, payload: Bytes) -> TunnelResult {
        let _ = (cx, payload);
        Ok(Actions::new())
    }

    /// UDP payloads can be sent again, after a `Send` that found no room.
    fn datagrams_unblocked(&mut self, cx: &TunnelContext) -> TunnelResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// Bytes of TCP, in order and never none.
    fn data(&mut self, cx: &TunnelContext, data: Bytes) -> TunnelResult {
        let _ = (cx, data);
        Ok(Actions::new())
    }

    /// The peer's bytes of TCP have ended, once. What is sent still arrives.
    fn end(&mut self, cx: &TunnelContext) -> TunnelResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// All bytes of TCP that had to wait have been taken.
    fn writable(&mut self, cx: &TunnelContext) -> TunnelResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The application says something.
    fn message(&mut self, cx: &TunnelContext, message: Self::Message) -> TunnelResult {
        let _ = (cx, message);
        Ok(Actions::new())
    }

    /// The time of [`TunnelAction::WakeAt`] has come.
    fn timeout(&mut self, cx: &TunnelContext) -> TunnelResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// What [`TunnelAction::Continue`] asked for.
    fn continued(&mut self, cx: &TunnelContext) -> TunnelResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The connection winds down: nothing new, this tunnel goes on.
    fn draining(&mut self, cx: &TunnelContext) -> TunnelResult {
        let _ = cx;
        Ok(Actions::new())
    }

    /// An action was not done. To go on is to return what is to be done; a failure ends the
    /// tunnel.
    fn action_failed(&mut self, cx: &TunnelContext, why: TunnelActionError) -> TunnelResult {
        let _ = (cx, why);
        Ok(Actions::new())
    }

    /// The tunnel is over. The last callback, exactly once.
    fn closed(&mut self, cx: &TunnelContext, how: &TunnelEnd) {
        let _ = (cx, how);
    }
}

/// What becomes of a tunnel that is asked for (server).
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TunnelAnswer {
    /// It is opened, see [`TunnelAction::Accept`].
    Accept(Option<SocketAddr>),
    /// It is refused.
    Refuse(Refusal),
    /// [`TunnelAction::Accept`] or [`TunnelAction::Refuse`] says so, when its target has been
    /// found and reached, within
    /// [`start_timeout`](crate::masque::TunnelsConfig::start_timeout).
    Later,
}

/// What a callback of a tunnel has done.
///
/// Of what ends the tunnel or goes on, the strongest of a list counts, wherever it stands,
/// when all else of the list is done: `Close` and `Stop` before `Drain` before `Continue`.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TunnelAction {
    /// Opens a tunnel that was asked for (server): its target is reached. The address, if
    /// the client may know it, is told as `next-hop`.
    Accept(Option<SocketAddr>),
    /// Refuses a tunnel that was asked for (server).
    Refuse(Refusal),
    /// Sends one UDP payload; or bytes of TCP, behind those that wait already. A client may
    /// send before the answer, at the risk that it is lost; a server's bytes wait for it.
    Send(Bytes),
    /// Ends this side's bytes of TCP when everything before has been sent. What comes is
    /// still told.
    Finish,
    /// Calls [`timeout`](TunnelBehaviour::timeout) at that time. There is one time; a later
    /// action replaces it.
    WakeAt(Instant),
    /// The same, so long after the callback's time.
    WakeAfter(Duration),
    /// Forgets that time.
    Sleep,
    /// Calls [`continued`](TunnelBehaviour::continued) behind everything that is due.
    Continue,
    /// Winds the tunnel down: nothing more is sent than what waits, and what comes is still
    /// told, until the peer has ended as well or so long. Then it is closed.
    Drain(Duration),
    /// Closes the tunnel: UDP in order; TCP too, if both of its directions have ended, or
    /// else with H3_CONNECT_ERROR. One that waits for its answer is refused with
    /// [`Refusal::Unavailable`] (server) or taken back (client).
    Close,
    /// Ends it at once with a code of HTTP/3, of 62 bits; a larger one is said as the
    /// largest. 0 stands for the one that is meant for it: H3_CONNECT_ERROR of TCP,
    /// H3_INTERNAL_ERROR of UDP. One that waits for its answer is refused with
    /// [`Refusal::Internal`] (server) or taken back (client).
    Stop(u64),
}

/// Why an action of a tunnel was not done.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum TunnelActionError {
    /// The answer was not sent: whoever reached the target lets it go.
    #[error(transparent)]
    Answer(#[from] AnswerTunnelError),
    /// A UDP payload was not sent, and is lost.
    #[error(transparent)]
    Send(#[from] TunnelSendError),
    /// Bytes of TCP were not sent, or not ended.
    #[error(transparent)]
    Io(#[from] TunnelIoError),
    /// As many bytes of TCP wait as may; these were not taken.
    #[error("too much waits to be sent")]
    Queued,
}

/// How a tunnel ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TunnelEnd {
    /// By the peer, a rule, a deadline or the connection; or here by this side, once it was
    /// open or asked for: [`TunnelClose::Local`].
    Closed(TunnelClose),
    /// This side has refused it (server).
    Refused(Refusal),
    /// The proxy has refused it (client).
    Rejected(StatusCode),
}

/// What a callback of a tunnel can see.
#[derive(Copy, Clone, Debug)]
#[non_exhaustive]
pub struct TunnelContext {
    /// The tunnel.
    pub tunnel: TunnelKey,
    /// The time.
    pub now: Instant,
    /// Bytes of TCP that wait to be sent.
    pub queued: usize,
}
