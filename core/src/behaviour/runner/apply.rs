//! Does on the connection what callbacks have returned.

use super::stream::{Signal, Stream, Whose};
use super::{Due, Runner, Todo};
use crate::behaviour::action::{ActionError, NewStream, StreamActionError};
use crate::behaviour::connection::Behaviour;
use crate::connection::quic::QuicAccess;
use crate::id::StreamKey;
use crate::quic::Shutdown;
use crate::time::after;
use crate::transport::Transport;

impl<B: Behaviour> Runner<B> {
    /// Does what callbacks have returned, and takes what has arrived and is wanted since.
    /// Calls nothing of the behaviour's; more may be due afterwards.
    pub fn apply<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>) {
        self.look(access);
        self.apply_todo(access);
        for key in std::mem::take(&mut self.waiting) {
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.in_wait = false;
            }
            self.serve(access, key);
            self.touch(key);
        }
        if self.ended.is_none() {
            self.take_datagrams(access);
        }
    }

    pub(super) fn apply_todo<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>) {
        while let Some(todo) = self.todo.pop_front() {
            if let Err(error) = self.apply_one(access, todo) {
                self.due.push_back(Due::Failed(error));
            }
        }
    }

    fn apply_one<T: Transport>(
        &mut self,
        access: &mut QuicAccess<'_, T>,
        todo: Todo<B::Message>,
    ) -> Result<(), ActionError> {
        match todo {
            Todo::Start(stream) => self.start(access, *stream),
            Todo::Datagram(datagram) => access.send_datagram(datagram)?,
            Todo::Confirm(verdict) => access.confirm(verdict)?,
            Todo::Drain(wait) => {
                let until = after(access.now(), wait);
                access.drain(until);
            }
            Todo::Close(code, reason) => access.close(code, reason)?,
            Todo::Abandon(key, code) => {
                // It may have ended meanwhile.
                access.shutdown(key, Shutdown::Immediate(code)).ok();
            }
        }
        Ok(())
    }

    fn start<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>, new: NewStream<B::Message>) {
        let key = match access.start(new.dir, new.how) {
            Ok(key) => key,
            Err(why) => return self.due.push_back(Due::NotStarted(why, new.owner)),
        };
        let whose = Whose::Own(new.owner);
        let mut stream = Stream::new(key.id(), self.facts.side, whose, new.mode);
        if !new.first.is_empty() {
            stream.send(new.first, &self.config);
        }
        if new.finish {
            // A stream of this side's sends.
            stream.finish().ok();
        }
        self.streams.insert(key, stream);
        self.serve(access, key);
        self.touch(key);
    }

    /// Does whatever a stream wants of the connection.
    pub(super) fn serve<T: Transport>(&mut self, access: &mut QuicAccess<'_, T>, key: StreamKey) {
        let piece = self.config.piece;
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if !stream.wants_access(piece) {
            return;
        }
        if let Some(priority) = stream.priority.take()
            && let Err(error) = access.set_priority(key, priority)
        {
            stream.tell(Signal::Failed(StreamActionError::Priority(error)));
        }
        flush(access, key, stream);
        if stream.is_to_finish()
            && let Err(error) = access.shutdown(key, Shutdown::Graceful)
        {
            stream.tell(Signal::Failed(StreamActionError::Shutdown(error)));
        }
        for (how, told) in std::mem::take(&mut stream.ends) {
            if let Err(error) = access.shutdown(key, how)
                && told
            {
                stream.tell(Signal::Failed(StreamActionError::Shutdown(error)));
            }
        }
        self.pull(access, key);
    }
}

/// Writes what waits, as much as QUIC takes.
fn flush<T: Transport, M>(access: &mut QuicAccess<'_, T>, key: StreamKey, stream: &mut Stream<M>) {
    loop {
        let writable = stream.writable;
        let Some(rest) = stream.front() else { return };
        let mut taken = 0;
        if !rest.is_empty() {
            if !writable {
                return;
            }
            match access.write(key, std::slice::from_mut(rest)) {
                Ok(bytes) => taken = bytes,
                // Why, an event says.
                Err(_) => return stream.cancel_sends(),
            }
        }
        if !stream.written(taken) {
            stream.writable = false;
            return;
        }
    }
}
