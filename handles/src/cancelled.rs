//! When a request is no longer wanted.

use aqueduct_core::error::{CloseReason, PeerCode};
use aqueduct_core::fault::Violation;
use aqueduct_core::id::Side;
use thiserror::Error;

use crate::capsules::{CapsuleReceiver, CapsuleSender, CapsuleStream};
use crate::half::Half;
use crate::http::{BodyReceiver, BodySender, ResponseReceiver, ResponseSender, ServerRequest};
use crate::place::{MessageTopic, Place};
use crate::shared::{Locked, Step, wait_for};
use crate::table::SendOver;

/// Why a request is no longer wanted, or can no longer be answered.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum Cancelled {
    /// The client does not want the answer: STOP_SENDING with this code.
    #[error("the peer stopped the answer: {0}")]
    Stopped(PeerCode),
    /// The peer abandoned its message before the end of it: RESET_STREAM with this
    /// code.
    #[error("the peer reset its message: {0}")]
    Reset(PeerCode),
    /// The peer's message is malformed; the stream has been reset.
    #[error("reset by us: {0}")]
    Malformed(Violation),
    /// The server did not process the request because of a GOAWAY, or did not take it as
    /// early data (client).
    #[error("the server did not process the request")]
    Unprocessed,
    /// The connection is over.
    #[error(transparent)]
    Connection(CloseReason),
}

impl Half {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
    // A client cancels a request by resetting its own half, and by asking for no more
    // of the answer; either says so. A server may ask for no more of the content and
    // answer all the same, so that a stop tells a client nothing.
    fn given_up(&self, locked: &mut Locked<'_>) -> Option<Cancelled> {
        let serves = locked.conn(self.at.conn).side == Side::Server;
        let stream = locked.stream(self.at);
        if let Some(why) = stream.malformed {
            return Some(Cancelled::Malformed(why));
        }
        if let Some(code) = stream.stopped.filter(|_| serves) {
            return Some(Cancelled::Stopped(code));
        }
        // Never of a message that was read, or that this side wants no more of.
        if let Some(code) = stream.reset {
            return Some(Cancelled::Reset(code));
        }
        if stream.unprocessed || stream.early_rejected {
            return Some(Cancelled::Unprocessed);
        }
        let closed = &locked.conn(self.at.conn).closed;
        closed.clone().map(Cancelled::Connection)
    }

    /// Waits until the request is no longer wanted, or is over.
    pub(crate) fn cancelled(
        &self,
    ) -> impl Future<Output = Option<Cancelled>> + Send + 'static + use<> {
        let half = self.again(&mut self.conn.lock());
        async move {
            wait_for(&half.conn.shared, |locked| {
                let stream = locked.stream(half.at);
                let sent = stream.delivered || stream.send_over == Some(SendOver::Reset);
                if sent && stream.recv_over.is_some() {
                    return Step::Done(None);
                }
                match half.given_up(locked) {
                    Some(why) => Step::Done(Some(why)),
                    None => Step::Wait(Place::Message(half.at, MessageTopic::Cancelled)),
                }
            })
            .await
        }
    }
}

impl ServerRequest {
    /// Waits until the client gives the request up, or the connection ends, and tells
    /// which: there is nobody left to answer, and work for it is in vain. `None` when
    /// the request came to its end without: the answer is acknowledged, or this side
    /// reset it, and the content was read or stopped. A client that resets content which
    /// was read or stopped before gives up nothing by it.
    ///
    /// Borrows nothing, so that it goes beside other work in a `select!`, and any
    /// number of tasks may wait. Until it is ready or dropped it counts as a handle of
    /// the request. Cancel safe.
    pub fn cancelled(&self) -> impl Future<Output = Option<Cancelled>> + Send + 'static + use<> {
        self.recv.cancelled()
    }
}

impl BodySender {
    /// See [`ServerRequest::cancelled`]. Of a client, it is the answer that is given
    /// up: by a reset, or because the request was not processed.
    pub fn cancelled(&self) -> impl Future<Output = Option<Cancelled>> + Send + 'static + use<> {
        self.0.half.cancelled()
    }
}

impl BodyReceiver {
    /// See [`BodySender::cancelled`].
    pub fn cancelled(&self) -> impl Future<Output = Option<Cancelled>> + Send + 'static + use<> {
        self.0.half.cancelled()
    }
}

macro_rules! as_part {
    ($($handle:ty: $part:tt;)*) => {
        $(
            impl $handle {
                /// See [`BodySender::cancelled`].
                pub fn cancelled(
                    &self,
                ) -> impl Future<Output = Option<Cancelled>> + Send + 'static + use<> {
                    self.$part.cancelled()
                }
            }
        )*
    };
}

as_part! {
    ResponseSender: body;
    ResponseReceiver: 0;
    CapsuleSender: body;
    CapsuleReceiver: body;
    CapsuleStream: send;
}
