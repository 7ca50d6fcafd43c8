//! The server's behaviour.

use aqueduct_core::behaviour::{
    Accept, Action, Actions, At, Behaviour, ConnectionClosed, ConnectionResult, Context, Failure,
    HandedOver, Mode, NewStream, Opened, StreamAction, StreamBehaviour, StreamContext,
    StreamResult, Want,
};
use aqueduct_core::id::{Dir, StreamKey};
use aqueduct_core::quic::StreamClosed;
use aqueduct_core::transport::EarlyData;
use bytes::Bytes;

use super::{PARTS, REFUSED, closed, name};
use crate::trace::{Digest, Trace};

/// Answers each of the client's steps.
pub(super) struct Server {
    trace: Trace,
    /// Bidirectional streams so far.
    asked: usize,
    /// Ends the endpoint, from the last callback.
    end: Box<dyn FnMut() + Send>,
}

/// What a stream tells its connection: the client has abandoned it.
#[derive(Debug)]
pub(super) struct Abandoned;

impl Server {
    pub(super) fn new(trace: Trace, end: impl FnMut() + Send + 'static) -> Self {
        Self {
            trace,
            asked: 0,
            end: Box::new(end),
        }
    }

    fn note(&self, fact: impl Into<String>) {
        self.trace.note("connection", fact);
    }
}

impl Behaviour for Server {
    type Message = Abandoned;

    fn new_connection(&mut self, cx: &Context<'_>) -> ConnectionResult<Abandoned> {
        let name = cx.about().and_then(|about| about.server_name.clone());
        self.note(format!("new, for {name:?}"));
        Ok(Actions::new())
    }

    fn connected(&mut self, _: &Context<'_>, early: EarlyData) -> ConnectionResult<Abandoned> {
        self.note(format!("connected, {early:?}"));
        Ok(Actions::new())
    }

    fn new_stream(
        &mut self,
        _: &Context<'_>,
        stream: StreamKey,
        opened: Opened,
    ) -> Result<Accept<Abandoned>, Failure> {
        let Opened { dir, early, .. } = opened;
        self.trace
            .note(name(stream), format!("opened {dir:?}, early: {early}"));
        let trace = self.trace.clone();
        if dir == Dir::Uni {
            return Ok(Accept::Own(Box::new(Quiet(trace)), Mode::Active));
        }
        self.asked += 1;
        Ok(match self.asked {
            1 => {
                let echo = Echo {
                    trace,
                    kept: Vec::new(),
                };
                Accept::Own(Box::new(echo), Mode::Active)
            }
            2 => Accept::Own(Box::new(Head(trace)), Mode::Passive),
            _ => Accept::Orphan,
        })
    }

    fn orphaned(
        &mut self,
        _: &Context<'_>,
        stream: StreamKey,
        what: HandedOver,
    ) -> ConnectionResult<Abandoned> {
        self.trace
            .note(name(stream), format!("nobody's, {:?}", what.mode));
        Ok(Action::Stream(stream, StreamAction::Abandon(REFUSED)).into())
    }

    fn message(&mut self, _: &Context<'_>, _: Abandoned) -> ConnectionResult<Abandoned> {
        self.note("begins a stream");
        let stream = NewStream::new(Dir::Uni, Box::new(Quiet(self.trace.clone())));
        Ok(Action::from(stream.first("do you hear me?")).into())
    }

    fn datagram(&mut self, _: &Context<'_>, text: Bytes) -> ConnectionResult<Abandoned> {
        self.trace.note("datagrams", String::from_utf8_lossy(&text));
        Ok(Action::Datagram(text).into())
    }

    fn shutdown_by_peer(
        &mut self,
        _: &Context<'_>,
        code: u64,
        reason: &Bytes,
    ) -> ConnectionResult<Abandoned> {
        self.note(format!("the peer closes with {code}, {reason:?}"));
        Ok(Actions::new())
    }

    fn closed(&mut self, cx: &Context<'_>, how: &ConnectionClosed) {
        let left = cx.live_streams();
        self.note(format!("closed, {left} streams, {how:?}"));
        (self.end)();
    }
}

/// Sends back what has come, when all has.
struct Echo {
    trace: Trace,
    kept: Vec<u8>,
}

impl StreamBehaviour<Abandoned> for Echo {
    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<Abandoned> {
        assert_eq!(
            at.offset,
            self.kept.len() as u64,
            "nothing is lost or doubled"
        );
        self.kept.extend_from_slice(&data);
        if !at.end {
            return Ok(Actions::new());
        }
        let fact = format!("to its end: {}", Digest::of(&self.kept));
        self.trace.note(name(cx.key()), fact);
        let kept = std::mem::take(&mut self.kept);
        Ok([StreamAction::Send(kept.into()), StreamAction::Finish].into())
    }

    fn send_over(&mut self, cx: &StreamContext<'_>, graceful: bool) -> StreamResult<Abandoned> {
        let fact = format!("all has arrived: {graceful}");
        self.trace.note(name(cx.key()), fact);
        Ok(Actions::new())
    }

    fn closed(&mut self, cx: &StreamContext<'_>, how: StreamClosed) -> StreamResult<Abandoned> {
        closed(&self.trace, cx.key(), how);
        Ok(Actions::new())
    }
}

/// Asks for a head, and hands off.
struct Head(Trace);

impl StreamBehaviour<Abandoned> for Head {
    fn started(&mut self, _: &StreamContext<'_>) -> StreamResult<Abandoned> {
        Ok(StreamAction::Receive(Want::Exact(PARTS[0].len())).into())
    }

    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<Abandoned> {
        self.0
            .note(name(cx.key()), format!("{data:?} at {}", at.offset));
        let tail = Tail(self.0.clone(), Vec::new());
        Ok(StreamAction::HandOff(Box::new(tail)).into())
    }
}

/// Takes the tail, and answers.
struct Tail(Trace, Vec<u8>);

impl StreamBehaviour<Abandoned> for Tail {
    fn handed_over(&mut self, cx: &StreamContext<'_>, what: HandedOver) -> StreamResult<Abandoned> {
        let fact = format!("handed over, {:?}, at {}", what.mode, what.offset);
        self.0.note(name(cx.key()), fact);
        Ok(StreamAction::SetMode(Mode::Active).into())
    }

    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<Abandoned> {
        self.1.extend_from_slice(&data);
        if !at.end {
            return Ok(Actions::new());
        }
        let text = String::from_utf8_lossy(&self.1);
        self.0.note(name(cx.key()), format!("{text:?} to the end"));
        let answer = StreamAction::Send("both parts came".into());
        Ok([answer, StreamAction::Finish].into())
    }

    fn closed(&mut self, cx: &StreamContext<'_>, how: StreamClosed) -> StreamResult<Abandoned> {
        closed(&self.0, cx.key(), how);
        Ok(Actions::new())
    }
}

/// A stream that is not to go on for long.
struct Quiet(Trace);

impl StreamBehaviour<Abandoned> for Quiet {
    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, _: At) -> StreamResult<Abandoned> {
        self.0.note(name(cx.key()), format!("{data:?}"));
        Ok(Actions::new())
    }

    fn peer_aborted_send(&mut self, cx: &StreamContext<'_>, code: u64) -> StreamResult<Abandoned> {
        self.0
            .note(name(cx.key()), format!("abandoned with {code}"));
        Ok(StreamAction::Tell(Abandoned).into())
    }

    fn peer_aborted_receive(
        &mut self,
        cx: &StreamContext<'_>,
        code: u64,
    ) -> StreamResult<Abandoned> {
        self.0.note(name(cx.key()), format!("stopped with {code}"));
        Ok(Actions::new())
    }

    fn closed(&mut self, cx: &StreamContext<'_>, how: StreamClosed) -> StreamResult<Abandoned> {
        closed(&self.0, cx.key(), how);
        Ok(Actions::new())
    }
}
