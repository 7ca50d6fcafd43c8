//! The client's side of the chat. Nothing here knows what loop it runs in.

use aqueduct_core::behaviour::{
    Action, Actions, At, Behaviour, ConnectionClosed, ConnectionResult, Context, NewStream,
    StreamAction, StreamBehaviour, StreamContext, StreamResult,
};
use aqueduct_core::bytes::Bytes;
use aqueduct_core::id::{Dir, StreamKey};
use aqueduct_core::quic::StreamClosed;
use aqueduct_core::transport::EarlyData;

use crate::lines::Lines;

/// What the behaviour of a client is told.
#[derive(Debug)]
pub(crate) enum Typed {
    /// By its stream: it has begun.
    Begun(StreamKey),
    /// By whoever reads the keyboard.
    Line(String),
    /// The same: no more comes.
    End,
    /// By its stream: it is over.
    Over,
}

/// One client.
pub(crate) struct Visitor {
    name: String,
    stream: Option<StreamKey>,
    /// What was typed before there was a stream.
    early: Vec<Typed>,
}

impl Visitor {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            stream: None,
            early: Vec::new(),
        }
    }

    fn type_on(stream: StreamKey, typed: Typed) -> Actions<Action<Typed>> {
        let on_stream = |action| Action::Stream(stream, action);
        match typed {
            // That somebody is typing may be lost, as datagrams are.
            Typed::Line(line) => Actions::new()
                .and(Action::Datagram("typing".into()))
                .and(on_stream(StreamAction::Send(Bytes::from(line + "\n")))),
            Typed::End => on_stream(StreamAction::Finish).into(),
            Typed::Begun(_) | Typed::Over => Actions::new(),
        }
    }
}

impl Behaviour for Visitor {
    type Message = Typed;

    fn connected(&mut self, _: &Context<'_>, _: EarlyData) -> ConnectionResult<Typed> {
        let stream = NewStream::new(Dir::Bi, Box::new(Eye::default()));
        let stream = stream.first(format!("{}\n", self.name));
        Ok(Action::from(stream).into())
    }

    fn message(&mut self, _: &Context<'_>, typed: Typed) -> ConnectionResult<Typed> {
        Ok(match (typed, self.stream) {
            (Typed::Over, _) => Action::Stop.into(),
            (Typed::Begun(stream), _) => {
                self.stream = Some(stream);
                let early = std::mem::take(&mut self.early).into_iter();
                early
                    .flat_map(|typed| Self::type_on(stream, typed))
                    .collect()
            }
            (typed, Some(stream)) => Self::type_on(stream, typed),
            (typed, None) => {
                self.early.push(typed);
                Actions::new()
            }
        })
    }

    fn datagram(&mut self, _: &Context<'_>, name: Bytes) -> ConnectionResult<Typed> {
        println!("({} is typing)", String::from_utf8_lossy(&name));
        Ok(Actions::new())
    }

    fn closed(&mut self, _: &Context<'_>, how: &ConnectionClosed) {
        println!("the end: {}", how.reason);
    }
}

/// The client's stream: shows what others say.
#[derive(Default)]
struct Eye(Lines);

impl StreamBehaviour<Typed> for Eye {
    fn started(&mut self, cx: &StreamContext<'_>) -> StreamResult<Typed> {
        Ok(StreamAction::Tell(Typed::Begun(cx.key())).into())
    }

    fn data(&mut self, _: &StreamContext<'_>, data: Bytes, _: At) -> StreamResult<Typed> {
        for line in self.0.take(&data)? {
            println!("{line}");
        }
        Ok(Actions::new())
    }

    fn closed(&mut self, _: &StreamContext<'_>, _: StreamClosed) -> StreamResult<Typed> {
        Ok(StreamAction::Tell(Typed::Over).into())
    }
}
