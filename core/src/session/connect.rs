//! Extended CONNECT (RFC 9220) for WebTransport: asking, being asked, answering.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::registry::{Session, State};
use super::{Cx, Sessions};
use crate::code::Code;
use crate::error::{OpenError, SendError, SessionClose, SessionError};
use crate::event::SessionEvent;
use crate::fault::{Fault, Violation};
use crate::h3::connection::H3;
use crate::head::{ConnectAnswer, ConnectRequest, End, Protocol, RequestHead, ResponseHead};
use crate::id::{SessionKey, Side, StreamKey};
use crate::transport::Transport;
use crate::wire::settings::{SettingId, Settings};

/// `:protocol` of drafts 02 to 14.
const TOKEN: &str = "webtransport";
/// `:protocol` of drafts 15 and 16.
const TOKEN_H3: &str = "webtransport-h3";

/// Request field of draft 02.
const DRAFT02_REQUEST: HeaderName = HeaderName::from_static("sec-webtransport-http3-draft02");
/// Response field of draft 02.
const DRAFT02_RESPONSE: HeaderName = HeaderName::from_static("sec-webtransport-http3-draft");

/// Whether a request asks for a session of this layer.
pub(crate) fn is_session(h3: &H3, head: &RequestHead) -> bool {
    let token = head.protocol.as_ref().map(Protocol::as_str);
    h3.config.webtransport && matches!(token, Some(TOKEN | TOKEN_H3))
}

/// Whether the head has a field that the Capsule Protocol rules out.
fn has_content_fields(headers: &HeaderMap) -> bool {
    //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
    // A message that uses capsules has no content of its own to describe.
    headers.contains_key(header::CONTENT_LENGTH) || headers.contains_key(header::CONTENT_TYPE)
}

/// Whether a server with these settings takes sessions from us.
fn check_server(h3: &H3, settings: &Settings) -> Result<(), OpenError> {
    let draft02 = settings.get(SettingId::ENABLE_WEBTRANSPORT) == Some(1);
    let draft07 = settings
        .get(SettingId::WEBTRANSPORT_MAX_SESSIONS)
        .is_some_and(|max| max > 0);
    if !draft02 && !draft07 {
        return Err(OpenError::WebTransportNotEnabled);
    }
    // In draft 02 the WebTransport setting implies extended CONNECT.
    if !draft02 && !settings.enable_connect_protocol() {
        return Err(OpenError::ConnectProtocolNotEnabled);
    }
    if !h3.datagrams_enabled() {
        return Err(OpenError::DatagramsNotEnabled);
    }
    Ok(())
}

/// How many sessions a server allows at once, as far as it says.
fn server_limit(settings: &Settings) -> u64 {
    // Draft 02 has no limit; who speaks it too is not held to a number that
    // other drafts make up.
    if settings.get(SettingId::ENABLE_WEBTRANSPORT) == Some(1) {
        return u64::MAX;
    }
    settings
        .get(SettingId::WEBTRANSPORT_MAX_SESSIONS)
        .unwrap_or(u64::MAX)
}

impl Sessions {
    /// Whether a session could be opened now (client).
    pub(crate) fn may_open<T: Transport>(&self, h3: &H3, t: &T) -> Result<(), OpenError> {
        if h3.side == Side::Server {
            return Err(OpenError::WrongSide);
        }
        if !h3.config.webtransport {
            return Err(OpenError::WebTransportNotEnabled);
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // No CONNECT before the server's SETTINGS said everything needed.
        let settings = h3
            .peer_settings
            .as_ref()
            .ok_or(OpenError::SettingsNotReceived)?;
        check_server(h3, settings)?;
        if t.max_datagram_size().is_none() {
            return Err(OpenError::DatagramsNotEnabled);
        }
        let live = self.registry.live();
        if live >= h3.config.limits.sessions || live as u64 >= server_limit(settings) {
            return Err(OpenError::TooManySessions);
        }
        Ok(())
    }

    /// Asks the server for a session.
    pub(crate) fn open<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        request: &ConnectRequest,
    ) -> Result<SessionKey, OpenError> {
        self.may_open(cx.h3, cx.t)?;
        let mut head = RequestHead::new(Method::CONNECT, request.uri.clone());
        head.protocol = Some(Protocol::new(TOKEN));
        head.headers = request.headers.clone();
        if has_content_fields(&head.headers) {
            return Err(OpenError::InvalidHead);
        }
        // Harmless to every other draft, wanted by draft 02.
        head.headers
            .entry(DRAFT02_REQUEST)
            .or_insert(HeaderValue::from_static("1"));
        let stream = cx.h3.request(cx.t, &head, End::More)?;
        let key = SessionKey(stream);
        self.registry.insert(cx.h3, Session::new(key, State::Asked));
        Ok(key)
    }

    /// A client asks for a session.
    pub(super) fn on_request<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        head: RequestHead,
    ) -> Result<(), Fault> {
        let draft02 = head.headers.contains_key(DRAFT02_REQUEST);
        let token = head.protocol.as_ref().map(Protocol::as_str);
        if has_content_fields(&head.headers) {
            return Err(Fault::Stream(stream, Violation::MessageMalformed));
        }
        if token == Some(TOKEN_H3) && draft02 {
            // The two say different things about what follows.
            self.answer(cx, stream, StatusCode::BAD_REQUEST);
            return Ok(());
        }
        if self.registry.live() >= cx.h3.config.limits.sessions {
            self.answer(cx, stream, StatusCode::TOO_MANY_REQUESTS);
            return Ok(());
        }
        let request = Box::new(ConnectRequest {
            uri: head.uri,
            headers: head.headers,
        });
        let key = SessionKey(stream);
        let mut session = Session::new(key, State::Waiting(request));
        session.draft02 = draft02;
        self.registry.insert(cx.h3, session);
        self.ask(cx, key);
        Ok(())
    }

    /// Answers a CONNECT that never becomes a session.
    fn answer<T: Transport>(&mut self, cx: &mut Cx<'_, T>, stream: StreamKey, status: StatusCode) {
        let head = ResponseHead::new(status);
        if cx.h3.respond(cx.t, stream, &head, End::Fin).is_err() {
            cx.h3.abandon(cx.t, stream, Code::H3_INTERNAL_ERROR);
        }
        self.stop_reading(cx, stream);
        self.refuse_pending(cx, stream.id(), Code::WT_BUFFERED_STREAM_REJECTED);
    }

    fn stop_reading<T: Transport>(&mut self, cx: &mut Cx<'_, T>, stream: StreamKey) {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
        // The rest of the request is not needed.
        let result = cx.h3.stop(cx.t, stream, Code::H3_NO_ERROR.value());
        cx.h3.fail(cx.t, result.map(|_| ()));
    }

    /// Asks the application about a session, if the peer's SETTINGS are known.
    fn ask<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // No request is processed before the client's SETTINGS arrived.
        if cx.h3.peer_settings.is_none() {
            return;
        }
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return;
        };
        if !matches!(session.state, State::Waiting(_)) {
            return;
        }
        if let State::Waiting(request) = std::mem::replace(&mut session.state, State::Requested) {
            cx.tell(key, SessionEvent::Requested(request));
        }
    }

    /// The peer's SETTINGS arrived.
    pub(super) fn on_settings<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        for key in self.registry.keys() {
            self.ask(cx, key);
        }
        Ok(())
    }

    /// Accepts a session (server).
    pub(crate) fn accept<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        answer: &ConnectAnswer,
    ) -> Result<(), SessionError> {
        let session = self
            .registry
            .get_mut(cx.h3, key)
            .ok_or(SessionError::Gone)?;
        match session.state {
            State::Requested => {}
            State::Over { .. } => return Err(SessionError::Gone),
            _ => return Err(SessionError::WrongState),
        }
        let status = answer.status.as_u16();
        //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
        // 204, 205 and 206 say something about content that is not there.
        if !answer.status.is_success() || matches!(status, 204..=206) {
            return Err(SessionError::InvalidStatus);
        }
        if has_content_fields(&answer.headers) {
            return Err(SessionError::InvalidHead);
        }
        let mut head = ResponseHead::new(answer.status);
        head.headers = answer.headers.clone();
        if session.draft02 {
            head.headers
                .entry(DRAFT02_RESPONSE)
                .or_insert(HeaderValue::from_static("draft02"));
        }
        // Routable before the answer goes out: the client may use the session as
        // soon as it sees it.
        session.state = State::Open;
        self.rings.insert(cx.h3, key.stream());
        if let Err(error) = cx.h3.respond(cx.t, key.stream(), &head, End::More) {
            if let Some(session) = self.registry.get_mut(cx.h3, key) {
                session.state = State::Requested;
            }
            self.rings.remove(cx.h3, key.stream());
            return Err(match error {
                SendError::Gone => SessionError::Gone,
                _ => SessionError::InvalidHead,
            });
        }
        self.begin(cx, key);
        let result = self.on_connect_readable(cx, key);
        cx.h3.fail(cx.t, result);
        Ok(())
    }

    /// Turns a session down (server).
    pub(crate) fn reject<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        head: &ResponseHead,
    ) -> Result<(), SessionError> {
        let session = self
            .registry
            .get_mut(cx.h3, key)
            .ok_or(SessionError::Gone)?;
        match session.state {
            State::Requested => {}
            State::Over { .. } => return Err(SessionError::Gone),
            _ => return Err(SessionError::WrongState),
        }
        if !(300..=599).contains(&head.status.as_u16()) {
            return Err(SessionError::InvalidStatus);
        }
        match cx.h3.respond(cx.t, key.stream(), head, End::Fin) {
            Ok(()) => {}
            Err(SendError::Gone) => return Err(SessionError::Gone),
            Err(_) => return Err(SessionError::InvalidHead),
        }
        // Turning a session down is its last event on this side; nothing is told.
        if let Some(session) = self.registry.get_mut(cx.h3, key) {
            session.state = State::Over { by_peer: false };
        }
        self.stop_reading(cx, key.stream());
        self.refuse_pending(cx, key.id(), Code::WT_BUFFERED_STREAM_REJECTED);
        Ok(())
    }

    /// The server answered.
    pub(super) fn on_response<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        head: ResponseHead,
    ) -> Result<(), Fault> {
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return Ok(());
        };
        if !matches!(session.state, State::Asked) {
            return Ok(());
        }
        let status = head.status;
        let answer = Box::new(ConnectAnswer {
            status,
            headers: head.headers,
        });
        if !status.is_success() {
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
            // No session; a redirection is reported, never followed.
            session.state = State::Over { by_peer: true };
            cx.tell(key, SessionEvent::Rejected { status, answer });
            self.refuse_pending(cx, key.id(), Code::WT_SESSION_GONE);
            cx.h3
                .abandon(cx.t, key.stream(), Code::H3_REQUEST_CANCELLED);
            return Ok(());
        }
        if matches!(status.as_u16(), 204..=206) || has_content_fields(&answer.headers) {
            return Err(Fault::Stream(key.stream(), Violation::MessageMalformed));
        }
        session.state = State::Open;
        self.rings.insert(cx.h3, key.stream());
        cx.tell(key, SessionEvent::Established(answer));
        self.begin(cx, key);
        Ok(())
    }

    /// What both sides do when a session opens.
    fn begin<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) {
        cx.h3.stats.sessions += 1;
        cx.h3.useful(1);
        self.send_credit(cx, key);
        self.release(cx, key);
        if cx.h3.side == Side::Client && cx.h3.goaway_received.is_some() {
            self.tell_draining(cx, key);
        }
    }

    /// The peer stopped the CONNECT stream.
    pub(super) fn on_connect_stopped<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        code: u64,
    ) {
        let asked = self
            .registry
            .get(cx.h3, key)
            .is_some_and(|session| matches!(session.state, State::Asked));
        //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
        // A server that has answered in full needs no more of the request; its
        // answer may still be on the way and counts.
        if asked && code == Code::H3_NO_ERROR.value() {
            return;
        }
        self.on_connect_abandoned(cx, key, code);
    }

    /// The peer reset or stopped the CONNECT stream.
    pub(super) fn on_connect_abandoned<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        code: u64,
    ) {
        self.end(cx, key, SessionClose::Reset(Code::new(code)));
        cx.h3.abandon(cx.t, key.stream(), Code::WT_SESSION_GONE);
    }
}
