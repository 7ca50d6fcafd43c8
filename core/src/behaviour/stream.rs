//! What the owner of a stream is told.

use std::fmt;

use bytes::Bytes;

use super::action::{Actions, Failure, StreamAction, StreamActionError};
use super::context::StreamContext;
use super::mode::{At, Mode, ReceiveError};
use crate::quic::StreamClosed;

/// The owner of a stream, as it is kept.
pub type Owner<M> = Box<dyn StreamBehaviour<M> + Send>;

/// What a callback of a stream gives.
pub type StreamResult<M> = Result<Actions<StreamAction<M>>, Failure>;

/// What a stream does. Every callback but `data` may be left out.
///
/// Each returns what is to be done, in order. One that fails abandons the stream with the
/// failure's code, both ways; `closed` follows. `M` is the
/// [`Message`](super::Behaviour::Message) of the connection.
pub trait StreamBehaviour<M = ()> {
    /// The first callback of a stream: the peer's was accepted, or this side's has begun,
    /// because the peer's limit lets it be.
    fn started(&mut self, cx: &StreamContext<'_>) -> StreamResult<M> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The stream is this owner's from here on. The first callback of an owner that was not
    /// there from the beginning.
    fn handed_over(&mut self, cx: &StreamContext<'_>, what: HandedOver) -> StreamResult<M> {
        let _ = (cx, what);
        Ok(Actions::new())
    }

    /// A piece of what the peer sends, in order.
    ///
    /// # Errors
    /// The callback's own.
    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<M>;

    /// What was asked for is not given.
    fn receive_failed(&mut self, cx: &StreamContext<'_>, why: ReceiveError) -> StreamResult<M> {
        let _ = (cx, why);
        Ok(Actions::new())
    }

    /// The pieces of [`Mode::Times`] have all been given, and the last one's callback has
    /// set no mode.
    fn passive(&mut self, cx: &StreamContext<'_>) -> StreamResult<M> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// The oldest [`StreamAction::Send`] that was not told of: QUIC has taken all of its
    /// bytes, or it was `cancelled`, because the half has ended or too much waited.
    fn send_complete(&mut self, cx: &StreamContext<'_>, cancelled: bool) -> StreamResult<M> {
        let _ = (cx, cancelled);
        Ok(Actions::new())
    }

    /// The peer abandons what it was sending (RESET_STREAM). What was not given by then is
    /// lost.
    fn peer_aborted_send(&mut self, cx: &StreamContext<'_>, code: u64) -> StreamResult<M> {
        let _ = (cx, code);
        Ok(Actions::new())
    }

    /// The peer does not want more of what this side sends (STOP_SENDING).
    fn peer_aborted_receive(&mut self, cx: &StreamContext<'_>, code: u64) -> StreamResult<M> {
        let _ = (cx, code);
        Ok(Actions::new())
    }

    /// The sending half is over: the peer has acknowledged everything, the end included
    /// (`graceful`), or it was abandoned.
    fn send_over(&mut self, cx: &StreamContext<'_>, graceful: bool) -> StreamResult<M> {
        let _ = (cx, graceful);
        Ok(Actions::new())
    }

    /// The stream was early data, which the server did not take: it has seen nothing of it.
    fn early_data_rejected(&mut self, cx: &StreamContext<'_>) -> StreamResult<M> {
        let _ = cx;
        Ok(Actions::new())
    }

    /// An action was not done. A failure here ends the stream, as everywhere.
    fn action_failed(&mut self, cx: &StreamContext<'_>, why: StreamActionError) -> StreamResult<M> {
        let _ = (cx, why);
        Ok(Actions::new())
    }

    /// The stream is over. The last callback, exactly once. Of the actions, only
    /// [`StreamAction::Tell`] means anything.
    fn closed(&mut self, cx: &StreamContext<'_>, how: StreamClosed) -> StreamResult<M> {
        let _ = (cx, how);
        Ok(Actions::new())
    }
}

impl<M> fmt::Debug for dyn StreamBehaviour<M> + Send {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("owner")
    }
}

/// A stream as its new owner finds it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HandedOver {
    /// How it receives.
    pub mode: Mode,
    /// Where the first byte stands that the new owner is given.
    pub offset: u64,
    /// Bytes that have been taken from QUIC and not been given yet. More may be there.
    pub buffered: usize,
}

impl HandedOver {
    /// In this mode, at this place, with so many bytes.
    #[must_use]
    pub const fn new(mode: Mode, offset: u64, buffered: usize) -> Self {
        Self {
            mode,
            offset,
            buffered,
        }
    }
}
