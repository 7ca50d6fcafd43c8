//! The owner of every stream: tells the stream's connection what happens on it.

use aqueduct_tokio::protocol::behaviour::{
    At, Owner, StreamAction, StreamBehaviour, StreamContext, StreamResult,
};
use aqueduct_tokio::protocol::id::StreamKey;
use aqueduct_tokio::protocol::quic::StreamClosed;
use bytes::Bytes;

/// Pieces that a stream gives before it is asked to go on.
pub(super) const PIECES: u32 = 32;

/// What happened on a stream.
#[derive(Debug)]
pub(super) enum Heard {
    Started,
    Data(Bytes, At),
    /// The pieces that were asked for have been given.
    Passive,
    /// QUIC has taken a `Send`, or nobody wants it.
    Sent,
    Reset(u64),
    Stopped(u64),
    SendOver,
    Closed,
}

/// Tells everything.
#[derive(Debug)]
pub(super) struct Teller;

impl Teller {
    pub(super) fn owner<M: From<(StreamKey, Heard)> + 'static>() -> Owner<M> {
        Box::new(Self)
    }
}

fn tell<M: From<(StreamKey, Heard)>>(cx: &StreamContext<'_>, heard: Heard) -> StreamResult<M> {
    Ok(StreamAction::Tell((cx.key(), heard).into()).into())
}

impl<M: From<(StreamKey, Heard)>> StreamBehaviour<M> for Teller {
    fn started(&mut self, cx: &StreamContext<'_>) -> StreamResult<M> {
        tell(cx, Heard::Started)
    }

    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<M> {
        tell(cx, Heard::Data(data, at))
    }

    fn passive(&mut self, cx: &StreamContext<'_>) -> StreamResult<M> {
        tell(cx, Heard::Passive)
    }

    fn send_complete(&mut self, cx: &StreamContext<'_>, _cancelled: bool) -> StreamResult<M> {
        tell(cx, Heard::Sent)
    }

    fn peer_aborted_send(&mut self, cx: &StreamContext<'_>, code: u64) -> StreamResult<M> {
        tell(cx, Heard::Reset(code))
    }

    fn peer_aborted_receive(&mut self, cx: &StreamContext<'_>, code: u64) -> StreamResult<M> {
        tell(cx, Heard::Stopped(code))
    }

    fn send_over(&mut self, cx: &StreamContext<'_>, _graceful: bool) -> StreamResult<M> {
        tell(cx, Heard::SendOver)
    }

    fn closed(&mut self, cx: &StreamContext<'_>, _how: StreamClosed) -> StreamResult<M> {
        tell(cx, Heard::Closed)
    }
}
