//! The client's behaviour.

use aqueduct_core::behaviour::{
    Accept, Action, Actions, At, Behaviour, ConnectionClosed, ConnectionResult, Context, Failure,
    Mode, NewStream, Opened, StreamAction, StreamBehaviour, StreamContext, StreamResult,
};
use aqueduct_core::id::{Dir, StreamKey};
use aqueduct_core::quic::{Shutdown, StreamClosed};
use aqueduct_core::transport::EarlyData;
use bytes::Bytes;

use super::{DATAGRAMS, LARGEST, PARTS, RESET, STOP, closed, name};
use crate::script::{STREAM, datagram, pattern};
use crate::trace::{Digest, Trace};

/// Begins one step when the one before is over.
pub(super) struct Client {
    trace: Trace,
    datagrams: usize,
}

/// What is over, told by the stream of a step.
#[derive(Debug)]
pub(super) enum Step {
    Echo,
    HandOff,
    Stop,
    Refused,
}

impl Client {
    pub(super) fn new(trace: Trace) -> Self {
        let datagrams = 0;
        Self { trace, datagrams }
    }

    fn note(&self, fact: impl Into<String>) {
        self.trace.note("connection", fact);
    }

    /// A stream whose end is told as this step's.
    fn stream(&self, dir: Dir, tells: Step) -> NewStream<Step> {
        NewStream::new(dir, Box::new(Stream::new(&self.trace, Some(tells))))
    }
}

impl Behaviour for Client {
    type Message = Step;

    fn connected(&mut self, cx: &Context<'_>, early: EarlyData) -> ConnectionResult<Step> {
        let alpn = cx.about().map(|about| String::from_utf8_lossy(&about.alpn));
        self.note(format!("connected, {alpn:?}, {early:?}"));
        let echo = self.stream(Dir::Bi, Step::Echo);
        Ok(Action::from(echo.first(pattern(STREAM)).finish()).into())
    }

    fn message(&mut self, _: &Context<'_>, over: Step) -> ConnectionResult<Step> {
        self.note(format!("{over:?} is over"));
        Ok(match over {
            Step::Echo => {
                let stream = self.stream(Dir::Bi, Step::HandOff);
                Action::from(stream.first(PARTS.concat()).finish()).into()
            }
            Step::HandOff => {
                let mut abandons = Stream::new(&self.trace, None);
                abandons.abandons = true;
                Action::from(NewStream::new(Dir::Uni, Box::new(abandons))).into()
            }
            Step::Stop => {
                let refused = self.stream(Dir::Bi, Step::Refused);
                Action::from(refused.first("may I?")).into()
            }
            Step::Refused => Action::Datagram(datagram(0).into()).into(),
        })
    }

    fn new_stream(
        &mut self,
        _: &Context<'_>,
        stream: StreamKey,
        opened: Opened,
    ) -> Result<Accept<Step>, Failure> {
        self.trace
            .note(name(stream), format!("opened {:?}", opened.dir));
        let mut stops = Stream::new(&self.trace, Some(Step::Stop));
        stops.stops = true;
        Ok(Accept::Own(Box::new(stops), Mode::Passive))
    }

    fn datagram(&mut self, _: &Context<'_>, text: Bytes) -> ConnectionResult<Step> {
        self.trace.note("datagrams", String::from_utf8_lossy(&text));
        self.datagrams += 1;
        Ok(match self.datagrams {
            DATAGRAMS => Action::Close(LARGEST, "done".into()).into(),
            next => Action::Datagram(datagram(next).into()).into(),
        })
    }

    fn closed(&mut self, cx: &Context<'_>, how: &ConnectionClosed) {
        let left = cx.live_streams();
        self.note(format!("closed, {left} streams, {how:?}"));
    }
}

/// A stream of one step.
struct Stream {
    trace: Trace,
    content: Digest,
    tells: Option<Step>,
    abandons: bool,
    stops: bool,
}

impl Stream {
    fn new(trace: &Trace, tells: Option<Step>) -> Self {
        Self {
            trace: trace.clone(),
            content: Digest::default(),
            tells,
            abandons: false,
            stops: false,
        }
    }
}

impl StreamBehaviour<Step> for Stream {
    fn started(&mut self, cx: &StreamContext<'_>) -> StreamResult<Step> {
        self.trace.note(name(cx.key()), "started");
        Ok(match (self.abandons, self.stops) {
            (true, _) => StreamAction::Shutdown(Shutdown::AbortSend(RESET)).into(),
            (_, true) => StreamAction::Shutdown(Shutdown::AbortReceive(STOP)).into(),
            _ => Actions::new(),
        })
    }

    fn data(&mut self, cx: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<Step> {
        self.content.add(&data);
        if at.end {
            let fact = format!("to its end: {}", self.content);
            self.trace.note(name(cx.key()), fact);
        }
        Ok(Actions::new())
    }

    fn peer_aborted_send(&mut self, cx: &StreamContext<'_>, code: u64) -> StreamResult<Step> {
        let what = format!("{} receives", name(cx.key()));
        self.trace.note(what, format!("abandoned with {code}"));
        Ok(Actions::new())
    }

    fn peer_aborted_receive(&mut self, cx: &StreamContext<'_>, code: u64) -> StreamResult<Step> {
        let what = format!("{} sends", name(cx.key()));
        self.trace.note(what, format!("stopped with {code}"));
        Ok(Actions::new())
    }

    fn send_complete(&mut self, cx: &StreamContext<'_>, cancelled: bool) -> StreamResult<Step> {
        let what = format!("{} sends", name(cx.key()));
        self.trace
            .note(what, format!("sent, cancelled: {cancelled}"));
        Ok(Actions::new())
    }

    fn closed(&mut self, cx: &StreamContext<'_>, how: StreamClosed) -> StreamResult<Step> {
        closed(&self.trace, cx.key(), how);
        Ok(match self.tells.take() {
            Some(step) => StreamAction::Tell(step).into(),
            None => Actions::new(),
        })
    }
}
