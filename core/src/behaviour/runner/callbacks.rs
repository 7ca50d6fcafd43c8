//! Calls the behaviour, and the owners of streams.

use std::time::Instant;

use super::stream::{Signal, Step, Whose};
use super::{Due, Runner, Todo};
use crate::behaviour::action::{Failure, StreamAction};
use crate::behaviour::connection::{Accept, Behaviour, ConnectionResult, Opened, Verdict};
use crate::behaviour::context::{Context, StreamContext};
use crate::behaviour::receive::Given;
use crate::behaviour::stream::{HandedOver, StreamBehaviour, StreamResult};
use crate::error::CloseReason;
use crate::id::StreamKey;
use crate::quic::{MAX_CODE, StreamClosed};
use crate::time::after;

impl<B: Behaviour> Runner<B> {
    /// Calls what is due, at most [`Config::callbacks`](super::super::Config::callbacks),
    /// without the connection.
    pub fn run(&mut self, now: Instant) {
        let most = self.config.callbacks.max(1);
        self.call(now, most);
    }

    /// Calls what is due, at most so many, and `timeout` beside them: an alarm that is always
    /// due keeps nothing up. How many it has called.
    pub(super) fn call(&mut self, now: Instant, most: usize) -> usize {
        if self.over {
            return 0;
        }
        let mut called = 0;
        let woken = self.wake.is_some_and(|at| at <= now);
        if woken {
            self.wake = None;
            self.on_connection(now, |behaviour, cx| behaviour.timeout(cx));
        }
        while let Some((until, key)) = self.lingering.first().copied()
            && until <= now
        {
            self.give_up(key);
        }
        while called < most
            && let Some(due) = self.due.pop_front()
        {
            called += 1;
            self.dispatch(now, due);
        }
        if self.is_at_end() && called < most {
            self.over = true;
            if let Some(how) = self.ended.take() {
                let cx = Context {
                    facts: &self.facts,
                    now,
                    streams: 0,
                };
                self.behaviour.closed(&cx, &how);
                self.ended = Some(how);
            }
        }
        called + usize::from(woken)
    }

    fn dispatch(&mut self, now: Instant, due: Due<B::Message>) {
        match due {
            Due::Stream(key) => self.step(now, key),
            Due::NewStream(key, opened) => self.on_new_stream(now, key, opened),
            Due::Certificate => self.on_certificate(now),
            Due::Orphaned(key) => self.on_orphaned(now, key),
            Due::Begun => self.on_connection(now, |it, cx| it.new_connection(cx)),
            Due::Connected(early) => self.on_connection(now, |it, cx| it.connected(cx, early)),
            Due::Available(dir) => {
                self.forget_told(0, dir);
                self.on_connection(now, |it, cx| it.streams_available(cx, dir));
            }
            Due::NeedsStreams(dir) => {
                self.forget_told(1, dir);
                self.on_connection(now, |it, cx| it.peer_needs_streams(cx, dir));
            }
            Due::PeerAddress(to) => {
                self.on_connection(now, |it, cx| it.peer_address_changed(cx, to));
            }
            Due::LocalAddress(to) => {
                self.on_connection(now, |it, cx| it.local_address_changed(cx, to));
            }
            Due::Ticket => self.on_connection(now, |it, cx| it.ticket(cx)),
            Due::DatagramState(max) => self.on_connection(now, |it, cx| it.datagram_state(cx, max)),
            Due::Datagram(datagram) => {
                self.datagrams = self.datagrams.saturating_sub(1);
                self.on_connection(now, |it, cx| it.datagram(cx, datagram));
            }
            Due::DatagramsUnblocked => self.on_connection(now, |it, cx| it.datagrams_unblocked(cx)),
            Due::NotStarted(why, owner) => {
                self.on_connection(now, |it, cx| it.not_started(cx, why, owner));
            }
            Due::Message(message) => self.on_connection(now, |it, cx| it.message(cx, message)),
            Due::Continued => self.on_connection(now, |it, cx| it.continued(cx)),
            Due::Failed(why) => self.on_connection(now, |it, cx| it.action_failed(cx, why)),
            Due::Draining => self.on_connection(now, |it, cx| it.draining(cx)),
            Due::Shutdown(reason) => self.on_connection(now, |it, cx| match &reason {
                CloseReason::Remote { code, reason } => {
                    it.shutdown_by_peer(cx, code.value(), reason)
                }
                CloseReason::Transport(failure) => it.shutdown_by_transport(cx, failure),
                _ => Ok(Default::default()),
            }),
        }
    }

    fn forget_told(&mut self, what: usize, dir: crate::id::Dir) {
        if let Some(told) = self.told(what, dir) {
            *told = false;
        }
    }

    /// Calls the behaviour and takes what it returns.
    fn on_connection(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut B, &Context<'_>) -> ConnectionResult<B::Message>,
    ) {
        let cx = Context {
            facts: &self.facts,
            now,
            streams: self.streams.len(),
        };
        match call(&mut self.behaviour, &cx) {
            Ok(actions) => self.perform(now, actions),
            Err(failure) => self.fail(failure),
        }
    }

    /// A callback of the connection's has failed.
    fn fail(&mut self, failure: Failure) {
        if self.ended.is_none() {
            let code = failure.code.min(MAX_CODE);
            self.todo.push_back(Todo::Close(code, failure.reason));
        }
    }

    fn on_certificate(&mut self, now: Instant) {
        let chain = self
            .facts
            .about
            .as_ref()
            .map(|about| about.certificates.clone());
        let chain = chain.unwrap_or_default();
        let cx = Context {
            facts: &self.facts,
            now,
            streams: self.streams.len(),
        };
        let verdict = match self.behaviour.certificate(&cx, &chain) {
            Ok(Verdict::Accept) => Ok(()),
            Ok(Verdict::Refuse(alert)) => Err(alert),
            Ok(Verdict::Later) => return,
            Err(failure) => return self.fail(failure),
        };
        if self.ended.is_none() {
            self.todo.push_back(Todo::Confirm(verdict));
        }
    }

    fn on_new_stream(&mut self, now: Instant, key: StreamKey, opened: Opened) {
        let undecided = |runner: &Self| {
            let stream = runner.streams.get(&key);
            stream.is_some_and(|stream| matches!(stream.whose, Whose::Undecided))
        };
        if !undecided(self) {
            return;
        }
        let cx = Context {
            facts: &self.facts,
            now,
            streams: self.streams.len(),
        };
        let accept = self.behaviour.new_stream(&cx, key, opened);
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        match accept {
            Ok(Accept::Own(owner, mode)) => {
                stream.whose = Whose::Own(owner);
                stream.recv.set_mode(mode);
                stream.begin();
            }
            Ok(Accept::Orphan) => {
                stream.whose = Whose::Orphan;
                self.due.push_back(Due::Orphaned(key));
            }
            Err(failure) => {
                stream.whose = Whose::Orphan;
                self.fail(failure);
            }
        }
        self.touch(key);
    }

    fn on_orphaned(&mut self, now: Instant, key: StreamKey) {
        let Some(stream) = self.streams.get(&key) else {
            return;
        };
        if let Whose::Orphan = stream.whose {
            let what = handed_over(&stream.recv);
            self.on_connection(now, |it, cx| it.orphaned(cx, key, what));
        }
    }

    // ---- streams ------------------------------------------------------------------

    /// Makes the next callback of a stream.
    fn step(&mut self, now: Instant, key: StreamKey) {
        let streams = self.streams.len();
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        stream.in_line = false;
        let step = stream.step();
        let is_data = matches!(step, Some(Step::Given(Given::Data(..))));
        match step {
            None => {}
            Some(Step::Closed(how)) => return self.close_stream(now, key, how),
            Some(step) => {
                let cx = StreamContext {
                    connection: Context {
                        facts: &self.facts,
                        now,
                        streams,
                    },
                    key,
                    mode: stream.recv.mode(),
                    offset: stream.recv.offset(),
                };
                let what = handed_over(&stream.recv);
                if let Whose::Own(owner) = &mut stream.whose {
                    let result = call_owner(&mut **owner, &cx, step, what);
                    self.on_result(key, result);
                }
            }
        }
        self.watch(now, key, is_data);
        self.touch(key);
    }

    fn on_result(&mut self, key: StreamKey, result: StreamResult<B::Message>) {
        match result {
            Ok(actions) => {
                for action in actions {
                    self.perform_on(key, action);
                }
            }
            Err(failure) => self.fail_stream(key, failure.code.min(MAX_CODE)),
        }
    }

    /// Tells the end of a stream, which is its last callback.
    fn close_stream(&mut self, now: Instant, key: StreamKey, how: StreamClosed) {
        let Some(stream) = self.remove(key) else {
            return;
        };
        let (mode, offset) = (stream.recv.mode(), stream.recv.offset());
        match stream.whose {
            Whose::Own(mut owner) => {
                let cx = StreamContext {
                    connection: self.context(now),
                    key,
                    mode,
                    offset,
                };
                // A failure has nothing left to end.
                for action in owner.closed(&cx, how).unwrap_or_default() {
                    if let StreamAction::Tell(message) = action {
                        self.due.push_back(Due::Message(message));
                    }
                }
            }
            Whose::Orphan | Whose::Undecided => {
                self.on_connection(now, |it, cx| it.orphan_closed(cx, key, how));
            }
        }
    }

    /// Sees to it that a stream that is over does not wait for its owner for ever, nor for
    /// one that is told other things again and again. `takes`: what it has is being taken.
    fn watch(&mut self, now: Instant, key: StreamKey, takes: bool) {
        let Some(stream) = self.streams.get_mut(&key) else {
            return;
        };
        if !stream.lingers() || (takes && stream.is_due()) || stream.linger.is_some() {
            return;
        }
        let until = after(now, self.config.linger);
        stream.linger = Some(until);
        self.lingering.insert((until, key));
        if self.lingering.len() > self.config.lingering
            && let Some((_, first)) = self.lingering.first().copied()
        {
            self.give_up(first);
        }
    }

    /// Waits no longer for what a stream has to be taken.
    fn give_up(&mut self, key: StreamKey) {
        if let Some(stream) = self.streams.get_mut(&key) {
            if let Some(until) = stream.linger.take() {
                self.lingering.remove(&(until, key));
            }
            stream.recv.give_up();
        }
        self.touch(key);
    }
}

fn handed_over(recv: &crate::behaviour::receive::Receiver) -> HandedOver {
    HandedOver {
        mode: recv.mode(),
        offset: recv.offset(),
        buffered: recv.buffered(),
    }
}

fn call_owner<M>(
    owner: &mut (dyn StreamBehaviour<M> + Send),
    cx: &StreamContext<'_>,
    step: Step,
    what: HandedOver,
) -> StreamResult<M> {
    match step {
        Step::Given(Given::Data(data, at)) => owner.data(cx, data, at),
        Step::Given(Given::Failed(why)) => owner.receive_failed(cx, why),
        Step::Given(Given::Passive) => owner.passive(cx),
        Step::Signal(Signal::Started) => owner.started(cx),
        Step::Signal(Signal::HandedOver) => owner.handed_over(cx, what),
        Step::Signal(Signal::EarlyDataRejected) => owner.early_data_rejected(cx),
        Step::Signal(Signal::Reset(code)) => owner.peer_aborted_send(cx, code),
        Step::Signal(Signal::Stopped(code)) => owner.peer_aborted_receive(cx, code),
        Step::Signal(Signal::SendComplete { cancelled }) => owner.send_complete(cx, cancelled),
        Step::Signal(Signal::SendOver { graceful }) => owner.send_over(cx, graceful),
        Step::Signal(Signal::Failed(why)) => owner.action_failed(cx, why),
        // Told where the stream is removed.
        Step::Closed(_) => Ok(Default::default()),
    }
}
