//! The behaviour of a connection whose stream, or whose datagrams, are standard input and output.
//!
//! It takes what it is to say from its mailbox, and tells what it hears over channels: what is to be
//! printed over one, what ends something over another. What is to be printed comes in so many pieces
//! as were asked for, so that a slow reader fills no memory.

use std::sync::Arc;

use aqueduct_tokio::protocol::behaviour::{
    Accept, Action, ActionError, Actions, Behaviour, ConnectionClosed, ConnectionResult, Context,
    Failure, Mode, NewStream, Opened, Owner, StreamAction,
};
use aqueduct_tokio::protocol::error::CloseReason;
use aqueduct_tokio::protocol::id::{Dir, StreamKey};
use aqueduct_tokio::protocol::quic::{About, DatagramError, Shutdown, StartError};
use aqueduct_tokio::protocol::transport::EarlyData;
use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use super::half::{Heard, PIECES, Teller};

/// Sends under way: bytes of a stream that QUIC has not taken.
const SENDS: usize = 8;
/// Datagrams that wait to be printed; of more, those that come are lost.
const DATAGRAMS: usize = 1024;

/// What standard input and output are joined to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// A stream of ours.
    pub(super) open: Option<Dir>,
    /// The peer's first stream.
    pub(super) accept: bool,
    /// Datagrams, and no stream.
    pub(super) datagrams: bool,
    /// Nothing of what the peer sends on the stream is wanted, with this code.
    pub(super) stop: Option<u64>,
}

impl Plan {
    /// Whether something of a stream is printed.
    pub(super) fn prints(self) -> bool {
        let some = self.accept || self.open == Some(Dir::Bi);
        some && !self.datagrams && self.stop.is_none()
    }

    /// What is done first with what comes on a stream.
    fn receive(self, key: StreamKey) -> Action<Say> {
        match self.stop {
            None => more(key),
            Some(code) => {
                let stop = Shutdown::AbortReceive(code);
                Action::Stream(key, StreamAction::Shutdown(stop))
            }
        }
    }
}

/// What ends something, or begins it.
#[derive(Debug)]
pub(super) enum Told {
    Connected(Option<Box<About>>),
    /// A stream of ours is not to be had.
    NotStarted(StartError),
    /// There is a stream to send on, or there will be none.
    Sends(bool),
    Stopped(u64),
    /// All that was sent on the stream has arrived, or it was abandoned.
    SendOver,
    DatagramFailed {
        error: DatagramError,
        len: usize,
        most: Option<usize>,
    },
    Closed(CloseReason),
}

/// What is to be printed.
#[derive(Debug)]
pub(super) enum Printed {
    Data(Bytes),
    /// No more comes before it is asked for.
    Paused,
    End,
    Reset(u64),
}

/// What the behaviour is to do, and what its streams tell it.
#[derive(Debug)]
pub(super) enum Say {
    Heard(StreamKey, Heard),
    Input(Bytes),
    End,
    Reset(u64),
    /// More is wanted of what the peer sends.
    More,
    Datagram(Bytes),
    Close(u64, Bytes),
}

impl From<(StreamKey, Heard)> for Say {
    fn from((key, heard): (StreamKey, Heard)) -> Self {
        Self::Heard(key, heard)
    }
}

/// Where the other ends of a [`Pipe`] are.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) told: mpsc::UnboundedReceiver<Told>,
    pub(super) printed: mpsc::UnboundedReceiver<Printed>,
    pub(super) datagrams: mpsc::Receiver<Bytes>,
    /// A permit for each `Input` and `Datagram`, given back when it is taken.
    pub(super) room: Arc<Semaphore>,
}

/// The behaviour.
#[derive(Debug)]
pub(super) struct Pipe {
    plan: Plan,
    told: mpsc::UnboundedSender<Told>,
    printed: mpsc::UnboundedSender<Printed>,
    datagrams: mpsc::Sender<Bytes>,
    room: Arc<Semaphore>,
    sending: Option<StreamKey>,
    printing: Option<StreamKey>,
    /// The datagram that QUIC may not have taken.
    unsent: Option<Bytes>,
    /// It did not take it.
    blocked: bool,
    lost: u64,
}

impl Pipe {
    pub(super) fn new(plan: Plan) -> (Self, Ends) {
        let (told, told_end) = mpsc::unbounded_channel();
        let (printed, printed_end) = mpsc::unbounded_channel();
        let (datagrams, datagrams_end) = mpsc::channel(DATAGRAMS);
        let room = match plan.datagrams {
            true => 1,
            false => SENDS,
        };
        let room = Arc::new(Semaphore::new(room));
        let ends = Ends {
            told: told_end,
            printed: printed_end,
            datagrams: datagrams_end,
            room: room.clone(),
        };
        let pipe = Self {
            plan,
            told,
            printed,
            datagrams,
            room,
            sending: None,
            printing: None,
            unsent: None,
            blocked: false,
            lost: 0,
        };
        (pipe, ends)
    }

    fn tell(&self, told: Told) {
        // Whoever listened has left, and ends the connection.
        let _ = self.told.send(told);
    }

    fn print(&self, printed: Printed) {
        let _ = self.printed.send(printed);
    }

    fn on_stream(
        &mut self,
        cx: &Context<'_>,
        key: StreamKey,
        heard: Heard,
    ) -> Actions<Action<Say>> {
        let (sends, prints) = (self.sending == Some(key), self.printing == Some(key));
        match heard {
            Heard::Started => return self.on_started(cx, key),
            Heard::Data(data, at) if prints => {
                if !data.is_empty() {
                    self.print(Printed::Data(data));
                }
                if at.end {
                    self.print(Printed::End);
                }
            }
            Heard::Passive if prints => self.print(Printed::Paused),
            Heard::Sent if sends => self.room.add_permits(1),
            Heard::Reset(code) if prints => self.print(Printed::Reset(code)),
            Heard::Stopped(code) if sends => self.tell(Told::Stopped(code)),
            Heard::SendOver if sends => self.tell(Told::SendOver),
            _ => {}
        }
        Actions::new()
    }

    fn on_started(&mut self, cx: &Context<'_>, key: StreamKey) -> Actions<Action<Say>> {
        let mut actions = Actions::new();
        let two_way = key.id().dir() == Dir::Bi;
        if key.id().initiator() == cx.side() {
            self.sending = Some(key);
            self.tell(Told::Sends(true));
            if two_way && !self.plan.accept {
                self.printing = Some(key);
                actions.push(self.plan.receive(key));
            }
            return actions;
        }
        actions.push(self.plan.receive(key));
        match (two_way, self.plan.open) {
            (true, None) => {
                self.sending = Some(key);
                self.tell(Told::Sends(true));
            }
            // There is nothing to say on it.
            (true, Some(_)) => actions.push(Action::Stream(key, StreamAction::Finish)),
            (false, None) => self.tell(Told::Sends(false)),
            (false, Some(_)) => {}
        }
        actions
    }

    fn on_sending(&self, action: StreamAction<Say>) -> Actions<Action<Say>> {
        let action = self.sending.map(|key| Action::Stream(key, action));
        action.into_iter().collect()
    }

    fn on_printing(&self, action: StreamAction<Say>) -> Actions<Action<Say>> {
        let action = self.printing.map(|key| Action::Stream(key, action));
        action.into_iter().collect()
    }

    /// Sends the datagram, and looks afterwards whether it was taken.
    fn send_datagram(&self) -> Actions<Action<Say>> {
        match &self.unsent {
            Some(datagram) => [
                Action::Datagram(datagram.clone()),
                Action::WakeAfter(std::time::Duration::ZERO),
            ]
            .into(),
            None => Actions::new(),
        }
    }
}

fn more(key: StreamKey) -> Action<Say> {
    Action::Stream(key, StreamAction::SetMode(Mode::Times(PIECES)))
}

impl Behaviour for Pipe {
    type Message = Say;

    fn connected(&mut self, cx: &Context<'_>, _early: EarlyData) -> ConnectionResult<Say> {
        self.tell(Told::Connected(cx.about().cloned().map(Box::new)));
        let open = self.plan.open.filter(|_| !self.plan.datagrams);
        let open = open.map(|dir| NewStream::new(dir, Teller::owner()).mode(Mode::Passive));
        Ok(open.map(Action::from).into_iter().collect())
    }

    fn new_stream(
        &mut self,
        _cx: &Context<'_>,
        stream: StreamKey,
        _opened: Opened,
    ) -> Result<Accept<Say>, Failure> {
        if self.plan.datagrams || !self.plan.accept || self.printing.is_some() {
            return Ok(Accept::Orphan);
        }
        self.printing = Some(stream);
        Ok(Accept::Own(Teller::owner(), Mode::Passive))
    }

    fn not_started(
        &mut self,
        _cx: &Context<'_>,
        why: StartError,
        _owner: Owner<Say>,
    ) -> ConnectionResult<Say> {
        self.tell(Told::NotStarted(why));
        Ok(Actions::new())
    }

    fn datagram(&mut self, _cx: &Context<'_>, datagram: Bytes) -> ConnectionResult<Say> {
        if self.plan.datagrams && self.datagrams.try_send(datagram).is_err() {
            self.lost += 1;
            tracing::debug!(lost = self.lost, "nobody reads datagrams: one is lost");
        }
        Ok(Actions::new())
    }

    fn datagrams_unblocked(&mut self, _cx: &Context<'_>) -> ConnectionResult<Say> {
        self.blocked = false;
        Ok(self.send_datagram())
    }

    fn message(&mut self, cx: &Context<'_>, message: Say) -> ConnectionResult<Say> {
        Ok(match message {
            Say::Heard(key, heard) => self.on_stream(cx, key, heard),
            Say::Input(data) => self.on_sending(StreamAction::Send(data)),
            Say::End => self.on_sending(StreamAction::Finish),
            Say::Reset(code) => self.on_sending(StreamAction::Shutdown(Shutdown::AbortSend(code))),
            Say::More => self.on_printing(StreamAction::SetMode(Mode::Times(PIECES))),
            Say::Datagram(datagram) => {
                self.unsent = Some(datagram);
                self.send_datagram()
            }
            Say::Close(code, reason) => Action::Close(code, reason).into(),
        })
    }

    // The time comes before what is due by then, and that before what goes on.
    fn timeout(&mut self, _cx: &Context<'_>) -> ConnectionResult<Say> {
        Ok(Action::Continue.into())
    }

    fn continued(&mut self, _cx: &Context<'_>) -> ConnectionResult<Say> {
        if !self.blocked && self.unsent.take().is_some() {
            self.room.add_permits(1);
        }
        Ok(Actions::new())
    }

    fn action_failed(&mut self, cx: &Context<'_>, why: ActionError) -> ConnectionResult<Say> {
        match why {
            ActionError::Datagram(DatagramError::Blocked) => self.blocked = true,
            ActionError::Datagram(error) => self.tell(Told::DatagramFailed {
                error,
                len: self.unsent.as_ref().map_or(0, Bytes::len),
                most: cx.max_datagram_size(),
            }),
            // What is said to a stream that has ended.
            other => tracing::debug!(%other, "something was not done"),
        }
        Ok(Actions::new())
    }

    fn closed(&mut self, _cx: &Context<'_>, how: &ConnectionClosed) {
        self.tell(Told::Closed(how.reason.clone()));
    }
}
