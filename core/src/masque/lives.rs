//! How tunnels live and end: what happens on their streams.

use std::time::Instant;

use super::codec::decode_datagram;
use super::event::{TunnelClose, TunnelEvent, TunnelKey};
use super::gate::Judged;
use super::head;
use super::tunnel::{Content, Flow, Life, Stop, Tunnel};
use super::tunnels::{Place, Tunnels, add};
use super::{Refusal, TunnelKind};
use crate::code::Code;
use crate::connection::Access;
use crate::event::StreamEvent;
use crate::fault::Violation;
use crate::head::{End, RequestHead, ResponseHead};
use crate::id::{Side, StreamKey};
use crate::transport::{ReadState, Transport};

impl Tunnels {
    // ---- what happens ------------------------------------------------------------------

    /// Whether a request is for a tunnel.
    pub(super) fn on_request<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        stream: StreamKey,
        head: &RequestHead,
        early: bool,
    ) -> bool {
        let key = TunnelKey(stream);
        let request = match self.gate.judge(head) {
            Judged::Other => return false,
            Judged::Refused(refusal) => {
                self.answer_refusal(access, key, &refusal);
                self.note_past(stream);
                return true;
            }
            //= https://www.rfc-editor.org/rfc/rfc8470#section-5.2
            // What opens sockets is not done twice because somebody sends it again.
            Judged::Asked(_) if early => {
                self.gate.refused();
                let too_early = Refusal::Other(http::StatusCode::TOO_EARLY);
                self.answer_refusal(access, key, &too_early);
                self.note_past(stream);
                return true;
            }
            Judged::Asked(request) => request,
        };
        let target = request.target.clone();
        let tunnel = Tunnel::new(key, request.dialect, target, Life::Pending, now);
        access.hold(stream);
        self.insert(access, tunnel);
        let event = TunnelEvent::Requested(request);
        self.events.push_back((key, event));
        self.arm(now, key);
        self.on_datagrams(access, now, key);
        true
    }

    pub(super) fn on_response<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        head: &ResponseHead,
    ) {
        let asked = |tunnel: &&Tunnel| tunnel.life == Life::Asked;
        let Some(dialect) = self.tunnel(key).filter(asked).map(|t| t.dialect) else {
            return;
        };
        match head::is_opened(dialect, head) {
            Ok(true) => {
                let event = TunnelEvent::Opened(Box::new(head.clone()));
                self.events.push_back((key, event));
                self.opened(access, now, key);
            }
            Ok(false) => {
                let event = TunnelEvent::Refused(Box::new(head.clone()));
                self.events.push_back((key, event));
                if let Some(tunnel) = self.tunnel_mut(key) {
                    tunnel.forget();
                }
                // In order: a reset costs the proxy more than an end.
                self.leave(access, now, key);
            }
            Err(fault) => {
                let why = TunnelClose::BadAnswer(fault);
                self.end(access, now, key, why, Some(Code::H3_MESSAGE_ERROR));
            }
        }
    }

    pub(super) fn on_stream<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        what: StreamEvent,
    ) {
        match what {
            StreamEvent::Readable => {
                if let Some(tunnel) = self.tunnel_mut(key) {
                    tunnel.unread = true;
                }
                self.on_readable(access, now, key);
            }
            StreamEvent::Writable => self.on_writable(access, now, key),
            StreamEvent::Datagrams => self.on_datagrams(access, now, key),
            StreamEvent::DatagramsUnblocked => self.tell_room(key),
            StreamEvent::Stopped(code) => self.on_stopped(access, now, key, code.wire),
            StreamEvent::Reset(code) => self.stop(access, now, key, Stop::Reset(code.wire)),
            StreamEvent::Malformed(why) => self.stop(access, now, key, Stop::Malformed(why)),
            StreamEvent::Unprocessed => {
                self.end(access, now, key, TunnelClose::Unprocessed, None);
                self.gone(access, now, key);
            }
            // A tunnel is never early data.
            StreamEvent::Delivered | StreamEvent::SessionGone | StreamEvent::EarlyDataRejected => {}
        }
    }

    /// There is content. That of UDP is looked at; that of TCP waits for the application.
    pub(super) fn on_readable<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        let room = self.room(key);
        let Some(tunnel) = self.tunnel_mut(key) else {
            return;
        };
        match (tunnel.life, &tunnel.flow) {
            (Life::Closing, _) => return self.see_off(access, now, key),
            (Life::Over, _) => return,
            (Life::Open, Flow::Tcp(tcp)) if tcp.end_told => {
                return self.watch_end(access, now, key);
            }
            (life, Flow::Tcp(_)) => {
                if life == Life::Open && !std::mem::replace(&mut tunnel.told, true) {
                    self.events.push_back((key, TunnelEvent::Readable));
                }
                return;
            }
            (_, Flow::Udp(_)) => {}
        }
        let content = tunnel.pump(access, room);
        if content == Ok(Content::Blocked) {
            tunnel.unread = false;
        }
        let waits = matches!(&tunnel.flow, Flow::Udp(udp) if !udp.queue.is_empty());
        if waits && tunnel.life == Life::Open && !std::mem::replace(&mut tunnel.told, true) {
            self.events.push_back((key, TunnelEvent::Datagrams));
        }
        match content {
            // The peer sends more, or the application makes room.
            Ok(Content::Blocked | Content::Full) => {}
            Ok(Content::More) => self.go_on_later(key),
            //= https://www.rfc-editor.org/rfc/rfc9298#section-3.1
            // The tunnel lives as long as its stream: the end of either direction is its
            // end.
            Ok(Content::Finished) => {
                if let Err(why) = self.keep_datagrams(access, key) {
                    return self.stop(access, now, key, why);
                }
                self.end(access, now, key, TunnelClose::Finished, None);
            }
            Err(why) => self.stop(access, now, key, why),
        }
    }

    /// There is more content than one turn is for.
    pub(super) fn go_on_later(&mut self, key: TunnelKey) {
        if let Some(tunnel) = self.tunnel_mut(key)
            && !std::mem::replace(&mut tunnel.busy, true)
        {
            self.busy.push_back(key);
        }
    }

    /// The peer takes no more of what this side sends.
    fn on_stopped<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        code: Code,
    ) {
        let Some(tunnel) = self.tunnel_mut(key) else {
            return;
        };
        tunnel.stopped = true;
        let in_order = code == Code::H3_NO_ERROR;
        match (tunnel.life, &tunnel.flow) {
            (Life::Closing, _) => {
                tunnel.forget_owed();
                self.see_off(access, now, key);
            }
            (Life::Over, _) => {}
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
            // Who has answered in full may want no more of the request, and the answer
            // counts all the same: it is read to its end.
            (Life::Asked, _) if in_order => {}
            (Life::Open, Flow::Udp(_)) if in_order => {
                tunnel.forget_owed();
                self.arm(now, key);
            }
            (Life::Open, Flow::Tcp(tcp)) if in_order && tcp.ended => {
                tunnel.forget_owed();
                self.go_on_ending(access, now, key);
            }
            _ => self.stop(access, now, key, Stop::Reset(code)),
        }
    }

    /// The stream takes bytes again.
    fn on_writable<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        let Some(tunnel) = self.tunnel_mut(key) else {
            return;
        };
        match (&tunnel.flow, tunnel.life) {
            (_, Life::Closing) => self.finish_sending(access, now, key),
            (_, Life::Over | Life::Pending) => {}
            (Flow::Udp(_), _) => {
                if self.flush(access, key) {
                    self.tell_room(key);
                }
            }
            (Flow::Tcp(tcp), _) if !tcp.ended => {
                self.events.push_back((key, TunnelEvent::Writable));
            }
            (Flow::Tcp(_), _) => self.go_on_ending(access, now, key),
        }
    }

    /// Those who were refused for lack of room may try again.
    pub(super) fn tell_room(&mut self, key: TunnelKey) {
        if let Some(tunnel) = self.tunnel_mut(key)
            && let Flow::Udp(udp) = &mut tunnel.flow
            && std::mem::take(&mut udp.wants_room)
        {
            self.events
                .push_back((key, TunnelEvent::DatagramsUnblocked));
        }
    }

    /// There are datagrams: those of a tunnel that is not open are looked at, the others
    /// wait until they are taken.
    pub(super) fn on_datagrams<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        match self.tunnel(key).map(|tunnel| tunnel.life) {
            Some(Life::Open) => {
                if let Some(tunnel) = self.tunnel_mut(key)
                    && !std::mem::replace(&mut tunnel.told, true)
                {
                    self.events.push_back((key, TunnelEvent::Datagrams));
                }
            }
            Some(Life::Pending | Life::Asked) => {
                if let Err(why) = self.keep_datagrams(access, key) {
                    self.stop(access, now, key, why);
                }
            }
            _ => while access.recv_datagram(key.0).is_some() {},
        }
    }

    /// Takes what has come in datagrams into the tunnel's own queue, as far as there is
    /// room. O(what has come), which is bounded.
    pub(super) fn keep_datagrams<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        key: TunnelKey,
    ) -> Result<(), Stop> {
        let room = self.room(key);
        let Some(tunnel) = self.tunnel_mut(key) else {
            return Ok(());
        };
        while let Some(datagram) = access.recv_datagram(key.0) {
            if tunnel.take_in(decode_datagram(datagram)?, room)
                && let Flow::Udp(udp) = &mut tunnel.flow
                && let Some(kept) = udp.queue.back_mut()
            {
                // It is a slice of the block in which it came, and would hold all of it.
                *kept = bytes::Bytes::copy_from_slice(kept);
            }
        }
        tunnel.count_overflowed(access);
        Ok(())
    }

    /// Nothing went through for long.
    pub(super) fn on_idle<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        if self.due(now, key).is_some_and(|at| at > now) {
            return self.arm(now, key);
        }
        let udp = self
            .tunnel(key)
            .is_some_and(|tunnel| tunnel.dialect == super::Dialect::Udp);
        //= https://www.rfc-editor.org/rfc/rfc9298#section-6.1
        // Whoever lets go of the socket closes the stream.
        let code = (!udp).then_some(Code::H3_CONNECT_ERROR);
        self.end(access, now, key, TunnelClose::Idle, code);
    }

    // ---- lives -------------------------------------------------------------------------

    pub(super) fn insert<T: Transport>(&mut self, access: &mut Access<'_, T>, tunnel: Tunnel) {
        let stream = tunnel.key.0;
        if tunnel.dialect == super::Dialect::Udp {
            // A stream that was just asked for, or has just asked.
            let _ = access.enable_datagrams(stream);
        }
        let place = self.tunnels.insert(tunnel);
        self.places.insert(stream, place);
    }

    /// A tunnel has opened; what came before is told.
    pub(super) fn opened<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        if let Some(tunnel) = self.tunnel_mut(key) {
            tunnel.life = Life::Open;
            tunnel.active = now;
            if let Flow::Udp(udp) = &tunnel.flow
                && !udp.queue.is_empty()
            {
                tunnel.told = true;
                self.events.push_back((key, TunnelEvent::Datagrams));
            }
        }
        self.arm(now, key);
        let Some(tunnel) = self.tunnel(key) else {
            return;
        };
        let (stopped, unread) = (tunnel.stopped, tunnel.unread);
        if unread {
            self.on_readable(access, now, key);
        }
        if stopped {
            self.on_stopped(access, now, key, Code::H3_NO_ERROR);
        }
    }

    /// Something of the stream's ends the tunnel.
    pub(super) fn stop<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        why: Stop,
    ) {
        let Some(tunnel) = self.tunnel(key) else {
            return;
        };
        if tunnel.life == Life::Closing {
            return self.gone(access, now, key);
        }
        let (close, code) = match why {
            Stop::Reset(code) => (TunnelClose::Reset(code), Code::H3_REQUEST_CANCELLED),
            Stop::Gone => {
                let code = Code::H3_REQUEST_CANCELLED;
                (TunnelClose::Reset(code), code)
            }
            // The connection has the same patience as the tunnels, or less.
            Stop::Malformed(why @ Violation::ConnectUnanswered) => {
                (TunnelClose::StartTimedOut, why.code())
            }
            Stop::Malformed(why) => (TunnelClose::Malformed(why), why.code()),
            Stop::Fault(fault) => (TunnelClose::Fault(fault), fault.code()),
        };
        let code = match tunnel.dialect.kind() {
            //= https://www.rfc-editor.org/rfc/rfc9114#section-4.4
            // A connection that was reset is a stream error of this type.
            TunnelKind::Tcp if matches!(why, Stop::Reset(_)) => Code::H3_CONNECT_ERROR,
            _ => code,
        };
        let _ = self.keep_datagrams(access, key);
        self.end(access, now, key, close, Some(code));
        self.gone(access, now, key);
    }

    /// Ends a tunnel, and tells so: in order, or both halves with a code.
    pub(super) fn end<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
        why: TunnelClose,
        code: Option<Code>,
    ) {
        let Some(tunnel) = self.tunnel_mut(key) else {
            return;
        };
        let was = tunnel.life;
        if was.is_over() {
            return;
        }
        tunnel.life = Life::Closing;
        if was != Life::Open {
            // What never was open has nothing to be taken.
            tunnel.forget_received();
        }
        let code = match was {
            // It has been answered, and counted, by whoever found that.
            Life::Pending if matches!(why, TunnelClose::StartTimedOut) => code,
            Life::Pending => {
                self.gate.given_up();
                // Without an answer there is no end in order.
                code.or(Some(Code::H3_REQUEST_CANCELLED))
            }
            Life::Open if access.side() == Side::Server => {
                self.gate.ended();
                code
            }
            _ => code,
        };
        self.events.push_back((key, TunnelEvent::Closed(why)));
        match code {
            Some(code) => {
                abandon(access, key, code);
                self.gone(access, now, key);
            }
            None => self.leave(access, now, key),
        }
    }

    /// Ends the stream in order, as far as this side can.
    fn leave<T: Transport>(&mut self, access: &mut Access<'_, T>, now: Instant, key: TunnelKey) {
        if let Some(tunnel) = self.tunnel_mut(key) {
            tunnel.life = Life::Closing;
        }
        self.arm(now, key);
        self.finish_sending(access, now, key);
    }

    /// Ends what this side sends once the stream has taken all of it.
    fn finish_sending<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        if self.flush(access, key)
            && let Ok(mut send) = access.send(key.0)
        {
            // One that has ended already.
            let _ = send.finish();
        }
        self.see_off(access, now, key);
    }

    /// Reads the stream of a tunnel that is over to its end, which it may take some time
    /// to have.
    fn see_off<T: Transport>(&mut self, access: &mut Access<'_, T>, now: Instant, key: TunnelKey) {
        let Some(tunnel) = self.tunnel_mut(key) else {
            return;
        };
        // At most a window of it, and the peer has been told that nobody wants more.
        while !tunnel.seen_off {
            match tunnel.read_content(access) {
                Ok(ReadState::Open) => {}
                Ok(ReadState::Blocked) => return,
                Ok(ReadState::Finished) | Err(_) => tunnel.seen_off = true,
            }
        }
        if !tunnel.owes() {
            self.gone(access, now, key);
        }
    }

    /// The peer has had time enough for the end of a stream.
    pub(super) fn leave_off<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        if self.tunnel(key).is_some_and(Tunnel::owes) {
            reset_sending(access, key, Code::H3_REQUEST_CANCELLED);
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
        // Who has said all needs no more of what the other says, which is no error: its
        // bytes may wait for a slow reader.
        stop_receiving(access, key, Code::H3_NO_ERROR);
        self.gone(access, now, key);
    }

    /// Nothing more is done for the stream. What has come stays for a while.
    pub(super) fn gone<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        let Some(tunnel) = self.tunnel_mut(key) else {
            return;
        };
        if tunnel.life == Life::Over {
            return;
        }
        tunnel.life = Life::Over;
        tunnel.count_overflowed(access);
        let left = match &tunnel.flow {
            Flow::Udp(udp) => !udp.queue.is_empty(),
            Flow::Tcp(_) => false,
        };
        access.release(key.0);
        if !left {
            return self.remove(key);
        }
        self.arm(now, key);
        self.lingering.push_back(key);
        // Of tunnels that count no more a peer can bring about as many as it likes.
        if self.lingering.len() > self.config.gate.max_tunnels
            && let Some(oldest) = self.lingering.front().copied()
        {
            self.remove(oldest);
        }
    }

    /// A tunnel that never was.
    pub(super) fn forget<T: Transport>(
        &mut self,
        access: &mut Access<'_, T>,
        now: Instant,
        key: TunnelKey,
    ) {
        if let Some(tunnel) = self.tunnel_mut(key) {
            tunnel.forget();
        }
        self.gone(access, now, key);
    }

    pub(super) fn remove(&mut self, key: TunnelKey) {
        let Some(place) = self.places.remove(&key.0) else {
            return;
        };
        self.timers.arm(Place(place, key), None);
        if let Some(tunnel) = self.tunnels.try_remove(place) {
            add(&mut self.past, &tunnel.stats);
        }
        self.busy.retain(|of| *of != key);
        self.lingering.retain(|of| *of != key);
        self.note_past(key.0);
    }

    pub(super) fn answer_refusal<T: Transport>(
        &self,
        access: &mut Access<'_, T>,
        key: TunnelKey,
        refusal: &Refusal,
    ) {
        let mut head = refusal.head(&self.config.gate.name);
        head.headers.remove(http::header::CONTENT_TYPE);
        let bare = ResponseHead::new(head.status);
        // A client may take small heads alone; a stream that it has given up needs none.
        let answered = access
            .respond(key.0, &head, End::Fin)
            .or_else(|_| access.respond(key.0, &bare, End::Fin));
        if answered.is_err() {
            reset_sending(access, key, Code::H3_REQUEST_REJECTED);
        }
        stop_receiving(access, key, Code::H3_NO_ERROR);
    }
}

/// Both halves end with a code, as far as they are open.
pub(super) fn abandon<T: Transport>(access: &mut Access<'_, T>, key: TunnelKey, code: Code) {
    reset_sending(access, key, code);
    stop_receiving(access, key, code);
}

fn reset_sending<T: Transport>(access: &mut Access<'_, T>, key: TunnelKey, code: Code) {
    if let Ok(mut send) = access.send(key.0) {
        let _ = send.reset(code.value());
    }
}

fn stop_receiving<T: Transport>(access: &mut Access<'_, T>, key: TunnelKey, code: Code) {
    if let Ok(mut recv) = access.recv(key.0) {
        let _ = recv.stop(code.value());
    }
}
