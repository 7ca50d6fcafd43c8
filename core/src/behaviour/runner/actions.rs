//! Takes what callbacks return. What can be done at once is done; the rest waits for the
//! connection.

use std::time::Instant;

use super::stream::{Signal, Whose};
use super::{Due, Runner, Todo};
use crate::behaviour::action::{Action, ActionError, Actions, StreamAction, StreamActionError};
use crate::behaviour::connection::Behaviour;
use crate::id::StreamKey;
use crate::quic::{MAX_CODE, Shutdown, ShutdownError};
use crate::time::after;

/// How strong what ends the connection or goes on is; the strongest of a list counts.
fn strength<M>(action: &Action<M>) -> u8 {
    match action {
        Action::Close(..) | Action::Stop => 3,
        Action::Drain(_) => 2,
        Action::Continue => 1,
        _ => 0,
    }
}

impl<B: Behaviour> Runner<B> {
    /// Takes the actions of a callback of the connection's.
    pub(super) fn perform(&mut self, now: Instant, actions: Actions<Action<B::Message>>) {
        let strongest = actions.sort_out(strength, |action| self.do_one(now, action));
        if let Some(action) = strongest {
            self.do_one(now, action);
        }
    }

    fn do_one(&mut self, now: Instant, action: Action<B::Message>) {
        let todo = match action {
            Action::Stream(key, action) => {
                if self.streams.contains_key(&key) {
                    self.perform_on(key, action);
                    self.touch(key);
                } else if self.ended.is_none() {
                    let error = ActionError::NoSuchStream(key);
                    self.due.push_back(Due::Failed(error));
                }
                return;
            }
            // On a connection that is over there is nothing else to do.
            _ if self.ended.is_some() => return,
            Action::WakeAt(at) => {
                self.wake = Some(at);
                return;
            }
            Action::WakeAfter(wait) => {
                self.wake = Some(after(now, wait));
                return;
            }
            Action::Sleep => {
                self.wake = None;
                return;
            }
            Action::Continue => return self.due.push_back(Due::Continued),
            Action::Start(stream) => Todo::Start(stream),
            Action::Datagram(datagram) => Todo::Datagram(datagram),
            Action::Confirm(verdict) => Todo::Confirm(verdict),
            Action::Drain(wait) => Todo::Drain(wait),
            Action::Close(code, reason) => Todo::Close(code, reason),
            Action::Stop => Todo::Close(0, bytes::Bytes::new()),
        };
        self.todo.push_back(todo);
    }

    /// Does one action on a stream, if it is still there.
    pub(super) fn perform_on(&mut self, key: StreamKey, action: StreamAction<B::Message>) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let ending = stream.is_ending();
        match action {
            // There is nothing that it could do, and whoever heard so might ask again for ever.
            StreamAction::Finish
            | StreamAction::Shutdown(_)
            | StreamAction::SetMode(_)
            | StreamAction::Receive(_)
                if ending => {}
            StreamAction::Send(data) => stream.send(data, &self.config),
            StreamAction::Finish | StreamAction::Shutdown(Shutdown::Graceful) => {
                if let Err(error) = stream.finish() {
                    stream.tell(Signal::Failed(StreamActionError::Shutdown(error)));
                }
            }
            StreamAction::Shutdown(how) => self.shut_down(key, how, true),
            StreamAction::SetMode(mode) => stream.recv.set_mode(mode),
            StreamAction::Receive(want) => stream.recv.receive(want, self.config.receive),
            StreamAction::SetPriority(priority) => stream.priority = Some(priority),
            StreamAction::HandOff(owner) => stream.hand_over(Whose::Own(owner)),
            StreamAction::Orphan => {
                stream.hand_over(Whose::Orphan);
                self.due.push_back(Due::Orphaned(key));
            }
            StreamAction::Abandon(code) => {
                let code = code.min(MAX_CODE);
                if let Some(stream) = self.remove(key)
                    && stream.closed.is_none()
                {
                    self.todo.push_back(Todo::Abandon(key, code));
                }
            }
            StreamAction::Tell(message) => self.due.push_back(Due::Message(message)),
        }
    }

    /// A callback of the stream's has failed.
    pub(super) fn fail_stream(&mut self, key: StreamKey, code: u64) {
        self.shut_down(key, Shutdown::Abort(code), false);
    }

    /// Abandons a stream, or half of it. `told`: whether its owner hears that it could not
    /// be.
    fn shut_down(&mut self, key: StreamKey, how: Shutdown, told: bool) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        let (code, sends, receives) = match how {
            Shutdown::Graceful => return,
            Shutdown::AbortSend(code) => (code, true, false),
            Shutdown::AbortReceive(code) => (code, false, true),
            Shutdown::Abort(code) | Shutdown::Immediate(code) => (code, true, true),
        };
        if code > MAX_CODE {
            let error = StreamActionError::Shutdown(ShutdownError::CodeOutOfRange);
            return stream.tell(Signal::Failed(error));
        }
        if receives {
            stream.recv.stop();
            stream.readable = false;
        }
        if sends {
            stream.cancel_sends();
        }
        if stream.closed.is_none() {
            stream.ends.push((how, told));
        }
    }
}
