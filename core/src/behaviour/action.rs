//! What callbacks return: what is to be done, or that they have failed.

use std::time::{Duration, Instant};

use bytes::Bytes;
use smallvec::SmallVec;

use super::mode::{Mode, Want};
use super::stream::Owner;
use crate::id::{Dir, StreamKey};
use crate::quic::{Shutdown, Start};

/// What a callback of a stream has done on its stream. `M` is the
/// [`Message`](super::Behaviour::Message) of its connection.
#[non_exhaustive]
#[derive(Debug)]
pub enum StreamAction<M> {
    /// Sends these bytes, behind those that wait already.
    /// [`send_complete`](super::StreamBehaviour::send_complete) follows, once for each.
    Send(Bytes),
    /// Ends the sending half when everything before has been sent.
    Finish,
    /// Ends the stream, or half of it. What is abandoned takes what waits with it; a graceful
    /// one is [`Self::Finish`].
    Shutdown(Shutdown),
    /// Changes how the stream receives. What had arrived is given in the new mode, in its
    /// order.
    SetMode(Mode),
    /// Asks for something on a passive stream. It is answered once:
    /// [`data`](super::StreamBehaviour::data) or
    /// [`receive_failed`](super::StreamBehaviour::receive_failed).
    Receive(Want),
    /// Urgency of the stream's data relative to other streams of the connection: higher
    /// first, equal ones share.
    SetPriority(i32),
    /// Gives the stream to another owner, whose
    /// [`handed_over`](super::StreamBehaviour::handed_over) is the next callback of the
    /// stream. What has arrived and was not given goes with it, and so does the mode; what
    /// was asked for does not. The owner before is dropped.
    HandOff(Owner<M>),
    /// Gives the stream to its connection, passive; its owner is dropped. See
    /// [`orphaned`](super::Behaviour::orphaned).
    Orphan,
    /// Gives the stream to nobody: its owner is dropped, both halves are abandoned with the
    /// code, and nobody hears of it again. Other streams, and the connection, go on.
    Abandon(u64),
    /// Tells the stream's connection something, by
    /// [`message`](super::Behaviour::message).
    Tell(M),
}

/// What a callback of a connection has done.
///
/// Of what ends the connection or goes on, the strongest of a list counts, wherever it
/// stands, when all else of the list is done: `Close` and `Stop` before `Drain` before
/// `Continue`.
#[non_exhaustive]
#[derive(Debug)]
pub enum Action<M> {
    /// Something on one of its streams, whoever owns it. Of a stream that is gone,
    /// [`action_failed`](super::Behaviour::action_failed) tells.
    Stream(StreamKey, StreamAction<M>),
    /// Begins a stream.
    Start(Box<NewStream<M>>),
    /// Sends a datagram. Where it is not taken,
    /// [`action_failed`](super::Behaviour::action_failed) tells.
    Datagram(Bytes),
    /// Says whether the peer's certificates will do, after
    /// [`Verdict::Later`](super::Verdict::Later); if not, with the TLS alert that says why.
    Confirm(Result<(), u8>),
    /// Calls [`timeout`](super::Behaviour::timeout) at that time. There is one time; a later
    /// action replaces it.
    WakeAt(Instant),
    /// The same, so long after the callback's time.
    WakeAfter(Duration),
    /// Forgets that time.
    Sleep,
    /// Calls [`continued`](super::Behaviour::continued) behind everything that is due.
    Continue,
    /// Winds the connection down: nothing new begins here, and it is closed with code 0 when
    /// no stream is left, or after that time.
    Drain(Duration),
    /// Closes the connection, with a code of 62 bits and a reason for the peer.
    Close(u64, Bytes),
    /// Closes it with code 0 and no reason.
    Stop,
}

/// A stream to be begun, see [`Action::Start`].
#[derive(Debug)]
#[non_exhaustive]
pub struct NewStream<M> {
    /// Its direction.
    pub dir: Dir,
    /// What becomes of it while the peer allows none, and its priority.
    pub how: Start,
    /// Who hears of it.
    pub owner: Owner<M>,
    /// How it receives.
    pub mode: Mode,
    /// What it begins with; empty for nothing.
    pub first: Bytes,
    /// Its sending half ends with that.
    pub finish: bool,
}

impl<M> NewStream<M> {
    /// A stream of this direction with this owner: active, waiting for the peer's limit,
    /// and nothing sent yet.
    #[must_use]
    pub fn new(dir: Dir, owner: Owner<M>) -> Self {
        Self {
            dir,
            how: Start::new(),
            owner,
            mode: Mode::Active,
            first: Bytes::new(),
            finish: false,
        }
    }

    /// The same, begun in another way.
    #[must_use]
    pub fn how(mut self, how: Start) -> Self {
        self.how = how;
        self
    }

    /// The same in another mode.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The same with bytes that it begins with.
    #[must_use]
    pub fn first(mut self, first: impl Into<Bytes>) -> Self {
        self.first = first.into();
        self
    }

    /// The same, and nothing is sent after that.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.finish = true;
        self
    }
}

impl<M> From<NewStream<M>> for Action<M> {
    fn from(stream: NewStream<M>) -> Self {
        Self::Start(Box::new(stream))
    }
}

/// Actions, in the order in which they are done. One or two take no allocation.
#[derive(Debug)]
pub struct Actions<A>(SmallVec<[A; 2]>);

impl<A> Default for Actions<A> {
    fn default() -> Self {
        Self(SmallVec::new())
    }
}

impl<A> Actions<A> {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same and one more.
    #[must_use]
    pub fn and(mut self, action: impl Into<A>) -> Self {
        self.push(action);
        self
    }

    /// Adds one.
    pub fn push(&mut self, action: impl Into<A>) {
        self.0.push(action.into());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<A> Actions<A> {
    /// Hands out, in order, what has no strength, and gives the strongest of the others, which
    /// is what counts of them; of equals the first.
    pub(super) fn sort_out(
        self,
        strength: impl Fn(&A) -> u8,
        mut each: impl FnMut(A),
    ) -> Option<A> {
        let mut strongest: Option<(u8, A)> = None;
        for action in self {
            match strength(&action) {
                0 => each(action),
                it if strongest.as_ref().is_none_or(|(before, _)| it > *before) => {
                    strongest = Some((it, action));
                }
                _ => {}
            }
        }
        strongest.map(|(_, action)| action)
    }
}

impl<A> From<A> for Actions<A> {
    fn from(action: A) -> Self {
        Self::new().and(action)
    }
}

impl<A, const N: usize> From<[A; N]> for Actions<A> {
    fn from(actions: [A; N]) -> Self {
        actions.into_iter().collect()
    }
}

impl<A> FromIterator<A> for Actions<A> {
    fn from_iter<I: IntoIterator<Item = A>>(actions: I) -> Self {
        Self(actions.into_iter().collect())
    }
}

impl<A> Extend<A> for Actions<A> {
    fn extend<I: IntoIterator<Item = A>>(&mut self, actions: I) {
        self.0.extend(actions);
    }
}

impl<A> IntoIterator for Actions<A> {
    type Item = A;
    type IntoIter = IntoIter<A>;

    fn into_iter(self) -> IntoIter<A> {
        IntoIter(self.0.into_iter())
    }
}

/// [`Actions`], one by one.
#[derive(Debug)]
pub struct IntoIter<A>(smallvec::IntoIter<[A; 2]>);

impl<A> Iterator for IntoIter<A> {
    type Item = A;

    fn next(&mut self) -> Option<A> {
        self.0.next()
    }
}

/// A callback has failed. That ends what the callback belongs to, the stream or the
/// connection, and nothing else.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Failure {
    /// The code that the peer hears: 62 bits; a larger one is said as the largest.
    pub code: u64,
    /// The reason that the peer of a connection hears. Of a stream there is none in QUIC.
    pub reason: Bytes,
}

impl Failure {
    /// A failure with a code and no reason.
    #[must_use]
    pub const fn new(code: u64) -> Self {
        Self {
            code,
            reason: Bytes::new(),
        }
    }

    /// The same with a reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<Bytes>) -> Self {
        self.reason = reason.into();
        self
    }
}

/// Why an action of a connection was not done.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// The stream is gone, or never was.
    #[error("{0:?} is gone")]
    NoSuchStream(StreamKey),
    /// A datagram was not sent.
    #[error(transparent)]
    Datagram(#[from] crate::quic::DatagramError),
    /// Certificates were not confirmed.
    #[error(transparent)]
    Confirm(#[from] crate::quic::ConfirmError),
    /// The connection was not closed.
    #[error(transparent)]
    Close(#[from] crate::quic::CloseError),
}

/// Why an action of a stream was not done.
#[derive(Copy, Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamActionError {
    /// It was not ended so.
    #[error("not ended: {0}")]
    Shutdown(crate::quic::ShutdownError),
    /// It has no other priority.
    #[error("no other priority: {0}")]
    Priority(crate::quic::ShutdownError),
}
