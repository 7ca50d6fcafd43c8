//! The receiving half of a stream: what has been taken from QUIC and not been given to the
//! owner, and when it is to be given.
//!
//! ```text
//!            room: how much is wanted        take: what is to be told
//!   QUIC ──▶ push, finish, reset, over ──▶ held ──▶ owner
//!                                            ▲
//!                      set_mode, receive ────┘ open the tap and close it; nothing else
//! ```
//!
//! Pieces go in at one end and come out at the other, so that no mode and no change of modes
//! loses, doubles or reorders any.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::mode::{At, Mode, ReceiveError, Want};

/// One chunk.
#[derive(Clone, Debug)]
struct Piece {
    data: Bytes,
    early: bool,
}

/// What follows what is held.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum State {
    /// There may be more.
    Open,
    /// The end, which has not been given.
    Ended,
    /// The end, which has.
    Given,
    /// The peer has abandoned it.
    Reset(u64),
    /// This side has, it has no receiving half, or the connection is over.
    Closed,
}

/// What the owner is to be told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Given {
    Data(Bytes, At),
    Failed(ReceiveError),
    Passive,
}

/// The receiving half of a stream.
#[derive(Debug)]
pub(super) struct Receiver {
    mode: Mode,
    held: VecDeque<Piece>,
    buffered: usize,
    /// Where the first byte held stands.
    offset: u64,
    state: State,
    want: Option<Want>,
    /// What was asked for and is refused.
    refused: VecDeque<ReceiveError>,
    /// `Times` has run out, and it has not been told.
    ran_out: bool,
}

impl Receiver {
    /// One that has received nothing; of a stream that receives, or not.
    pub(super) fn new(mode: Mode, receives: bool) -> Self {
        let mut receiver = Self {
            mode: Mode::Passive,
            held: VecDeque::new(),
            buffered: 0,
            offset: 0,
            state: if receives { State::Open } else { State::Closed },
            want: None,
            refused: VecDeque::new(),
            ran_out: false,
        };
        receiver.set_mode(mode);
        receiver
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Bytes and chunks that are wanted from QUIC, `piece` bytes for one that has no length.
    pub(super) fn room(&self, piece: usize) -> (usize, usize) {
        if self.state != State::Open {
            return (0, 0);
        }
        let several = match (self.mode, self.want) {
            (Mode::Passive, None) => return (0, 0),
            (Mode::Passive, Some(Want::Exact(length))) => {
                return (length.saturating_sub(self.buffered), usize::MAX);
            }
            (Mode::Once, _) | (Mode::Passive, Some(Want::Any)) => 1,
            (Mode::Times(left), _) => usize::try_from(left).unwrap_or(usize::MAX),
            (Mode::Active, _) => usize::MAX,
        };
        if self.buffered > 0 {
            return (0, 0);
        }
        (piece, several)
    }

    /// A chunk of what the peer has sent, in order.
    pub(super) fn push(&mut self, data: Bytes, early: bool) {
        if self.state == State::Open && !data.is_empty() {
            self.buffered += data.len();
            self.held.push_back(Piece { data, early });
        }
    }

    /// The end follows.
    pub(super) fn finish(&mut self) {
        if self.state == State::Open {
            self.state = State::Ended;
        }
    }

    /// The peer has abandoned it. What is on its way to the owner still goes there, until
    /// [`Self::discard`].
    pub(super) fn reset(&mut self, code: u64) {
        if self.state == State::Open {
            self.state = State::Reset(code);
            if self.mode == Mode::Passive {
                self.discard();
            }
        }
    }

    /// Nothing more comes. What is held can still be taken.
    pub(super) fn over(&mut self) {
        if self.state == State::Open {
            self.state = State::Closed;
        }
    }

    /// This side wants no more of it.
    pub(super) fn stop(&mut self) {
        if matches!(self.state, State::Open | State::Ended) {
            self.state = State::Closed;
        }
        self.discard();
    }

    /// Forgets what is held, and an end that has not been given.
    pub(super) fn discard(&mut self) {
        self.held.clear();
        self.buffered = 0;
        if self.state == State::Ended {
            self.state = State::Closed;
        }
    }

    /// Nobody waits for it to be taken any longer, nor for what was refused to be told.
    pub(super) fn give_up(&mut self) {
        self.discard();
        self.refused.clear();
        self.ran_out = false;
    }

    pub(super) fn set_mode(&mut self, mode: Mode) {
        if self.want.take().is_some() {
            self.refused.push_back(ReceiveError::Switched);
        }
        self.ran_out = mode == Mode::Times(0);
        self.mode = if self.ran_out { Mode::Passive } else { mode };
    }

    /// Asks for something, of at most `limit` bytes.
    pub(super) fn receive(&mut self, want: Want, limit: usize) {
        let error = match want {
            _ if self.mode != Mode::Passive => ReceiveError::NotPassive,
            _ if self.want.is_some() => ReceiveError::Busy,
            Want::Exact(length) if length == 0 || length > limit => ReceiveError::Length,
            _ => {
                self.want = Some(want);
                return;
            }
        };
        self.refused.push_back(error);
    }

    /// Somebody else owns it: what was asked for is not his.
    pub(super) fn hand_over(&mut self) {
        self.want = None;
        self.refused.clear();
        self.ran_out = false;
    }

    /// Whether [`Self::take`] has something to tell.
    pub(super) fn is_due(&self) -> bool {
        if !self.refused.is_empty() || self.ran_out {
            return true;
        }
        let some = self.has_rest();
        match (self.mode, self.want) {
            (Mode::Passive, None) => false,
            (Mode::Passive, Some(Want::Exact(length))) => {
                self.buffered >= length || self.state != State::Open
            }
            (Mode::Passive, Some(Want::Any)) => some || self.state != State::Open,
            _ => some,
        }
    }

    /// Whether something has arrived that has not been given: bytes, or the end.
    pub(super) fn has_rest(&self) -> bool {
        self.buffered > 0 || self.state == State::Ended
    }

    /// The next thing to tell.
    pub(super) fn take(&mut self) -> Option<Given> {
        if let Some(error) = self.refused.pop_front() {
            return Some(Given::Failed(error));
        }
        if std::mem::take(&mut self.ran_out) {
            return Some(Given::Passive);
        }
        if self.mode == Mode::Passive {
            return self.take_wanted();
        }
        let given = self.piece()?;
        match &mut self.mode {
            Mode::Once => self.mode = Mode::Passive,
            Mode::Times(left) => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.set_mode(Mode::Times(0));
                }
            }
            Mode::Active | Mode::Passive => {}
        }
        Some(given)
    }

    fn take_wanted(&mut self) -> Option<Given> {
        let want = self.want?;
        let given = match want {
            Want::Exact(length) if self.buffered >= length => Some(self.gather(length)),
            Want::Exact(_) => None,
            Want::Any => self.piece(),
        };
        let missing = match want {
            Want::Exact(length) => length.saturating_sub(self.buffered),
            Want::Any => 0,
        };
        let given = given.or(match self.state {
            State::Open => None,
            State::Ended | State::Given => {
                Some(Given::Failed(ReceiveError::PeerFinished { missing }))
            }
            State::Reset(code) => Some(Given::Failed(ReceiveError::Reset(code))),
            State::Closed => Some(Given::Failed(ReceiveError::Closed)),
        })?;
        self.want = None;
        Some(given)
    }

    /// The next piece as it came, or the end alone.
    fn piece(&mut self) -> Option<Given> {
        match self.held.pop_front() {
            Some(Piece { data, early }) => Some(self.give(data, early)),
            None if self.state == State::Ended => Some(self.give(Bytes::new(), false)),
            None => None,
        }
    }

    /// So many bytes in one piece, which are there. They are copied if they came in several.
    fn gather(&mut self, length: usize) -> Given {
        if let Some(front) = self.held.front_mut()
            && front.data.len() >= length
        {
            let (data, early) = (front.data.split_to(length), front.early);
            if front.data.is_empty() {
                self.held.pop_front();
            }
            return self.give(data, early);
        }
        let (mut all, mut early) = (BytesMut::with_capacity(length), false);
        while all.len() < length
            && let Some(front) = self.held.front_mut()
        {
            let most = front.data.len().min(length - all.len());
            all.extend_from_slice(&front.data.split_to(most));
            early |= front.early;
            if front.data.is_empty() {
                self.held.pop_front();
            }
        }
        self.give(all.freeze(), early)
    }

    /// Bytes that have left `held`, and the end if they are the last.
    fn give(&mut self, data: Bytes, early: bool) -> Given {
        self.buffered -= data.len();
        let end = self.buffered == 0 && self.state == State::Ended;
        if end {
            self.state = State::Given;
        }
        let offset = self.offset;
        self.offset += data.len() as u64;
        Given::Data(data, At { offset, end, early })
    }
}

#[cfg(test)]
mod tests;
