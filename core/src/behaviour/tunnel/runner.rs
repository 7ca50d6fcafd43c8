//! Runs the behaviour of a tunnel.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use super::{
    TunnelAction, TunnelActionError, TunnelAnswer, TunnelBehaviour, TunnelContext, TunnelEnd,
    TunnelResult,
};
use crate::behaviour::action::{Actions, Failure};
use crate::behaviour::config::Config;
use crate::code::Code;
use crate::connection::Access;
use crate::head::ResponseHead;
use crate::masque::{
    Refusal, TunnelClose, TunnelEvent, TunnelIoError, TunnelKey, TunnelKind, TunnelRead,
    TunnelRequest, TunnelSendError, Tunnels,
};
use crate::quic::MAX_CODE;
use crate::time::{Deadline, Why, after};
use crate::transport::Transport;

/// Chunks that are offered, or taken, at once.
const CHUNKS: usize = 16;

/// A behaviour at work on one tunnel.
///
/// Events of the machine go in by [`Self::handle`], which gives back those of other tunnels;
/// then there are turns of [`Self::run`] and [`Self::apply`] while [`Self::has_work`] says
/// so. Both `handle` and `apply` may make the machine tell more.
pub struct TunnelRunner<B: TunnelBehaviour> {
    behaviour: B,
    tunnel: TunnelKey,
    config: Config,
    due: VecDeque<Due<B::Message>>,
    todo: VecDeque<TunnelAction>,
    /// Payloads in `due`.
    payloads: usize,
    payloads_waiting: bool,
    tcp: Tcp,
    /// No payloads are sent any more.
    draining: bool,
    wake: Option<Instant>,
    close_at: Option<Instant>,
    ended: Option<TunnelEnd>,
    over: bool,
}

/// Bytes of TCP on their ways.
#[derive(Debug, Default)]
struct Tcp {
    readable: bool,
    /// Pieces in `due`.
    pieces: usize,
    sends: VecDeque<Bytes>,
    queued: usize,
    /// The machine takes no more until it says so.
    blocked: bool,
    /// They wait for the answer (server).
    early: bool,
    /// The behaviour is to be told when nothing waits.
    had_to_wait: bool,
    /// The sending half is to end when `sends` are gone.
    finish: bool,
    /// It has.
    sent: bool,
}

/// A callback that is due.
enum Due<M> {
    Requested(Box<TunnelRequest>),
    Established(Option<Box<ResponseHead>>),
    Rejected(Box<ResponseHead>),
    Payload(Bytes),
    Unblocked,
    Data(Bytes),
    End,
    Writable,
    Message(M),
    Continued,
    Draining,
    Failed(TunnelActionError),
}

impl<M> Due<M> {
    const fn is_received(&self) -> bool {
        matches!(self, Self::Payload(_) | Self::Data(_) | Self::End)
    }
}

impl<B: TunnelBehaviour> TunnelRunner<B> {
    /// A tunnel that is asked for: of a client, what
    /// [`Tunnels::open`](crate::masque::Tunnels::open) gave; of a server, the key of a
    /// [`TunnelEvent::Requested`], which [`Self::handle`] is given next.
    #[must_use]
    pub fn new(tunnel: TunnelKey, behaviour: B, config: Config) -> Self {
        Self {
            behaviour,
            tunnel,
            config,
            due: VecDeque::new(),
            todo: VecDeque::new(),
            payloads: 0,
            payloads_waiting: false,
            tcp: Tcp::default(),
            draining: false,
            wake: None,
            close_at: None,
            ended: None,
            over: false,
        }
    }

    /// Takes an event of the machine, and what has come. Gives it back if it is of another
    /// tunnel.
    pub fn handle<T: Transport>(
        &mut self,
        tunnels: &mut Tunnels,
        access: &mut Access<'_, T>,
        now: Instant,
        event: (TunnelKey, TunnelEvent),
    ) -> Option<(TunnelKey, TunnelEvent)> {
        if event.0 != self.tunnel {
            return Some(event);
        }
        if self.ended.is_some() {
            return None;
        }
        match event.1 {
            TunnelEvent::Requested(request) => {
                self.tcp.early = true;
                self.due.push_back(Due::Requested(request));
            }
            TunnelEvent::Opened(head) => {
                self.due.push_back(Due::Established(Some(head)));
            }
            TunnelEvent::Refused(head) => {
                let status = head.status;
                self.due.push_back(Due::Rejected(head));
                self.end(TunnelEnd::Rejected(status));
            }
            TunnelEvent::Datagrams => {
                self.payloads_waiting = true;
                self.take_payloads(tunnels, access, now);
            }
            TunnelEvent::DatagramsUnblocked => self.due.push_back(Due::Unblocked),
            TunnelEvent::Readable => {
                self.tcp.readable = true;
                self.take_bytes(tunnels, access, now);
            }
            TunnelEvent::Writable => {
                self.tcp.blocked = false;
                self.flush(tunnels, access, now);
            }
            TunnelEvent::Draining => self.due.push_back(Due::Draining),
            TunnelEvent::Closed(why) => {
                // The machine keeps no more than its configuration says.
                while let Some(payload) = tunnels.recv(access, now, self.tunnel) {
                    self.due.push_back(Due::Payload(payload));
                }
                self.end(TunnelEnd::Closed(why));
            }
        }
        None
    }

    /// Ends it with the next `apply`. Who ends a tunnel is told nothing more that has come.
    fn end_next(&mut self, action: TunnelAction) {
        self.due.retain(|due| !due.is_received());
        self.todo.push_back(action);
    }

    fn end(&mut self, how: TunnelEnd) {
        self.ended = Some(how);
        self.todo.clear();
        self.tcp = Tcp::default();
        self.payloads_waiting = false;
    }

    /// This side has ended it, and wants nothing of what has come since.
    fn end_here(&mut self, how: TunnelEnd) {
        self.due.retain(|due| !due.is_received());
        self.end(how);
    }

    // ---- callbacks ------------------------------------------------------------------

    /// Calls what is due, at most [`Config::callbacks`] and `timeout`, without the connection.
    pub fn run(&mut self, now: Instant) {
        if self.over {
            return;
        }
        let mut left = self.config.callbacks.max(1);
        if self.ended.is_none() {
            if self.close_at.take_if(|at| *at <= now).is_some() {
                self.end_next(TunnelAction::Close);
            }
            if self.wake.take_if(|at| *at <= now).is_some() {
                self.call(now, |it, cx| it.timeout(cx));
            }
        }
        while left > 0
            && let Some(due) = self.due.pop_front()
        {
            left -= 1;
            self.dispatch(now, due);
        }
        if left > 0
            && let Some(how) = self.ended.as_ref().filter(|_| self.due.is_empty())
        {
            self.over = true;
            self.behaviour.closed(&self.context(now), how);
        }
    }

    fn dispatch(&mut self, now: Instant, due: Due<B::Message>) {
        match due {
            Due::Requested(request) => {
                let cx = self.context(now);
                let answer = self.behaviour.requested(&cx, &request);
                self.answer(now, answer);
            }
            Due::Established(head) => self.call(now, |it, cx| it.established(cx, head.as_deref())),
            Due::Rejected(head) => self.behaviour.rejected(&self.context(now), &head),
            Due::Payload(payload) => {
                self.payloads = self.payloads.saturating_sub(1);
                self.call(now, |it, cx| it.payload(cx, payload));
            }
            Due::Unblocked => self.call(now, |it, cx| it.datagrams_unblocked(cx)),
            Due::Data(data) => {
                self.tcp.pieces = self.tcp.pieces.saturating_sub(1);
                self.call(now, |it, cx| it.data(cx, data));
            }
            Due::End => self.call(now, |it, cx| it.end(cx)),
            Due::Writable => self.call(now, |it, cx| it.writable(cx)),
            Due::Message(message) => self.call(now, |it, cx| it.message(cx, message)),
            Due::Continued => self.call(now, |it, cx| it.continued(cx)),
            Due::Draining => self.call(now, |it, cx| it.draining(cx)),
            Due::Failed(why) => self.call(now, |it, cx| it.action_failed(cx, why)),
        }
    }

    fn context(&self, now: Instant) -> TunnelContext {
        TunnelContext {
            tunnel: self.tunnel,
            now,
            queued: self.tcp.queued,
        }
    }

    fn answer(&mut self, now: Instant, answer: Result<TunnelAnswer, Failure>) {
        let actions = answer.map(|answer| match answer {
            TunnelAnswer::Accept(next_hop) => TunnelAction::Accept(next_hop).into(),
            TunnelAnswer::Refuse(refusal) => TunnelAction::Refuse(refusal).into(),
            TunnelAnswer::Later => Actions::new(),
        });
        self.take(now, actions);
    }

    fn call(&mut self, now: Instant, call: impl FnOnce(&mut B, &TunnelContext) -> TunnelResult) {
        let cx = self.context(now);
        let result = call(&mut self.behaviour, &cx);
        self.take(now, result);
    }

    fn take(&mut self, now: Instant, result: TunnelResult) {
        if self.ended.is_some() {
            return;
        }
        match result {
            Ok(actions) => self.perform(now, actions),
            Err(Failure { code, .. }) => self.end_next(TunnelAction::Stop(code)),
        }
    }

    fn perform(&mut self, now: Instant, actions: Actions<TunnelAction>) {
        let strength = |action: &TunnelAction| match action {
            TunnelAction::Close | TunnelAction::Stop(_) => 3,
            TunnelAction::Drain(_) => 2,
            TunnelAction::Continue => 1,
            _ => 0,
        };
        let strongest = actions.sort_out(strength, |action| match action {
            TunnelAction::WakeAt(at) => self.wake = Some(at),
            TunnelAction::WakeAfter(wait) => self.wake = Some(after(now, wait)),
            TunnelAction::Sleep => self.wake = None,
            action => self.todo.push_back(action),
        });
        match strongest {
            Some(TunnelAction::Continue) => self.due.push_back(Due::Continued),
            Some(drain @ TunnelAction::Drain(_)) => self.todo.push_back(drain),
            Some(action) => self.end_next(action),
            None => {}
        }
    }

    // ---- actions ----------------------------------------------------------------------

    /// Does what callbacks have returned, and takes what has come and is wanted since.
    pub fn apply<T: Transport>(
        &mut self,
        tunnels: &mut Tunnels,
        access: &mut Access<'_, T>,
        now: Instant,
    ) {
        while let Some(action) = self.todo.pop_front() {
            if let Err(error) = self.apply_one(tunnels, access, now, action) {
                self.due.push_back(Due::Failed(error));
            }
        }
        self.take_payloads(tunnels, access, now);
        self.take_bytes(tunnels, access, now);
    }

    fn apply_one<T: Transport>(
        &mut self,
        tunnels: &mut Tunnels,
        access: &mut Access<'_, T>,
        now: Instant,
        action: TunnelAction,
    ) -> Result<(), TunnelActionError> {
        let key = self.tunnel;
        match action {
            TunnelAction::Accept(next_hop) => {
                tunnels.accept(access, now, key, next_hop)?;
                self.tcp.early = false;
                self.due.push_back(Due::Established(None));
                self.flush(tunnels, access, now);
            }
            TunnelAction::Refuse(refusal) => {
                tunnels.refuse(access, now, key, &refusal)?;
                self.end_here(TunnelEnd::Refused(refusal));
            }
            TunnelAction::Send(data) => match tunnels.target(key) {
                Some((TunnelKind::Tcp, _)) => {
                    self.queue(data)?;
                    self.flush(tunnels, access, now);
                }
                _ if self.draining => Err(TunnelSendError::Gone)?,
                _ => tunnels.send(access, now, key, &data)?,
            },
            TunnelAction::Finish => {
                self.finish_tcp(tunnels)?;
                self.flush(tunnels, access, now);
            }
            TunnelAction::Drain(wait) => {
                self.draining = true;
                self.close_at = Some(after(now, wait));
                // UDP has no half that could end, and TCP's may have.
                if self.finish_tcp(tunnels).is_ok() {
                    self.flush(tunnels, access, now);
                }
            }
            TunnelAction::Close => {
                tunnels.close(access, now, key);
                self.end_here(TunnelEnd::Closed(TunnelClose::Local));
            }
            TunnelAction::Stop(code) => {
                let refusal = Refusal::Internal;
                let how = if tunnels.refuse(access, now, key, &refusal).is_ok() {
                    TunnelEnd::Refused(refusal)
                } else if code == 0 {
                    tunnels.abort(access, now, key);
                    TunnelEnd::Closed(TunnelClose::Local)
                } else {
                    let code = Code::new(code.min(MAX_CODE));
                    tunnels.abort_with(access, now, key, code);
                    TunnelEnd::Closed(TunnelClose::Local)
                };
                self.end_here(how);
            }
            // Done by `perform`.
            TunnelAction::WakeAt(_)
            | TunnelAction::WakeAfter(_)
            | TunnelAction::Sleep
            | TunnelAction::Continue => {}
        }
        Ok(())
    }

    fn queue(&mut self, data: Bytes) -> Result<(), TunnelActionError> {
        let tcp = &mut self.tcp;
        if tcp.sent || tcp.finish {
            return Err(TunnelIoError::Finished.into());
        }
        let queued = tcp.queued.saturating_add(data.len());
        if !self.config.lets_wait(tcp.sends.len(), queued) {
            return Err(TunnelActionError::Queued);
        }
        if !data.is_empty() {
            tcp.queued = queued;
            tcp.sends.push_back(data);
        }
        Ok(())
    }

    fn finish_tcp(&mut self, tunnels: &Tunnels) -> Result<(), TunnelIoError> {
        let kind = tunnels.target(self.tunnel).map(|(kind, _)| kind);
        if kind != Some(TunnelKind::Tcp) {
            return Err(TunnelIoError::Gone);
        }
        if self.tcp.sent || std::mem::replace(&mut self.tcp.finish, true) {
            return Err(TunnelIoError::Finished);
        }
        Ok(())
    }

    /// Hands on what waits to be sent, as far as the stream takes it, then the end.
    fn flush<T: Transport>(
        &mut self,
        tunnels: &mut Tunnels,
        access: &mut Access<'_, T>,
        now: Instant,
    ) {
        let tcp = &mut self.tcp;
        while !tcp.sends.is_empty() && !tcp.blocked && !tcp.early {
            // What the machine did not take is in front again: it has promised that.
            let all = tcp.sends.make_contiguous();
            let some = all.len().min(CHUNKS);
            let (front, _) = all.split_at_mut(some);
            let offered: usize = front.iter().map(Bytes::len).sum();
            match tunnels.write(access, now, self.tunnel, front) {
                Ok(taken) => {
                    tcp.queued = tcp.queued.saturating_sub(taken);
                    tcp.blocked = taken < offered;
                    tcp.had_to_wait |= tcp.blocked;
                    while tcp.sends.front().is_some_and(Bytes::is_empty) {
                        tcp.sends.pop_front();
                    }
                }
                // Why, an event says.
                Err(_) => {
                    tcp.sent = true;
                    tcp.sends.clear();
                    tcp.queued = 0;
                    return;
                }
            }
        }
        if !tcp.sends.is_empty() || tcp.early || tcp.sent {
            return;
        }
        if std::mem::take(&mut tcp.had_to_wait) {
            self.due.push_back(Due::Writable);
        }
        if tcp.finish {
            tcp.sent = true;
            // Of a failure, an event tells.
            let _ = tunnels.finish(access, now, self.tunnel);
        }
    }

    fn take_payloads<T: Transport>(
        &mut self,
        tunnels: &mut Tunnels,
        access: &mut Access<'_, T>,
        now: Instant,
    ) {
        while self.wants_payloads() {
            match tunnels.recv(access, now, self.tunnel) {
                Some(payload) => {
                    self.payloads += 1;
                    self.due.push_back(Due::Payload(payload));
                }
                None => self.payloads_waiting = false,
            }
        }
    }

    fn wants_payloads(&self) -> bool {
        self.payloads_waiting && self.payloads < self.config.datagrams.max(1)
    }

    /// Takes some bytes of TCP, if the behaviour has had those before.
    fn take_bytes<T: Transport>(
        &mut self,
        tunnels: &mut Tunnels,
        access: &mut Access<'_, T>,
        now: Instant,
    ) {
        if !self.wants_bytes() {
            return;
        }
        let mut left = self.config.piece.max(1);
        while left > 0 && self.tcp.pieces < CHUNKS {
            match tunnels.read(access, now, self.tunnel, left) {
                Ok(TunnelRead::Bytes(data)) => {
                    left = left.saturating_sub(data.len());
                    self.tcp.pieces += 1;
                    self.due.push_back(Due::Data(data));
                }
                Ok(TunnelRead::End) => {
                    self.tcp.readable = false;
                    return self.due.push_back(Due::End);
                }
                // Of an error, an event tells.
                Ok(TunnelRead::Blocked) | Err(_) => {
                    self.tcp.readable = false;
                    return;
                }
            }
        }
    }

    fn wants_bytes(&self) -> bool {
        self.tcp.readable && self.tcp.pieces == 0
    }

    // ---- what is known ----------------------------------------------------------------

    /// Tells the behaviour something, by [`TunnelBehaviour::message`].
    pub fn message(&mut self, message: B::Message) {
        if !self.over {
            self.due.push_back(Due::Message(message));
        }
    }

    /// Whether [`Self::run`] or [`Self::apply`] has something to do at once.
    #[must_use]
    pub fn has_work(&self) -> bool {
        let work = !self.due.is_empty() || !self.todo.is_empty() || self.ended.is_some();
        !self.over && (work || self.wants_payloads() || self.wants_bytes())
    }

    /// When [`Self::run`] is wanted, if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        if self.ended.is_some() {
            return None;
        }
        let at = self.wake.into_iter().chain(self.close_at).min()?;
        Some(Deadline {
            at,
            why: Why::Alarm,
        })
    }

    /// Whether [`TunnelBehaviour::closed`] has been called. Nothing more is.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The tunnel.
    #[must_use]
    pub fn tunnel(&self) -> TunnelKey {
        self.tunnel
    }

    /// The behaviour.
    #[must_use]
    pub fn behaviour(&self) -> &B {
        &self.behaviour
    }

    /// The behaviour, to be changed.
    pub fn behaviour_mut(&mut self) -> &mut B {
        &mut self.behaviour
    }
}

impl<B: TunnelBehaviour> fmt::Debug for TunnelRunner<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TunnelRunner")
            .field("tunnel", &self.tunnel)
            .field("tcp", &self.tcp)
            .field("ended", &self.ended)
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
