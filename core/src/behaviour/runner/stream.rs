//! One stream of a runner.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::super::action::StreamActionError;
use super::super::config::Config;
use super::super::mode::Mode;
use super::super::receive::{Given, Receiver};
use super::super::stream::Owner;
use crate::id::{Dir, Side, StreamId};
use crate::quic::{Shutdown, ShutdownError, StreamClosed};

/// Whose a stream is.
pub(super) enum Whose<M> {
    /// The connection has not been asked.
    Undecided,
    Own(Owner<M>),
    /// The connection's.
    Orphan,
}

/// Something to be told of a stream that is not data.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) enum Signal {
    Started,
    HandedOver,
    EarlyDataRejected,
    Reset(u64),
    Stopped(u64),
    SendComplete { cancelled: bool },
    SendOver { graceful: bool },
    Failed(StreamActionError),
}

impl Signal {
    /// Comes before data that is there.
    fn is_first(self) -> bool {
        matches!(
            self,
            Self::Started | Self::HandedOver | Self::EarlyDataRejected
        )
    }
}

/// The next callback of a stream.
#[derive(Debug)]
pub(super) enum Step {
    Signal(Signal),
    Given(Given),
    Closed(StreamClosed),
}

/// One `Send`, or several in a row that are cancelled: they take no room.
#[derive(Debug)]
struct Outgoing {
    rest: Bytes,
    cancelled: bool,
    /// How many.
    sends: usize,
    /// Who sent it does not own the stream any more.
    quiet: bool,
}

/// The sending half.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
enum Sending {
    Open,
    /// It is to end when what waits has gone.
    Finish,
    /// It has ended here, or is over.
    Ended,
    /// There never was one.
    None,
}

/// One stream.
pub(super) struct Stream<M> {
    pub(super) whose: Whose<M>,
    pub(super) recv: Receiver,
    /// It exists: `started` is told before all else.
    begun: bool,
    /// QUIC may have something to read.
    pub(super) readable: bool,
    signals: VecDeque<Signal>,
    sends: VecDeque<Outgoing>,
    /// Bytes in `sends`.
    queued: usize,
    sending: Sending,
    /// QUIC may take something.
    pub(super) writable: bool,
    /// Ends that QUIC has not been told, and whether their failure is told.
    pub(super) ends: Vec<(Shutdown, bool)>,
    pub(super) priority: Option<i32>,
    /// It is over for QUIC.
    pub(super) closed: Option<StreamClosed>,
    /// How long it waits for what it has to be taken.
    pub(super) linger: Option<Instant>,
    /// It stands in line for a callback.
    pub(super) in_line: bool,
    /// It stands in line for its connection.
    pub(super) in_wait: bool,
}

impl<M> Stream<M> {
    pub(super) fn new(id: StreamId, side: Side, whose: Whose<M>, mode: Mode) -> Self {
        let own = id.initiator() == side;
        Self {
            whose,
            recv: Receiver::new(mode, !own || id.dir() == Dir::Bi),
            begun: !own,
            readable: false,
            signals: VecDeque::new(),
            sends: VecDeque::new(),
            queued: 0,
            sending: match own || id.dir() == Dir::Bi {
                true => Sending::Open,
                false => Sending::None,
            },
            writable: true,
            ends: Vec::new(),
            priority: None,
            closed: None,
            linger: None,
            in_line: false,
            in_wait: false,
        }
    }

    pub(super) fn tell(&mut self, signal: Signal) {
        self.signals.push_back(signal);
    }

    /// It has begun, and its owner is to be told.
    pub(super) fn begin(&mut self) {
        self.begun = true;
        let handed = self.signals.front() == Some(&Signal::HandedOver);
        self.signals.insert(usize::from(handed), Signal::Started);
    }

    /// Whether nothing is told of it before it begins.
    fn waits_to_begin(&self) -> bool {
        let handed = self.signals.front() == Some(&Signal::HandedOver);
        !self.begun && self.closed.is_none() && !handed
    }

    // ---- what is due ------------------------------------------------------------

    /// The next callback, if one is due.
    pub(super) fn step(&mut self) -> Option<Step> {
        match self.whose {
            Whose::Undecided => return None,
            Whose::Orphan => {
                let closed = self.closed.filter(|_| !self.recv.has_rest());
                return closed.map(Step::Closed);
            }
            Whose::Own(_) if self.waits_to_begin() => return None,
            Whose::Own(_) => {}
        }
        if let Some(signal) = self.signals.front().copied().filter(|it| it.is_first()) {
            self.signals.pop_front();
            return Some(Step::Signal(signal));
        }
        if let Some(given) = self.recv.take() {
            return Some(Step::Given(given));
        }
        if let Some(signal) = self.signals.pop_front() {
            if let Signal::Reset(_) = signal {
                self.recv.discard();
            }
            return Some(Step::Signal(signal));
        }
        let closed = self.closed.filter(|_| !self.recv.has_rest());
        closed.map(Step::Closed)
    }

    /// Whether a callback is due.
    pub(super) fn is_due(&self) -> bool {
        let over = self.is_ending();
        match self.whose {
            Whose::Undecided => false,
            Whose::Orphan => over,
            Whose::Own(_) if self.waits_to_begin() => false,
            Whose::Own(_) => over || !self.signals.is_empty() || self.recv.is_due(),
        }
    }

    /// Whether nothing is left but to tell its end.
    pub(super) fn is_ending(&self) -> bool {
        self.closed.is_some() && !self.recv.has_rest()
    }

    /// Whether it is over, and waits for what it has to be taken.
    pub(super) fn lingers(&self) -> bool {
        let undecided = matches!(self.whose, Whose::Undecided);
        self.closed.is_some() && self.recv.has_rest() && !undecided
    }

    /// Whether something is to be done on the connection.
    pub(super) fn wants_access(&self, piece: usize) -> bool {
        if self.closed.is_some() {
            return false;
        }
        let reads = self.readable && self.recv.room(piece).0 > 0;
        let sends = match self.sends.front() {
            Some(front) => self.writable || front.cancelled || front.rest.is_empty(),
            None => self.sending == Sending::Finish,
        };
        reads || sends || !self.ends.is_empty() || self.priority.is_some()
    }

    // ---- owners -----------------------------------------------------------------

    /// Somebody else's from here on, or the connection's.
    pub(super) fn hand_over(&mut self, whose: Whose<M>) {
        self.recv.hand_over();
        for send in &mut self.sends {
            send.quiet = true;
        }
        self.signals.retain(|signal| {
            !matches!(
                signal,
                Signal::HandedOver | Signal::SendComplete { .. } | Signal::Failed(_)
            )
        });
        match whose {
            // The end alone is told, or owners could pass it on for ever.
            Whose::Own(_) if self.is_ending() => {}
            Whose::Own(_) => self.signals.push_front(Signal::HandedOver),
            _ => {
                self.recv.set_mode(Mode::Passive);
            }
        }
        self.whose = whose;
    }

    // ---- sending ----------------------------------------------------------------

    pub(super) fn send(&mut self, data: Bytes, config: &Config) {
        if self.closed.is_some() {
            return;
        }
        if self.sending != Sending::Open {
            self.tell(Signal::SendComplete { cancelled: true });
            return;
        }
        let queued = self.queued.saturating_add(data.len());
        let cancelled = !config.lets_wait(self.sends.len(), queued);
        if let Some(last) = self.sends.back_mut()
            && cancelled
            && last.cancelled
            && !last.quiet
        {
            last.sends += 1;
            return;
        }
        let rest = if cancelled { Bytes::new() } else { data };
        self.queued += rest.len();
        self.sends.push_back(Outgoing {
            rest,
            cancelled,
            sends: 1,
            quiet: false,
        });
    }

    /// # Errors
    /// The half has ended, or there is none.
    pub(super) fn finish(&mut self) -> Result<(), ShutdownError> {
        match self.sending {
            Sending::Open => self.sending = Sending::Finish,
            Sending::None => return Err(ShutdownError::NoSuchHalf),
            Sending::Finish | Sending::Ended => return Err(ShutdownError::Gone),
        }
        Ok(())
    }

    /// Nothing more is sent; what waits is cancelled.
    pub(super) fn cancel_sends(&mut self) {
        if self.sending != Sending::None {
            self.sending = Sending::Ended;
        }
        self.queued = 0;
        for send in std::mem::take(&mut self.sends) {
            self.tell_complete(&send, true);
        }
    }

    /// What is to be written next, and then [`Self::written`].
    pub(super) fn front(&mut self) -> Option<&mut Bytes> {
        self.sends.front_mut().map(|send| &mut send.rest)
    }

    /// So many bytes of it were taken. Whether all of them were.
    pub(super) fn written(&mut self, bytes: usize) -> bool {
        self.queued = self.queued.saturating_sub(bytes);
        if self.sends.front().is_none_or(|send| !send.rest.is_empty()) {
            return false;
        }
        if let Some(send) = self.sends.pop_front() {
            self.tell_complete(&send, send.cancelled);
        }
        true
    }

    fn tell_complete(&mut self, send: &Outgoing, cancelled: bool) {
        for _ in 0..if send.quiet { 0 } else { send.sends } {
            self.tell(Signal::SendComplete { cancelled });
        }
    }

    /// Whether the half is to be ended: everything has been written.
    pub(super) fn is_to_finish(&mut self) -> bool {
        let now = self.sending == Sending::Finish && self.sends.is_empty();
        if now {
            self.sending = Sending::Ended;
        }
        now
    }

    // ---- ends ---------------------------------------------------------------------

    /// It is over for QUIC.
    pub(super) fn over(&mut self, how: StreamClosed) {
        self.closed.get_or_insert(how);
        self.readable = false;
        self.recv.over();
        self.cancel_sends();
        self.ends.clear();
        self.priority = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream that takes nothing, and an owner that does not mind.
    #[test]
    fn sends_that_are_cancelled_take_no_room() {
        let mut stream = Stream::<()>::new(
            StreamId::new(Side::Client, Dir::Uni, 0),
            Side::Client,
            Whose::Orphan,
            Mode::Active,
        );
        let config = Config {
            queued_sends: 4,
            ..Config::default()
        };
        for _ in 0..10_000 {
            stream.send(Bytes::from_static(b"x"), &config);
        }
        assert_eq!(stream.sends.len(), 5);
        for _ in 0..4 {
            stream.front().expect("waits").clear();
            assert!(stream.written(1));
        }
        assert!(stream.written(0));
        let cancelled = |signal: &&Signal| **signal == Signal::SendComplete { cancelled: true };
        assert_eq!(stream.signals.len(), 10_000);
        assert_eq!(stream.signals.iter().filter(cancelled).count(), 9_996);
        assert!(
            stream.signals.iter().skip(4).all(|it| cancelled(&it)),
            "in their place"
        );
    }
}
