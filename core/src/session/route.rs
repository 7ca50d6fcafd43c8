//! From what HTTP/3 tells to whom it concerns: one look-up, one owner, one kind.

use super::floor::Cx;
use super::floor::owner::Owner;
use super::floor::registry::{Entry, Life, Registry};
use super::webtransport::SessionMut;
use super::webtransport::handshake;
use super::webtransport::over_h3::OverH3;
use super::{Kind, Sessions};
use crate::code::Code;
use crate::error::{CloseReason, PeerCode};
use crate::event::{Event, StreamEvent};
use crate::fault::{Fault, Violation};
use crate::h3::connection::H3;
use crate::h3::streams::Kind as StreamKind;
use crate::h3::{Fact, H3Event};
use crate::head::RequestHead;
use crate::id::{Dir, SessionKey, Side, StreamId, StreamKey};
use crate::time::{Deadline, Why, after, earliest};
use crate::transport::Transport;
use crate::webtransport::SessionClose;
use crate::wire::seen::Seen;

/// What is known of a session by its id.
pub(super) enum Standing {
    /// Streams and datagrams can be handed over.
    Open(u32),
    /// It is about to open, or may be.
    Expected,
    /// It is over.
    Over,
    /// The id names a stream that is something else.
    NotASession,
}

impl Sessions {
    /// Takes in an event of the layer below.
    pub(crate) fn handle<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        event: H3Event,
    ) -> Result<(), Fault> {
        match event {
            H3Event::On(stream, fact) => self.on_fact(cx, stream, fact),
            H3Event::Over { stream, identified } => {
                self.on_over(cx, stream, identified);
                Ok(())
            }
            H3Event::Claimed { stream, dir, id } => self.on_claimed(cx, stream, dir, id),
            H3Event::ClaimedByApplication { stream, ty } => {
                Owner::Claimed.give(cx.h3, stream);
                cx.out.push_back(Event::Claimed { stream, ty });
                // Bytes may have come with the type; a read tells.
                let (readable, stopped) = cx.h3.introduce(stream);
                let readable = readable.then_some(StreamEvent::Readable);
                let stopped = stopped.map(|code| StreamEvent::Stopped(PeerCode::http(code)));
                let events = readable.into_iter().chain(stopped);
                cx.out
                    .extend(events.map(|event| Event::Stream(stream, event)));
                Ok(())
            }
            H3Event::Settings => {
                self.on_settings(cx)?;
                let settings = cx.h3.peer_settings.clone().unwrap_or_default();
                cx.out.push_back(Event::Settings(Box::new(settings)));
                Ok(())
            }
            H3Event::PeerDrains => {
                if cx.h3.side == Side::Client {
                    self.for_each(cx, |session| session.tell_draining());
                }
                let by = cx.h3.side.peer();
                cx.out.push_back(Event::Draining { by });
                Ok(())
            }
            // The connection above tells why it closed.
            H3Event::Failed(_) => Ok(()),
        }
    }

    /// Something happened on a stream: whose is it?
    fn on_fact<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        fact: Fact,
    ) -> Result<(), Fault> {
        let Some(slot) = cx.h3.table.get_mut(stream) else {
            return Ok(());
        };
        match Owner::of(slot.owner) {
            Owner::Connect(index) => self.on_connect(cx, index, fact),
            Owner::Data(place) => self.on_data(cx, place, stream, fact),
            // A claimed stream, without datagrams or with them.
            Owner::Claimed | Owner::Request(_) if matches!(slot.kind, StreamKind::Raw(_)) => {
                cx.out.extend(to_application(stream, fact));
                Ok(())
            }
            Owner::Application | Owner::Claimed | Owner::Request(_) => {
                match &slot.kind {
                    // It waits for its session; whoever gets it is told then.
                    StreamKind::Raw(_) => {
                        slot.readable_told = false;
                        return Ok(());
                    }
                    // Its head has not come; whoever introduces it tells a stop, a read
                    // tells the rest.
                    StreamKind::Unidentified(_) => return Ok(()),
                    StreamKind::Exchange(exchange) if !exchange.told => return Ok(()),
                    _ => {}
                }
                match fact {
                    Fact::Request(head) => self.on_request(cx, stream, head),
                    fact => {
                        cx.out.extend(to_application(stream, fact));
                        Ok(())
                    }
                }
            }
        }
    }

    /// A request for a session, or for the application.
    fn on_request<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        head: Box<RequestHead>,
    ) -> Result<(), Fault> {
        if !handshake::is_session(cx.h3, &head) {
            // What named it as a session need not wait any longer.
            self.refuse_streams(cx, stream.id(), Code::WT_BUFFERED_STREAM_REJECTED);
            //= https://www.rfc-editor.org/rfc/rfc8470#section-5.1
            // What has come whole before the handshake was complete may be a replay.
            let early = !cx.h3.established;
            cx.h3.stats.early_requests += u64::from(early);
            let event = Event::Request {
                stream,
                head,
                early,
            };
            cx.h3.note_asked(stream);
            cx.out.push_back(event);
            return Ok(());
        }
        let live = self.registry.live();
        let Some(session) = self.webtransport.on_request(cx, stream, *head, live)? else {
            self.refuse_early(cx, stream.id(), Code::WT_BUFFERED_STREAM_REJECTED);
            return Ok(());
        };
        let entry = Entry::new(
            SessionKey(stream),
            Life::Waiting,
            Kind::WebTransport(session),
        );
        let index = self.registry.insert(cx.h3, entry);
        if cx.h3.peer_settings.is_none() {
            cx.h3.await_more(stream, Why::Head);
        }
        self.ask(cx, index)
    }

    /// Asks the application about a session that has not been asked about.
    fn ask<T: Transport>(&mut self, cx: &mut Cx<'_, T>, index: u32) -> Result<(), Fault> {
        let others = self.registry.asked();
        let asked = self.with(cx, index, |session| session.ask(others));
        asked.unwrap_or(Ok(()))
    }

    /// Something happened on a CONNECT stream.
    fn on_connect<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        index: u32,
        fact: Fact,
    ) -> Result<(), Fault> {
        let done = self.with(cx, index, |session| {
            match fact {
                Fact::Response(head) => return session.on_response(*head),
                Fact::Readable => return session.on_readable(),
                Fact::Writable => session.tell_limits(),
                Fact::Stopped(code) => return session.on_stopped(code),
                Fact::Reset(code) => session.on_abandoned(code),
                Fact::Unprocessed => session.end(SessionClose::Unprocessed),
                // Sessions are never early data.
                Fact::EarlyDataRejected => {}
                Fact::Malformed(why) => {
                    let code = why.code();
                    session.end(SessionClose::PeerMisbehaved { code, why });
                }
                Fact::Reprioritized => session.reprioritized(),
                // Of no meaning to a session.
                Fact::Request(_) | Fact::Interim(_) | Fact::Trailers(_) | Fact::Delivered => {}
            }
            Ok(())
        });
        done.unwrap_or(Ok(()))
    }

    /// Something happened on a data stream of a session.
    fn on_data<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        place: u32,
        stream: StreamKey,
        fact: Fact,
    ) -> Result<(), Fault> {
        let event = match fact {
            Fact::Readable => StreamEvent::Readable,
            Fact::Writable => StreamEvent::Writable,
            Fact::Delivered => StreamEvent::Delivered,
            Fact::Stopped(code) => StreamEvent::Stopped(PeerCode::webtransport(code)),
            Fact::Reset(code) => StreamEvent::Reset(PeerCode::webtransport(code)),
            Fact::Malformed(why) => StreamEvent::Malformed(why),
            // What only messages have.
            Fact::Request(_)
            | Fact::Interim(_)
            | Fact::Response(_)
            | Fact::Trailers(_)
            | Fact::Unprocessed
            | Fact::EarlyDataRejected
            | Fact::Reprioritized => return Ok(()),
        };
        if matches!(event, StreamEvent::Delivered | StreamEvent::Stopped(_))
            && let Some(index) = self.webtransport.streams.get(place).map(|m| m.session)
            && let Some(mut session) = self.lend(cx, index)
        {
            session.on_sending_over();
        }
        let told = match &event {
            StreamEvent::Stopped(code) | StreamEvent::Reset(code) => Some(*code),
            _ => None,
        };
        cx.out.push_back(Event::Stream(stream, event));
        told.map_or(Ok(()), |code| self.on_stream_cut(cx, place, code))
    }

    /// The peer has ended a half of a data stream with a code.
    pub(super) fn on_stream_cut<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        place: u32,
        code: PeerCode,
    ) -> Result<(), Fault> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-6
        // With this code go the streams of a session that is over. What ended it stands
        // on the CONNECT stream and may come behind them; so it is waited for as when
        // the peer has stopped that one.
        if code.wire != Code::WT_SESSION_GONE {
            return Ok(());
        }
        let Some(index) = self.webtransport.streams.get(place).map(|m| m.session) else {
            return Ok(());
        };
        let heard = self.with(cx, index, |session| {
            if session.life.is_open() && session.session.stopped.is_none() {
                session.on_stopped(code.wire.value())
            } else {
                Ok(())
            }
        });
        heard.unwrap_or(Ok(()))
    }

    /// A stream named a session: attach it, let it wait, or refuse it.
    fn on_claimed<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        dir: Dir,
        id: u64,
    ) -> Result<(), Fault> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4
        // A session id is the id of a client-initiated bidirectional stream;
        // anything else cannot be one.
        let id = StreamId::from_wire(id)
            .filter(|id| id.is_request())
            .ok_or(Fault::Connection(Violation::SessionIdInvalid))?;
        match self.standing(cx.h3, id) {
            Standing::Open(index) => {
                let attached = self.with(cx, index, |session| session.attach(stream, dir));
                attached.unwrap_or(Ok(()))
            }
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
            // There is going to be no session without what it needs.
            Standing::Expected if self.webtransport.is_ruled_out(cx.h3) => {
                self.reject_early(cx, stream, id)
            }
            Standing::Expected => self.hold(cx, stream, id),
            Standing::Over => {
                Self::refuse(cx, stream, Code::WT_SESSION_GONE);
                cx.h3.nuisance(1)
            }
            Standing::NotASession => {
                Self::refuse(cx, stream, Code::WT_BUFFERED_STREAM_REJECTED);
                cx.h3.nuisance(1)
            }
        }
    }

    /// Keeps a stream until its session opens.
    fn hold<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        session: StreamId,
    ) -> Result<(), Fault> {
        let limits = &cx.h3.config.limits;
        if self.pending.hold_stream(limits, cx.now, session, stream) {
            cx.h3.stats.early_streams += 1;
            return Ok(());
        }
        self.reject_early(cx, stream, session)
    }

    /// Refuses a stream that cannot wait any longer, or at all.
    fn reject_early<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        session: StreamId,
    ) -> Result<(), Fault> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.6
        // Beyond the limit a stream is refused with a code of its own.
        cx.h3.stats.early_streams_rejected += 1;
        Self::refuse(cx, stream, Code::WT_BUFFERED_STREAM_REJECTED);
        let dir = stream.id().dir();
        let owner = cx.h3.table.find(session).map(|key| Owner::find(cx.h3, key));
        match owner {
            Some(Owner::Connect(index)) => {
                self.with(cx, index, |session| session.on_stream_lost(dir));
            }
            _ => self.on_stream_lost(cx, dir),
        }
        cx.h3.nuisance(1)
    }

    /// A stream was lost, and nobody knows whose it was: a session's that is there, or
    /// one's whose CONNECT is still under way.
    fn on_stream_lost<T: Transport>(&mut self, cx: &mut Cx<'_, T>, dir: Dir) {
        self.webtransport
            .note_lost(&cx.h3.config.limits, cx.now, dir);
        self.for_each(cx, |session| session.on_stream_lost(dir));
    }

    /// What is known of the session a stream or datagram names.
    pub(super) fn standing(&self, h3: &H3, id: StreamId) -> Standing {
        let Some(key) = h3.table.find(id) else {
            return if h3.table.was_seen(id) {
                Standing::Over
            } else if h3.side == Side::Server {
                Standing::Expected
            } else {
                // Only we open sessions, and we have not opened this one.
                Standing::NotASession
            };
        };
        let Some(slot) = h3.table.get(key) else {
            return Standing::Over;
        };
        match (Owner::of(slot.owner), &slot.kind) {
            (Owner::Connect(index), _) => match self.registry.get(index).map(|e| e.life) {
                Some(Life::Open) => Standing::Open(index),
                Some(Life::Over { .. }) | None => Standing::Over,
                Some(_) => Standing::Expected,
            },
            // Its head may still be on the way.
            (_, StreamKind::Exchange(exchange)) if !exchange.told => Standing::Expected,
            (_, StreamKind::Unidentified(_)) => Standing::Expected,
            _ => Standing::NotASession,
        }
    }

    /// Both halves of a stream are over: forget it everywhere.
    fn on_over<T: Transport>(&mut self, cx: &mut Cx<'_, T>, stream: StreamKey, identified: bool) {
        match Owner::find(cx.h3, stream) {
            Owner::Connect(index) => {
                // The session itself ended before, or ends here without a word.
                let why = SessionClose::Reset(Code::H3_REQUEST_CANCELLED);
                self.with(cx, index, |session| session.end(why));
                self.refuse_early(cx, stream.id(), Code::WT_SESSION_GONE);
                self.closing.arm(SessionKey(stream), None);
                self.registry.remove(cx.h3, index);
            }
            Owner::Data(place) => {
                if let Some(index) = self.webtransport.streams.get(place).map(|m| m.session) {
                    self.with(cx, index, |session| session.on_stream_over(place));
                }
            }
            Owner::Request(ring) => self.rings.remove(cx.h3, ring),
            Owner::Claimed => {}
            Owner::Application => {
                self.pending.forget_stream(stream);
                if !identified {
                    self.on_stream_lost(cx, stream.id().dir());
                }
            }
        }
        cx.h3.remove(stream);
        cx.t.seen(stream.id(), Seen::Over);
    }

    /// The peer's SETTINGS arrived.
    fn on_settings<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        self.webtransport.on_settings(cx)?;
        self.ask_all(cx)
    }

    /// Asks the application about the sessions that it has not been asked about.
    pub(crate) fn ask_all<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        for index in self.registry.indices() {
            let result = self.ask(cx, index);
            cx.h3.settle_fault(cx.t, result)?;
        }
        Ok(())
    }

    /// Ends every session with the connection.
    pub(crate) fn end_all<T: Transport>(&mut self, cx: &mut Cx<'_, T>, why: &CloseReason) {
        self.for_each(cx, |session| {
            session.end(SessionClose::Connection(why.clone()));
        });
    }

    /// Asks the peer to wind every open session down.
    pub(crate) fn drain_all<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        self.for_each(cx, |session| {
            // One that is not open yet is not drained; it is told by GOAWAY.
            session.drain().ok();
        });
    }

    /// Closes every open session with code 0, and withdraws those that are asked for.
    pub(crate) fn close_all<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        self.for_each(cx, |session| {
            // One that the application has not answered ends with the connection.
            session.close(0, "").ok();
        });
    }

    /// Whether no session is left, not even one whose close is under way.
    pub(crate) fn are_over(&self) -> bool {
        self.registry.is_empty()
    }

    /// When an early arrival, or the end of a session, has waited long enough.
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let early = self.pending.deadline().map(|at| Deadline {
            at,
            why: Why::EarlyArrivals,
        });
        earliest(early, self.closing.peek())
    }

    /// Does what is due.
    pub(crate) fn handle_timeout<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        while let Some(key) = self.closing.pop_due(cx.now) {
            let ends = self.with_key(cx, key, |session| session.on_stop_waited());
            if ends == Some(true) {
                continue;
            }
            cx.h3.stats.closes_cut_short += 1;
            cx.h3
                .abandon(cx.t, key.stream(), Code::H3_REQUEST_CANCELLED);
        }
        self.refuse_stale(cx)
    }

    /// Refuses what has waited too long. What waits for a session that the
    /// application or the peer is deciding on goes on waiting for as long as that may take.
    fn refuse_stale<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        loop {
            let (h3, registry) = (&*cx.h3, &self.registry);
            let decided = |id: StreamId| {
                let key = h3.table.find(id);
                match key.map(|key| Owner::find(h3, key)) {
                    Some(Owner::Connect(index)) => registry
                        .get(index)
                        .is_some_and(|entry| !entry.life.is_open() && !entry.life.is_over()),
                    _ => false,
                }
            };
            let limits = &h3.config.limits;
            let stale = self.pending.next_stale_stream(limits, cx.now, decided);
            let Some((session, stream)) = stale else {
                let dropped = self.pending.drop_stale_datagrams(limits, cx.now, decided);
                cx.h3.stats.datagrams_unclaimed += dropped;
                return Ok(());
            };
            self.reject_early(cx, stream, session)?;
        }
    }

    // ---- lending -----------------------------------------------------------------

    /// A WebTransport session at work. What becomes of its life is not looked at.
    #[inline]
    pub(super) fn lend<'a, T>(
        &'a mut self,
        cx: &'a mut Cx<'_, T>,
        index: u32,
    ) -> Option<SessionMut<'a, OverH3<'a, T>>> {
        let shared = self.registry.is_shared();
        let entry = self.registry.get_mut(index)?;
        let Kind::WebTransport(session) = &mut entry.kind;
        Some(SessionMut {
            key: entry.key,
            index,
            life: &mut entry.life,
            ring: &mut entry.ring,
            capsules: &mut entry.capsules,
            session,
            streams: &mut self.webtransport.streams,
            carrier: OverH3 {
                h3: cx.h3,
                t: cx.t,
                connect: entry.key,
            },
            out: cx.out,
            terms: &self.webtransport.terms,
            shared,
        })
    }

    /// The session that a data stream belongs to, if it is still in this place.
    #[inline]
    pub(super) fn lend_for<'a, T>(
        &'a mut self,
        cx: &'a mut Cx<'_, T>,
        place: u32,
        stream: StreamKey,
    ) -> Option<SessionMut<'a, OverH3<'a, T>>> {
        let member = self.webtransport.streams.get(place)?;
        let index = (member.stream == stream).then_some(member.session)?;
        self.lend(cx, index)
    }

    /// Works on a session, and sees to what waits for it when it has opened or ended.
    fn with<T: Transport, R>(
        &mut self,
        cx: &mut Cx<'_, T>,
        index: u32,
        work: impl FnOnce(&mut SessionMut<'_, OverH3<'_, T>>) -> R,
    ) -> Option<R> {
        let mut session = self.lend(cx, index)?;
        let (key, was, heard) = (session.key, *session.life, session.session.stopped);
        let result = work(&mut session);
        let (is, stopped) = (*session.life, session.session.stopped);
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
        // A server that has answered in full needs no more of the request; its answer
        // may still be on the way, as long as one to any CONNECT.
        let awaited = is == Life::Asked && stopped == Some(Code::H3_NO_ERROR.value());
        if stopped.is_some() && !is.is_over() && !awaited && (heard != stopped || was != is) {
            self.await_end(cx, key);
        }
        if was == is {
            return Some(result);
        }
        if is.is_open() {
            self.on_open(cx, index, key);
        }
        if was.is_open() && is.is_over() {
            // The close waits for no credit of the peer's for longer than this.
            self.await_end(cx, key);
        }
        if let Some(code) = SessionMut::<OverH3<'_, T>>::refusal(was, is) {
            self.refuse_early(cx, key.id(), code);
        }
        Some(result)
    }

    /// The same for an application's call.
    pub(super) fn with_key<T: Transport, R>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        work: impl FnOnce(&mut SessionMut<'_, OverH3<'_, T>>) -> R,
    ) -> Option<R> {
        let index = Registry::<Kind>::find(cx.h3, key)?;
        self.with(cx, index, work)
    }

    /// The same for every session. O(sessions).
    fn for_each<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        mut work: impl FnMut(&mut SessionMut<'_, OverH3<'_, T>>),
    ) {
        for index in self.registry.indices() {
            self.with(cx, index, &mut work);
        }
    }

    /// The end of a session's CONNECT stream is waited for no longer than agreed.
    fn await_end<T>(&mut self, cx: &Cx<'_, T>, key: SessionKey) {
        let at = after(cx.now, cx.h3.config.limits.close_timeout);
        let why = Why::SessionClose;
        self.closing.arm(key, Some(Deadline { at, why }));
    }

    /// A session has opened: hands over what waited for it, in order of arrival.
    fn on_open<T: Transport>(&mut self, cx: &mut Cx<'_, T>, index: u32, key: SessionKey) {
        let mut result = Ok(());
        for stream in self.pending.take_streams(key.id()) {
            // Beyond the limit we announced, the rest is not taken either.
            match self.lend(cx, index).filter(|_| result.is_ok()) {
                Some(mut session) => result = session.attach(stream, stream.id().dir()),
                None => Self::refuse(cx, stream, Code::WT_SESSION_GONE),
            }
        }
        self.release_datagrams(cx, key.stream());
        let draining = cx.h3.side == Side::Client && cx.h3.goaway_received.is_some();
        if draining && let Some(mut session) = self.lend(cx, index) {
            session.tell_draining();
        }
        cx.h3.fail(cx.t, result);
    }

    /// A session will not open, or is over: refuses what waited for it.
    fn refuse_early<T: Transport>(&mut self, cx: &mut Cx<'_, T>, id: StreamId, code: Code) {
        self.refuse_streams(cx, id, code);
        drop(self.pending.take_datagrams(id));
    }

    /// As [`Self::refuse_early`] for streams alone: the id is a request's, which may
    /// have datagrams of its own.
    fn refuse_streams<T: Transport>(&mut self, cx: &mut Cx<'_, T>, id: StreamId, code: Code) {
        for stream in self.pending.take_streams(id) {
            Self::refuse(cx, stream, code);
        }
    }
}

/// What the application is told of its own stream, if anything.
fn to_application(stream: StreamKey, fact: Fact) -> Option<Event> {
    let event = match fact {
        Fact::Interim(head) => return Some(Event::Interim { stream, head }),
        Fact::Response(head) => return Some(Event::Response { stream, head }),
        Fact::Trailers(trailers) => return Some(Event::Trailers { stream, trailers }),
        Fact::Readable => StreamEvent::Readable,
        Fact::Writable => StreamEvent::Writable,
        Fact::Delivered => StreamEvent::Delivered,
        Fact::Stopped(code) => StreamEvent::Stopped(PeerCode::http(code)),
        Fact::Reset(code) => StreamEvent::Reset(PeerCode::http(code)),
        Fact::Unprocessed => StreamEvent::Unprocessed,
        Fact::EarlyDataRejected => StreamEvent::EarlyDataRejected,
        Fact::Malformed(why) => StreamEvent::Malformed(why),
        // Told by whoever looks whose it is.
        Fact::Request(_) => return None,
        // Its own affair, and it has told the transport.
        Fact::Reprioritized => return None,
    };
    Some(Event::Stream(stream, event))
}
