//! Extended CONNECT (RFC 9220) for WebTransport: asking, being asked, answering.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};

use super::registry::{Session, State};
use super::{Cx, Sessions};
use crate::code::Code;
use crate::dialect::{
    Dialect, FlowRule, Negotiated, NegotiationFailure, ProtocolRule, Requirement,
};
use crate::error::{OpenError, SendError, SessionClose, SessionError};
use crate::event::SessionEvent;
use crate::fault::{Fault, Violation};
use crate::h3::connection::H3;
use crate::head::{ConnectAnswer, ConnectRequest, End, Protocol, RequestHead, ResponseHead};
use crate::id::{SessionKey, Side, StreamKey};
use crate::transport::Transport;
use crate::wire::settings::{SettingId, Settings};
use crate::wire::sf;

/// `:protocol` of drafts 02 to 14.
const TOKEN: &str = "webtransport";
/// `:protocol` of drafts 15 and 16.
const TOKEN_H3: &str = "webtransport-h3";

/// Request field of draft 02.
const DRAFT02_REQUEST: HeaderName = HeaderName::from_static("sec-webtransport-http3-draft02");
/// Response field of draft 02.
const DRAFT02_RESPONSE: HeaderName = HeaderName::from_static("sec-webtransport-http3-draft");

/// Protocols a client offers (draft-ietf-webtrans-http3-16 §3.3).
const OFFERED: HeaderName = HeaderName::from_static("wt-available-protocols");
/// The one a server selects.
const SELECTED: HeaderName = HeaderName::from_static("wt-protocol");

/// The lines of a structured field, as one value.
fn combined(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

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

/// The nearest of the coarser words for what is missing.
fn refusal(failure: &NegotiationFailure) -> OpenError {
    let has = |requirement| failure.has(requirement);
    if has(Requirement::Settings) {
        OpenError::SettingsNotReceived
    } else if has(Requirement::Dialect) || has(Requirement::ResetStreamAt) {
        OpenError::WebTransportNotEnabled
    } else if has(Requirement::ExtendedConnect) {
        OpenError::ConnectProtocolNotEnabled
    } else {
        OpenError::DatagramsNotEnabled
    }
}

/// How many sessions a server allows at once, as far as it says.
fn server_limit(settings: &Settings, negotiated: Negotiated) -> u64 {
    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.1
    // Without flow control, sessions of the later drafts do not share.
    if !negotiated.flow_control && negotiated.dialect.rules().flow != FlowRule::Off {
        return 1;
    }
    // Draft 02 has no limit; who speaks it too is not held to the number with
    // which servers announce drafts 07 to 12.
    if settings.get(SettingId::ENABLE_WEBTRANSPORT) == Some(1) {
        return u64::MAX;
    }
    match negotiated.dialect.rules().setting {
        SettingId::WT_ENABLED => u64::MAX,
        setting => settings.get(setting).unwrap_or(u64::MAX),
    }
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
        let negotiated = self.negotiate(h3, t).map_err(|failure| refusal(&failure))?;
        let settings = h3
            .peer_settings
            .as_ref()
            .ok_or(OpenError::SettingsNotReceived)?;
        let live = self.registry.live();
        if live >= h3.config.limits.sessions || live as u64 >= server_limit(settings, negotiated) {
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
        let dialect = self
            .negotiated
            .map_or(Dialect::Draft02, |negotiated| negotiated.dialect);
        head.protocol = Some(Protocol::new(dialect.rules().token));
        head.headers = request.headers.clone();
        if has_content_fields(&head.headers) {
            return Err(OpenError::InvalidHead);
        }
        if !request.protocols.is_empty() {
            let offer = sf::encode_string_list(request.protocols.iter().map(String::as_str));
            let offer = offer
                .ok()
                .and_then(|offer| HeaderValue::try_from(offer).ok());
            head.headers
                .insert(OFFERED, offer.ok_or(OpenError::InvalidHead)?);
        }
        if dialect.rules().token == TOKEN {
            // Wanted by draft 02 and harmless to the others with that token.
            head.headers
                .entry(DRAFT02_REQUEST)
                .or_insert(HeaderValue::from_static("1"));
        }
        let stream = cx.h3.request(cx.t, &head, End::More)?;
        let key = SessionKey(stream);
        let mut session = Session::new(key, State::Asked);
        session.offered = request.protocols.clone();
        session.protocol_required = request.protocol_required;
        self.registry.insert(cx.h3, session);
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
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.3
        // An offer that is not a list of strings counts as no offer.
        let protocols = combined(&head.headers, &OFFERED)
            .and_then(|offer| sf::string_list(&offer).ok())
            .unwrap_or_default();
        let request = Box::new(ConnectRequest {
            uri: head.uri,
            headers: head.headers,
            protocols: protocols.clone(),
            protocol_required: false,
        });
        let key = SessionKey(stream);
        let mut session = Session::new(key, State::Waiting(request));
        session.draft02 = draft02;
        session.offered = protocols;
        self.registry.insert(cx.h3, session);
        self.ask(cx, key)
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

    /// Asks the application about a session, if the peer's SETTINGS are known and
    /// allow it.
    fn ask<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) -> Result<(), Fault> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // No request is processed before the client's SETTINGS arrived.
        if cx.h3.peer_settings.is_none() {
            return Ok(());
        }
        let waiting = |session: &Session| matches!(session.state, State::Waiting(_));
        if !self.registry.get(cx.h3, key).is_some_and(waiting) {
            return Ok(());
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // A request on a connection that lacks a requirement is malformed.
        let Some(negotiated) = self.negotiated else {
            return Err(Fault::Stream(key.stream(), Violation::RequirementsNotMet));
        };
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.1
        // Without flow control, sessions of the later drafts do not share.
        let alone = negotiated.dialect.rules().flow != FlowRule::Off && !negotiated.flow_control;
        if alone && self.registry.asked() > 0 {
            self.forget(cx, key);
            cx.h3.abandon(cx.t, key.stream(), Code::H3_REQUEST_REJECTED);
            return Ok(());
        }
        let Some(session) = self.registry.get_mut(cx.h3, key) else {
            return Ok(());
        };
        if let State::Waiting(request) = std::mem::replace(&mut session.state, State::Requested) {
            cx.tell(key, SessionEvent::Requested(request));
        }
        Ok(())
    }

    /// Ends a session that the application was never asked about.
    fn forget<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) {
        if let Some(session) = self.registry.get_mut(cx.h3, key) {
            session.state = State::Over { by_peer: false };
        }
        self.refuse_pending(cx, key.id(), Code::WT_BUFFERED_STREAM_REJECTED);
    }

    /// The peer's SETTINGS arrived.
    pub(super) fn on_settings<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // A server says 1 or nothing.
        let enabled = (cx.h3.peer_settings.as_ref()).and_then(|s| s.get(SettingId::WT_ENABLED));
        let speaks = self.offered.has(Dialect::Draft15) && cx.h3.side == Side::Client;
        if speaks && enabled.is_some_and(|value| value > 1) {
            return Err(Fault::Connection(Violation::SettingsInvalid));
        }
        self.negotiated = self.negotiate(cx.h3, cx.t).ok();
        for key in self.registry.keys() {
            let result = self.ask(cx, key);
            cx.h3.settle_fault(cx.t, result)?;
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
        let asked = |state: &State| matches!(state, State::Requested);
        let session = self.registry.in_state(cx.h3, key, asked)?;
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
        if let Some(protocol) = &answer.protocol {
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.3
            // Only what the client offered can be selected.
            if !session.offered.contains(protocol) {
                return Err(SessionError::ProtocolNotOffered);
            }
            let mut value = String::new();
            sf::put_string(&mut value, protocol).map_err(|_| SessionError::InvalidHead)?;
            let value = HeaderValue::try_from(value).map_err(|_| SessionError::InvalidHead)?;
            head.headers.insert(SELECTED, value);
        }
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
        let result = self
            .begin(cx, key)
            .and_then(|()| self.on_connect_readable(cx, key));
        cx.h3.fail(cx.t, result);
        Ok(())
    }

    /// Turns a session down (server).
    pub(crate) fn reject<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        key: SessionKey,
        head: &ResponseHead,
        content: Bytes,
    ) -> Result<(), SessionError> {
        let asked = |state: &State| matches!(state, State::Requested);
        self.registry.in_state(cx.h3, key, asked)?;
        if !(300..=599).contains(&head.status.as_u16()) {
            return Err(SessionError::InvalidStatus);
        }
        let end = if content.is_empty() {
            End::Fin
        } else {
            End::More
        };
        match cx.h3.respond(cx.t, key.stream(), head, end) {
            Ok(()) => {}
            Err(SendError::Gone) => return Err(SessionError::Gone),
            Err(_) => return Err(SessionError::InvalidHead),
        }
        if !content.is_empty() {
            cx.h3.push_content(cx.t, key.stream(), content);
            cx.h3.end(cx.t, key.stream());
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
        let selected = combined(&head.headers, &SELECTED).map(|value| sf::string(&value));
        let offered = |name: &String| session.offered.contains(name);
        let protocol = selected.clone().and_then(Result::ok).filter(offered);
        let mut answer = Box::new(ConnectAnswer {
            status,
            headers: head.headers,
            protocol,
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
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.3
        // A selection that was not offered, or none where one is needed, ends the
        // session; the earlier drafts let the former pass.
        let strict = self
            .negotiated
            .is_some_and(|agreed| agreed.dialect.rules().protocols == ProtocolRule::Strict);
        let wrong = answer.protocol.is_none()
            && (session.protocol_required || (strict && selected.is_some()));
        if !strict && selected.is_some() && answer.protocol.is_none() {
            answer.headers.remove(SELECTED);
        }
        session.state = State::Open;
        if wrong {
            let code = u32::try_from(Code::WT_ALPN_ERROR.value()).unwrap_or(u32::MAX);
            // The session is open, so it can be closed.
            self.close(cx, key, code, "no application protocol in common")
                .ok();
            return Ok(());
        }
        self.rings.insert(cx.h3, key.stream());
        cx.tell(key, SessionEvent::Established(answer));
        self.begin(cx, key)
    }

    /// What both sides do when a session opens.
    fn begin<T: Transport>(&mut self, cx: &mut Cx<'_, T>, key: SessionKey) -> Result<(), Fault> {
        cx.h3.stats.sessions += 1;
        cx.h3.useful(1);
        self.begin_flow(cx, key);
        self.release(cx, key)?;
        if cx.h3.side == Side::Client && cx.h3.goaway_received.is_some() {
            self.tell_draining(cx, key);
        }
        Ok(())
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
