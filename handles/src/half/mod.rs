//! The halves that session streams and HTTP messages share.

mod recv;
mod send;

use std::fmt;
use std::sync::Arc;

use aqueduct_core::code::Code;
use aqueduct_core::connection::Access;
use aqueduct_core::endpoint::QuinnTransport;
use aqueduct_core::error::{PeerCode, ReadError as CoreRead, WriteError as CoreWrite};
use aqueduct_core::fault::Violation;
use aqueduct_core::id::StreamKey;
use aqueduct_core::priority::Priority;
use aqueduct_core::webtransport::SessionClose;

use crate::connection::ConnHandle;
use crate::error::{ReadError, ResetError, SendError, WriteError};
use crate::place::{At, Place};
use crate::route::end_both;
use crate::shared::{Locked, Step, wait_for};
use crate::table::{RecvOver, SendOver};

pub(crate) use recv::RecvHalf;
#[cfg(feature = "futures-io")]
pub(crate) use recv::into_buffer;
pub(crate) use send::SendHalf;

/// A reference to a stream's entry.
pub(crate) struct Half {
    pub(crate) conn: Arc<ConnHandle>,
    pub(crate) at: At,
    pub(crate) key: StreamKey,
    /// Has let go of its entry.
    released: bool,
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {:?}", self.key, self.conn.key)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if !self.released {
            let last = self.is_last();
            self.release(&mut self.conn.lock(), last);
        }
    }
}

impl Half {
    /// Whether no other handle of the connection is left.
    fn is_last(&self) -> bool {
        Arc::strong_count(&self.conn) == 1
    }

    /// Lets go of the entry.
    fn release(&self, locked: &mut Locked<'_>, last: bool) {
        locked.release(self.at);
        // The very last handle closes the connection.
        if !last {
            locked.state().leave_unused(self.at.conn);
        }
    }

    /// One more reference to an entry.
    pub(crate) fn new(
        conn: &Arc<ConnHandle>,
        locked: &mut Locked<'_>,
        stream: usize,
        key: StreamKey,
    ) -> Self {
        let at = At {
            conn: conn.at,
            stream,
        };
        locked.conn(at.conn).retain_stream(at.stream);
        Self {
            conn: conn.clone(),
            at,
            key,
            released: false,
        }
    }

    /// One more reference to the same entry.
    pub(crate) fn again(&self, locked: &mut Locked<'_>) -> Self {
        Self::new(&self.conn, locked, self.at.stream, self.key)
    }

    /// What dropping a half tells the peer. Data streams of a session carry
    /// application codes, whose zero means nothing in particular.
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1.1
    // A client that cancels, and a server that gives up a request it may have
    // acted upon, say H3_REQUEST_CANCELLED; "rejected" would promise that nothing
    // was done.
    fn abandon_code(&self, locked: &mut Locked<'_>) -> u64 {
        if locked.stream(self.at).message.is_some() {
            Code::H3_REQUEST_CANCELLED.value()
        } else {
            0
        }
    }

    /// Abandons the sending half.
    fn reset(&self, locked: &mut Locked<'_>, code: u64) -> Result<(), ResetError> {
        if locked.stream(self.at).send_over == Some(SendOver::Reset) {
            return Err(ResetError::Gone);
        }
        let reset = |core: &mut Access<'_, QuinnTransport<'_>>| match core.send(self.key) {
            Ok(mut send) => send.reset(code),
            Err(_) => Err(ResetError::Gone),
        };
        let done = locked
            .core(self.conn.key, reset)
            .unwrap_or(Err(ResetError::Gone));
        if done.is_ok() {
            locked.end_send(self.at, SendOver::Reset);
            locked.wake(Place::SendEnd(self.at));
        }
        done
    }

    pub(crate) fn stopped(
        &self,
    ) -> impl Future<Output = Result<Option<PeerCode>, WriteError>> + Send + 'static + use<> {
        let half = self.again(&mut self.conn.lock());
        async move { wait_for(&half.conn.shared, |locked| half.stopped_yet(locked)).await }
    }

    /// Whether the peer has stopped the stream, or has acknowledged all of it.
    fn stopped_yet(&self, locked: &mut Locked<'_>) -> Step<Result<Option<PeerCode>, WriteError>> {
        let stream = locked.stream(self.at);
        if let Some(code) = stream.stopped
            && !stream.goes_with_session(code)
        {
            return Step::Done(Ok(Some(code)));
        }
        if stream.delivered {
            return Step::Done(Ok(None));
        }
        if stream.send_over == Some(SendOver::Reset) {
            return Step::Done(Err(WriteError::Reset));
        }
        match self.write_end(locked) {
            Some(error) => Step::Done(Err(error)),
            None => Step::Wait(Place::SendEnd(self.at)),
        }
    }

    pub(crate) fn set_send_order(&self, order: i32) {
        self.conn.lock().core(self.conn.key, |core| {
            // A stream that is over needs no order.
            if let Ok(mut send) = core.send(self.key) {
                send.set_send_order(order);
            }
        });
    }

    pub(crate) fn set_send_group(&self, group: u32) {
        self.conn.lock().core(self.conn.key, |core| {
            // A stream that is over needs no group.
            if let Ok(mut send) = core.send(self.key) {
                send.set_send_group(group);
            }
        });
    }

    pub(crate) fn set_priority(&self, priority: Priority) {
        // A request that is over needs no priority.
        let _ = self
            .conn
            .lock()
            .core(self.conn.key, |core| core.set_priority(self.key, priority));
    }

    pub(crate) fn set_paced(&self, paced: bool) {
        let mut locked = self.conn.lock();
        locked.core(self.conn.key, |core| core.set_paced(self.key, paced));
    }

    /// The peer broke a rule of what the content is: both halves end with its code.
    pub(crate) fn refuse(&self, why: Violation) {
        let mut locked = self.conn.lock();
        let code = why.code().value();
        locked.core(self.conn.key, |core| end_both(core, self.key, code));
        locked.stream(self.at).malformed.get_or_insert(why);
        locked.wake_stream(self.at);
    }

    /// How the whole stream ended, if it has, in the words of one half.
    fn end<E: From<SessionClose>>(
        &self,
        locked: &mut Locked<'_>,
        malformed: impl FnOnce(Violation) -> E,
        [unprocessed, early]: [E; 2],
    ) -> Option<E> {
        let stream = locked.stream(self.at);
        if let Some(why) = stream.malformed {
            return Some(malformed(why));
        }
        if stream.unprocessed {
            return Some(unprocessed);
        }
        if stream.early_rejected {
            return Some(early);
        }
        locked.ended(self.at).map(E::from)
    }

    /// How the sending half ended from the peer's side, if it has.
    fn write_end(&self, locked: &mut Locked<'_>) -> Option<WriteError> {
        let stream = locked.stream(self.at);
        if let Some(code) = stream.stopped
            && !stream.goes_with_session(code)
        {
            return Some(WriteError::Stopped(code));
        }
        let unseen = [WriteError::Unprocessed, WriteError::EarlyDataRejected];
        self.end(locked, WriteError::Malformed, unseen)
    }

    /// How the receiving half ended from the peer's side, if it has.
    pub(crate) fn read_end(&self, locked: &mut Locked<'_>) -> Option<ReadError> {
        let stream = locked.stream(self.at);
        if let Some(code) = stream.reset
            && !stream.goes_with_session(code)
        {
            return Some(ReadError::Reset(code));
        }
        let unseen = [ReadError::Unprocessed, ReadError::EarlyDataRejected];
        self.end(locked, ReadError::Malformed, unseen)
    }

    /// The error of a core write, in the words of whoever ended the stream.
    /// `None` while that is still on its way.
    pub(crate) fn write_error(
        &self,
        locked: &mut Locked<'_>,
        error: CoreWrite,
    ) -> Option<WriteError> {
        match error {
            CoreWrite::Stopped(code) => {
                // The core forgets the stream when both halves are over.
                let stream = locked.stream(self.at);
                stream.stopped.get_or_insert(code);
                if !stream.goes_with_session(code) {
                    return Some(WriteError::Stopped(code));
                }
            }
            CoreWrite::WrongState => return Some(WriteError::WrongState),
            CoreWrite::ContentLength => return Some(WriteError::ContentLength),
            CoreWrite::Reset => return Some(WriteError::Reset),
            _ => {}
        }
        locked.pump();
        match self.write_end(locked) {
            // The end of its session is on the way, and wakes who waits.
            None if locked.stream(self.at).stopped.is_some() => None,
            None => Some(WriteError::Finished),
            told => told,
        }
    }

    pub(crate) fn send_error(&self, locked: &mut Locked<'_>, error: SendError) -> WriteError {
        match error {
            SendError::WrongState => WriteError::WrongState,
            SendError::InvalidHead(invalid) => WriteError::InvalidHead(invalid),
            SendError::HeadTooLarge => WriteError::HeadTooLarge,
            SendError::ContentLength => WriteError::ContentLength,
            SendError::Stopped(code) => {
                locked.pump();
                // Nothing waits here, so a stream that goes with its session is stopped
                // until the session's end has come.
                self.write_end(locked).unwrap_or(WriteError::Stopped(code))
            }
            SendError::Reset => WriteError::Reset,
            _ => {
                locked.pump();
                self.write_end(locked).unwrap_or(WriteError::Finished)
            }
        }
    }

    fn read_error(&self, locked: &mut Locked<'_>, error: CoreRead) -> Option<ReadError> {
        match error {
            CoreRead::Reset(code) => {
                // The core forgets the stream when both halves are over.
                let stream = locked.stream(self.at);
                stream.reset.get_or_insert(code);
                if !stream.goes_with_session(code) {
                    return Some(ReadError::Reset(code));
                }
            }
            CoreRead::Malformed(why) => {
                locked.stream(self.at).malformed.get_or_insert(why);
                return Some(ReadError::Malformed(why));
            }
            _ => {}
        }
        locked.pump();
        match self.read_end(locked) {
            // The end of its session is on the way, and wakes who waits.
            None if locked.stream(self.at).reset.is_some() => None,
            None => Some(ReadError::Closed),
            told => told,
        }
    }
}

/// The name of a stream, which keeps nothing of it.
#[derive(Clone)]
pub(crate) struct StreamName {
    conn: Arc<ConnHandle>,
    at: At,
    key: StreamKey,
}

impl StreamName {
    /// Whether somebody waits to read of it, and has not been woken.
    pub(crate) fn is_awaited(&self) -> bool {
        let mut locked = self.conn.lock();
        let streams = &mut locked.conn(self.at.conn).streams;
        let found = streams.get(self.at.stream);
        found.is_some_and(|stream| stream.key == self.key && stream.read.is_some())
    }

    /// Abandons what of the stream is not over, and wakes who reads and writes it.
    pub(crate) fn cancel(&self, code: u64) {
        let mut locked = self.conn.lock();
        let streams = &mut locked.conn(self.at.conn).streams;
        let found = streams.get_mut(self.at.stream);
        let Some(stream) = found.filter(|stream| stream.key == self.key) else {
            return;
        };
        stream.kept = None;
        let (reads, writes) = (stream.recv_over.is_none(), stream.send_over.is_none());
        locked.core(self.conn.key, |core| end_both(core, self.key, code));
        if reads {
            locked.end_recv(self.at, RecvOver::Stopped);
        }
        if writes {
            locked.end_send(self.at, SendOver::Reset);
        }
        locked.wake_stream(self.at);
    }
}

impl Half {
    /// See [`StreamName`].
    pub(crate) fn name(&self) -> StreamName {
        StreamName {
            conn: self.conn.clone(),
            at: self.at,
            key: self.key,
        }
    }
}
