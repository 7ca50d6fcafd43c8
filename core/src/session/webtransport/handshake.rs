//! Extended CONNECT (RFC 9220) for WebTransport: asking, being asked, answering.

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::Scheme;
use http::{Method, StatusCode, Uri};

use super::carrier::Carrier;
use super::flow::Three;
use super::over_h3::OverH3;
use super::{Session, SessionMut, WebTransport, negotiate};
use crate::code::Code;
use crate::error::{InvalidHead, RequestError, SendError};
use crate::fault::{Fault, Violation};
use crate::h3::connection::H3;
use crate::head::{End, Protocol, RequestHead, ResponseHead};
use crate::id::{SessionKey, Side, StreamKey};
use crate::session::floor::Cx;
use crate::session::floor::registry::Life;
use crate::session::floor::rings::Ring;
use crate::transport::{ReadState, Transport};
use crate::webtransport::dialect::{
    Dialect, Dialects, FlowRule, Negotiated, NegotiationFailure, ProtocolRule, Requirement,
};
use crate::webtransport::{
    AcceptError, ConnectAnswer, ConnectRequest, OpenSessionError, RejectError, SessionClose,
    SessionEvent,
};
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
    h3.config.webtransport.enabled && matches!(token, Some(TOKEN | TOKEN_H3))
}

/// A field of the head that the Capsule Protocol rules out.
fn content_field(headers: &HeaderMap) -> Option<InvalidHead> {
    //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
    // A message that uses capsules has no content of its own to describe.
    let fields = [
        (header::CONTENT_LENGTH, "content-length"),
        (header::CONTENT_TYPE, "content-type"),
    ];
    let (_, field) = fields.iter().find(|(name, _)| headers.contains_key(name))?;
    Some(InvalidHead {
        field,
        why: "describes content, and a session has none",
    })
}

/// What makes a request for a session malformed beside what makes any request so.
fn invalid_request(uri: &Uri, headers: &HeaderMap) -> Option<InvalidHead> {
    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
    // The scheme is https, and nothing else.
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS) {
        let why = "is not https, as a session's is";
        return Some(InvalidHead::new(":scheme", why));
    }
    //= https://www.rfc-editor.org/rfc/rfc6454#section-7.3
    // There is one origin. Who compares the first of two lets the other in.
    if headers.get_all(header::ORIGIN).iter().nth(1).is_some() {
        return Some(InvalidHead::new("origin", "is there twice"));
    }
    content_field(headers)
}

fn no_list(field: &'static str) -> InvalidHead {
    InvalidHead {
        field,
        why: "names a protocol that is no string of printable ASCII",
    }
}

/// The nearest of the coarser words for what is missing with a peer of these settings.
fn refusal(failure: &NegotiationFailure, peer: &Settings) -> OpenSessionError {
    let has = |requirement| failure.has(requirement);
    if has(Requirement::Dialect) || has(Requirement::ResetStreamAt) {
        match Dialects::announced(peer) {
            Dialects::NONE => OpenSessionError::WebTransportNotEnabled,
            _ => OpenSessionError::NoCommonDialect,
        }
    } else if has(Requirement::ExtendedConnect) {
        RequestError::ConnectProtocolNotEnabled.into()
    } else {
        OpenSessionError::DatagramsNotEnabled
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

impl WebTransport {
    /// Chooses what to announce on this transport and hands it to the layer below.
    pub(crate) fn announce<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
        self.offered = negotiate::offered(&cx.h3.config, cx.t.caps());
        cx.h3.extension_settings = negotiate::settings(&cx.h3.config, self.offered);
    }

    /// What was agreed on for sessions, or everything that is missing.
    pub(crate) fn negotiate<T: Transport>(
        &self,
        h3: &H3,
        t: &T,
    ) -> Result<Negotiated, NegotiationFailure> {
        negotiate::negotiate(&negotiate::Facts {
            side: h3.side,
            config: &h3.config,
            offered: self.offered,
            peer: h3.peer_settings.as_ref(),
            quic_datagrams: t.max_datagram_size().is_some(),
            caps: t.caps(),
        })
    }

    /// The peer's SETTINGS arrived.
    pub(crate) fn on_settings<T: Transport>(&mut self, cx: &mut Cx<'_, T>) -> Result<(), Fault> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // A server says 1 or nothing.
        let enabled = (cx.h3.peer_settings.as_ref()).and_then(|s| s.get(SettingId::WT_ENABLED));
        let speaks = self.offered.has(Dialect::Draft15) && cx.h3.side == Side::Client;
        if speaks && enabled.is_some_and(|value| value > 1) {
            return Err(Fault::Connection(Violation::SettingsInvalid));
        }
        self.terms.negotiated = self.negotiate(cx.h3, cx.t).ok();
        self.heed_words(cx);
        self.terms.first_limits = Self::first_limits(cx.h3);
        if self.terms.negotiated.is_none() && cx.h3.side == Side::Client {
            cx.h3.take_no_sessions()?;
        }
        Ok(())
    }

    /// A client that announces drafts 15 and 16 beside older ones, and asks first in the
    /// words of those, speaks one of those: picoquic's does.
    fn heed_words<T: Transport>(&mut self, cx: &Cx<'_, T>) {
        let is_older = |dialect: &Dialect| dialect.rules().token != TOKEN_H3;
        if self.asked_newest != Some(false) || self.dialect().as_ref().is_none_or(is_older) {
            return;
        }
        let older = self.offered.iter().filter(is_older);
        let older = older.fold(Dialects::NONE, Dialects::with);
        let all = std::mem::replace(&mut self.offered, older);
        match self.negotiate(cx.h3, cx.t) {
            Ok(negotiated) => self.terms.negotiated = Some(negotiated),
            Err(_) => self.offered = all,
        }
    }

    /// The first limits of sessions that have any.
    fn first_limits(h3: &H3) -> Option<(Three, Three)> {
        let settings = h3.peer_settings.as_ref()?;
        let ours = h3.config.webtransport.flow?;
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.5
        // The peer's settings are the first limits of every session.
        let theirs = Three {
            data: settings.wt_initial_max_data(),
            bidi: settings.wt_initial_max_streams_bidi(),
            uni: settings.wt_initial_max_streams_uni(),
        };
        let ours = Three {
            data: ours.data,
            bidi: ours.streams_bidi,
            uni: ours.streams_uni,
        };
        Some((theirs, ours))
    }

    /// Whether the peer's SETTINGS have come and make no sessions possible.
    pub(crate) fn is_ruled_out(&self, h3: &H3) -> bool {
        h3.peer_settings.is_some() && self.terms.negotiated.is_none()
    }

    /// Whether a session could be opened beside `live` others now, where a request could
    /// ([`H3::may_request`]).
    pub(crate) fn may_open<T: Transport>(
        &self,
        h3: &H3,
        t: &T,
        live: usize,
    ) -> Result<(), OpenSessionError> {
        if !h3.config.webtransport.enabled {
            return Err(OpenSessionError::WebTransportDisabled);
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // No CONNECT before the server's SETTINGS said everything needed.
        let settings = h3
            .peer_settings
            .as_ref()
            .ok_or(RequestError::SettingsNotReceived)?;
        let negotiated = self.negotiate(h3, t);
        let negotiated = negotiated.map_err(|failure| refusal(&failure, settings))?;
        if live >= h3.config.limits.sessions || live as u64 >= server_limit(settings, negotiated) {
            return Err(OpenSessionError::TooManySessions);
        }
        Ok(())
    }

    /// Asks the server for a session.
    pub(crate) fn open<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        request: &ConnectRequest,
    ) -> Result<(SessionKey, Session), OpenSessionError> {
        let mut head = RequestHead::new(Method::CONNECT, request.uri.clone());
        let dialect = self
            .terms
            .negotiated
            .map_or(Dialect::Draft02, |negotiated| negotiated.dialect);
        head.protocol = Some(Protocol::new(dialect.rules().token));
        head.headers = request.headers.clone();
        if let Some(invalid) = invalid_request(&head.uri, &head.headers) {
            return Err(RequestError::InvalidHead(invalid).into());
        }
        if !request.protocols.is_empty() {
            let offer = sf::encode_string_list(request.protocols.iter().map(String::as_str));
            let offer = offer
                .ok()
                .and_then(|offer| HeaderValue::try_from(offer).ok());
            let invalid = RequestError::InvalidHead(no_list("wt-available-protocols"));
            head.headers.insert(OFFERED, offer.ok_or(invalid)?);
        }
        if dialect.rules().version_field {
            // Wanted by draft 02 and harmless to the others with its token.
            head.headers
                .entry(DRAFT02_REQUEST)
                .or_insert(HeaderValue::from_static("1"));
        }
        let stream = cx.h3.request_implied(cx.t, &head, End::More)?;
        let session = Session {
            offered: request.protocols.clone().into(),
            protocol_required: request.protocol_required,
            ..self.session(cx.now)
        };
        Ok((SessionKey(stream), session))
    }

    /// A client asks for a session beside `live` others. `None` when it has been
    /// answered and there is none.
    pub(crate) fn on_request<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        head: RequestHead,
        live: usize,
    ) -> Result<Option<Session>, Fault> {
        let draft02 = head.headers.contains_key(DRAFT02_REQUEST);
        let newest = head.protocol.as_ref().map(Protocol::as_str) == Some(TOKEN_H3);
        if self.asked_newest.is_none() {
            self.asked_newest = Some(newest);
            self.heed_words(cx);
        }
        if let Some(invalid) = invalid_request(&head.uri, &head.headers) {
            tracing::debug!(stream = %stream.id, %invalid, "no request for a session");
            return Err(Fault::Stream(stream, Violation::MessageMalformed));
        }
        if live >= cx.h3.config.limits.sessions {
            answer(cx.h3, cx.t, stream, StatusCode::TOO_MANY_REQUESTS);
            cx.h3.nuisance(1)?;
            return Ok(None);
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
        Ok(Some(Session {
            request: Some(request),
            newest,
            draft02,
            offered: protocols.into(),
            ..self.session(cx.now)
        }))
    }
}

/// Answers a CONNECT that never becomes a session, or one that the application has not
/// been asked about and is not going to be.
fn answer<T: Transport>(h3: &mut H3, t: &mut T, stream: StreamKey, status: StatusCode) {
    let head = ResponseHead::new(status);
    if h3.respond(t, stream, &head, End::Fin).is_err() {
        h3.abandon(t, stream, Code::H3_INTERNAL_ERROR);
    }
    stop_reading(h3, t, stream);
}

/// Whether a page that the configuration does not allow asks for a session.
fn is_foreign(h3: &H3, request: &ConnectRequest) -> bool {
    //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
    // An Origin is verified before a session is established.
    let origins = &h3.config.webtransport.origins;
    !origins.allow_request(&request.headers, request.uri.authority())
}

fn stop_reading<T: Transport>(h3: &mut H3, t: &mut T, stream: StreamKey) {
    //= https://www.rfc-editor.org/rfc/rfc9114#section-4.1
    // The rest of the request is not needed.
    let result = h3.stop(t, stream, Code::H3_NO_ERROR.value());
    h3.fail(t, result.map(|_| ()));
}

impl<T: Transport> SessionMut<'_, OverH3<'_, T>> {
    fn respond(&mut self, head: &ResponseHead, end: End) -> Result<(), SendError> {
        let OverH3 { h3, t, connect } = &mut self.carrier;
        h3.respond(*t, connect.stream(), head, end)
    }

    /// Asks the application about the session, if the handshake is complete and the peer's
    /// SETTINGS are known and allow it. `others` have been asked about and are not over.
    pub(crate) fn ask(&mut self, others: usize) -> Result<(), Fault> {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // No request is processed before the client's SETTINGS arrived.
        if self.carrier.h3.peer_settings.is_none() || *self.life != Life::Waiting {
            return Ok(());
        }
        //= https://www.rfc-editor.org/rfc/rfc8470#section-3
        // A request in early data may be a replay, and a session is not safe to be opened
        // twice. The server waits until the handshake shows that it is none.
        if !self.carrier.h3.established {
            return Ok(());
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.1
        // A request on a connection that lacks a requirement is malformed.
        let Some(negotiated) = self.terms.negotiated else {
            let stream = self.key.stream();
            return Err(Fault::Stream(stream, Violation::RequirementsNotMet));
        };
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-7.1
        // One dialect is spoken on a connection: a request in the words of another says
        // two different things about what follows.
        let rules = negotiated.dialect.rules();
        let in_its_words = self.session.newest == (rules.token == TOKEN_H3);
        if !in_its_words || (self.session.draft02 && !rules.version_field) {
            self.turn_down(StatusCode::BAD_REQUEST);
            return Ok(());
        }
        let h3 = &*self.carrier.h3;
        if let Some(request) = (self.session.request).take_if(|request| is_foreign(h3, request)) {
            self.turn_down(StatusCode::FORBIDDEN);
            self.carrier.h3.stats.origins_refused += 1;
            self.carrier.h3.nuisance(1)?;
            self.tell(SessionEvent::Forbidden(request));
            return Ok(());
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-5.1
        // Without flow control, sessions of the later drafts do not share.
        let alone = negotiated.dialect.rules().flow != FlowRule::Off && !negotiated.flow_control;
        if alone && others > 0 {
            *self.life = Life::Over { by_peer: false };
            self.carrier.abort_control(Code::H3_REQUEST_REJECTED);
            return Ok(());
        }
        *self.life = Life::Requested;
        if let Some(request) = self.session.request.take() {
            self.carrier.h3.await_no_more(self.key.stream());
            self.carrier.h3.note_asked(self.key.stream());
            self.tell(SessionEvent::Requested(request));
        }
        Ok(())
    }

    /// Answers a request that the application is not asked about.
    fn turn_down(&mut self, status: StatusCode) {
        *self.life = Life::Over { by_peer: false };
        let OverH3 { h3, t, connect } = &mut self.carrier;
        answer(h3, *t, connect.stream(), status);
    }

    /// Accepts the session (server).
    pub(crate) fn accept(&mut self, answer: &ConnectAnswer) -> Result<(), AcceptError> {
        self.require(Life::Requested).map_err(|over| match over {
            true => AcceptError::Gone,
            false => AcceptError::WrongState,
        })?;
        let status = answer.status.as_u16();
        //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
        // 204, 205 and 206 say something about content that is not there.
        if !answer.status.is_success() || matches!(status, 204..=206) {
            return Err(AcceptError::InvalidStatus);
        }
        if let Some(invalid) = content_field(&answer.headers) {
            return Err(AcceptError::InvalidHead(invalid));
        }
        let mut head = ResponseHead::new(answer.status);
        head.headers = answer.headers.clone();
        if let Some(protocol) = &answer.protocol {
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.3
            // Only what the client offered can be selected.
            if !self.session.offered.contains(protocol) {
                return Err(AcceptError::ProtocolNotOffered);
            }
            let mut value = String::new();
            let invalid = AcceptError::InvalidHead(no_list("wt-protocol"));
            sf::put_string(&mut value, protocol).map_err(|_| invalid)?;
            let value = HeaderValue::try_from(value).map_err(|_| invalid)?;
            head.headers.insert(SELECTED, value);
        }
        if self.session.draft02 {
            head.headers
                .entry(DRAFT02_RESPONSE)
                .or_insert(HeaderValue::from_static("draft02"));
        }
        // Routable before the answer goes out: the client may use the session as
        // soon as it sees it.
        *self.life = Life::Open;
        if let Err(error) = self.respond(&head, End::More) {
            *self.life = Life::Requested;
            return Err(match error {
                SendError::InvalidHead(invalid) => AcceptError::InvalidHead(invalid),
                SendError::HeadTooLarge => AcceptError::HeadTooLarge,
                _ => AcceptError::Gone,
            });
        }
        self.begin();
        Ok(())
    }

    /// Turns the session down (server).
    pub(crate) fn reject(
        &mut self,
        head: &ResponseHead,
        content: Bytes,
    ) -> Result<(), RejectError> {
        self.require(Life::Requested).map_err(|over| match over {
            true => RejectError::Gone,
            false => RejectError::WrongState,
        })?;
        if !(300..=599).contains(&head.status.as_u16()) {
            return Err(RejectError::InvalidStatus);
        }
        let end = if content.is_empty() {
            End::Fin
        } else {
            End::More
        };
        self.respond(head, end).map_err(|error| match error {
            SendError::InvalidHead(invalid) => RejectError::InvalidHead(invalid),
            SendError::HeadTooLarge => RejectError::HeadTooLarge,
            SendError::ContentLength => RejectError::InvalidHead(InvalidHead {
                field: "content-length",
                why: "announces content that does not follow",
            }),
            SendError::Gone
            | SendError::Finished
            | SendError::Reset
            | SendError::Stopped(_)
            | SendError::WrongState => RejectError::Gone,
        })?;
        if !content.is_empty() {
            self.carrier.control(content);
            self.carrier.end_control();
        }
        // Turning a session down is its last event on this side; nothing is told.
        *self.life = Life::Over { by_peer: false };
        stop_reading(self.carrier.h3, self.carrier.t, self.key.stream());
        Ok(())
    }

    /// The server answered.
    pub(crate) fn on_response(&mut self, head: ResponseHead) -> Result<(), Fault> {
        if *self.life != Life::Asked {
            return Ok(());
        }
        let status = head.status;
        let selected = combined(&head.headers, &SELECTED).map(|value| sf::string(&value));
        let offered = |name: &String| self.session.offered.contains(name);
        let protocol = selected.clone().and_then(Result::ok).filter(offered);
        let mut answer = Box::new(ConnectAnswer {
            status,
            headers: head.headers,
            protocol,
        });
        if !status.is_success() {
            //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
            // No session; a redirection is reported, never followed.
            *self.life = Life::Over { by_peer: true };
            self.tell(SessionEvent::Rejected { status, answer });
            self.carrier.abort_control(Code::H3_REQUEST_CANCELLED);
            return Ok(());
        }
        if matches!(status.as_u16(), 204..=206) || content_field(&answer.headers).is_some() {
            let stream = self.key.stream();
            return Err(Fault::Stream(stream, Violation::MessageMalformed));
        }
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.3
        // A selection that was not offered, or none where one is needed, ends the
        // session; the earlier drafts let the former pass.
        let strict = self
            .terms
            .negotiated
            .is_some_and(|agreed| agreed.dialect.rules().protocols == ProtocolRule::Strict);
        let wrong = answer.protocol.is_none()
            && (self.session.protocol_required || (strict && selected.is_some()));
        if !strict && selected.is_some() && answer.protocol.is_none() {
            answer.headers.remove(SELECTED);
        }
        if wrong {
            // A code of the protocol's, which a close capsule has no field for: that one
            // is the application's.
            let stream = self.key.stream();
            return Err(Fault::Stream(stream, Violation::ProtocolNotOffered));
        }
        *self.life = Life::Open;
        self.tell(SessionEvent::Established(answer));
        self.begin();
        Ok(())
    }

    /// What both sides do when a session opens.
    fn begin(&mut self) {
        let h3 = &mut self.carrier.h3;
        h3.stats.sessions += 1;
        *self.ring = Some(Ring::default());
        // It has been selected.
        self.session.offered = Box::default();
        if let Some(settings) = h3.peer_settings.clone() {
            self.begin_flow(&settings);
        }
    }

    /// Reads the capsules on the CONNECT stream as far as they have come.
    pub(crate) fn on_readable(&mut self) -> Result<(), Fault> {
        loop {
            match *self.life {
                Life::Open | Life::Over { .. } => {}
                //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-3.2
                // Nothing is a capsule before the 2xx; it stays where it is.
                Life::Waiting | Life::Requested | Life::Asked => return Ok(()),
            }
            if !self.carrier.spend(1) {
                self.carrier.put_back(Bytes::new());
                return Ok(());
            }
            let mut out = [Bytes::new()];
            let OverH3 { h3, t, connect } = &mut self.carrier;
            // A reset comes as an event of its own.
            let Ok(read) = h3.read_capsules(*t, connect.stream(), &mut out)? else {
                return Ok(());
            };
            let [content] = out;
            self.on_capsule_bytes(content)?;
            match read.state {
                ReadState::Open => {}
                ReadState::Blocked => return Ok(()),
                ReadState::Finished => return self.on_control_end(),
            }
        }
    }

    /// The peer stopped the CONNECT stream. That is about our half alone: what it has
    /// sent on its own, an answer or a close with code and reason, may come later than
    /// this and before it, whatever the order in a packet. So the session ends by what
    /// is read, and by the stop when nothing comes.
    pub(crate) fn on_stopped(&mut self, code: u64) -> Result<(), Fault> {
        match *self.life {
            Life::Open | Life::Asked => {
                self.session.stopped = Some(code);
                self.on_readable()
            }
            // The answer that is still to be given cannot be sent.
            _ => {
                self.on_abandoned(code);
                Ok(())
            }
        }
    }

    /// A time is over in which the peer might have ended the session that it has stopped.
    /// True if that is what was waited for.
    pub(crate) fn on_stop_waited(&mut self) -> bool {
        match self.session.stopped {
            Some(code) if !self.life.is_over() => {
                self.on_abandoned(code);
                true
            }
            _ => false,
        }
    }

    /// The peer reset or stopped the CONNECT stream.
    pub(crate) fn on_abandoned(&mut self, code: u64) {
        self.end(SessionClose::Reset(Code::new(code)));
        self.carrier.abort_control(Code::WT_SESSION_GONE);
    }
}
