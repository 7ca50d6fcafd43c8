//! Sessions on one HTTP/3 connection: extended CONNECT streams, the data
//! streams that name them, and their datagrams.
//!
//! ```text
//!  Request/Response ──▶ connect.rs ──▶ registry.rs (Session, its list of streams)
//!  Claimed stream ────▶ pending.rs ──▶ registry.rs   waits for its session, bounded
//!  data streams ──────▶ streams.rs, order.rs         bytes, limits, whose turn it is
//!  datagram ──────────▶ datagrams.rs                 rings, bounded
//!  CONNECT content ───▶ webtransport.rs              capsules: close, drain
//! ```
//!
//! A session lives in the registry from its CONNECT to the end of the CONNECT
//! stream; after the session's own end only to see that stream off. Streams of a
//! session are linked through the slots of the stream table, so that ending one
//! session touches its own streams only and nothing else on the connection.

pub(crate) mod connect;
pub(crate) mod datagrams;
mod flow;
pub(crate) mod negotiate;
mod order;
mod pending;
pub(crate) mod registry;
pub(crate) mod streams;
pub(crate) mod webtransport;

use std::collections::VecDeque;
use std::time::Instant;

use crate::code::Code;
use crate::dialect::{Dialects, Negotiated, NegotiationFailure};
use crate::error::{PeerCode, SessionClose};
use crate::event::{Event, SessionEvent, StreamEvent};
use crate::fault::{Fault, Violation};
use crate::h3::connection::H3;
use crate::h3::streams::{Kind, NONE};
use crate::h3::{Claims, H3Event};
use crate::id::{Dir, SessionKey, StreamId, StreamKey};
use crate::transport::Transport;
use crate::wire::stream_type::{UniType, WT_BIDI_SIGNAL};

use self::datagrams::Rings;
use self::pending::Pending;
use self::registry::Registry;

/// The session layer of one connection.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) registry: Registry,
    /// The dialects we announced.
    offered: Dialects,
    /// What was agreed on, once both SETTINGS are known.
    negotiated: Option<Negotiated>,
    pending: Pending,
    pub(crate) rings: Rings,
    /// A stream was lost before its session got it, so that some of what peers
    /// count against the limits of sessions is not counted here.
    lossy: bool,
}

/// What a session-layer call works on: the layer below, the way out, the time.
pub(crate) struct Cx<'a, T> {
    pub(crate) h3: &'a mut H3,
    pub(crate) t: &'a mut T,
    pub(crate) out: &'a mut VecDeque<Event>,
    pub(crate) now: Instant,
}

impl<T: Transport> Cx<'_, T> {
    pub(crate) fn tell(&mut self, session: SessionKey, event: SessionEvent) {
        self.out.push_back(Event::Session(session, event));
    }
}

/// The stream types this layer takes.
pub(crate) fn claims(webtransport: bool) -> Claims {
    if !webtransport {
        return Claims::default();
    }
    Claims {
        uni: Some(UniType::WebTransport.value()),
        bidi: Some(WT_BIDI_SIGNAL),
    }
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            registry: Registry::default(),
            offered: Dialects::NONE,
            negotiated: None,
            pending: Pending::default(),
            rings: Rings::default(),
            lossy: false,
        }
    }

    /// Chooses what to announce on this transport and hands it to the layer below.
    pub(crate) fn on_connected<T: Transport>(&mut self, cx: &mut Cx<'_, T>) {
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
        })
    }

    /// Takes in an event of the layer below; what concerns no session comes back.
    pub(crate) fn handle<T: Transport>(
        &mut self,
        cx: &mut Cx<'_, T>,
        event: H3Event,
    ) -> Result<Option<Event>, Fault> {
        Ok(match event {
            H3Event::Settings => {
                self.on_settings(cx)?;
                let settings = cx.h3.peer_settings.clone().unwrap_or_default();
                Some(Event::Settings(Box::new(settings)))
            }
            H3Event::Claimed { stream, dir, id } => {
                self.on_claimed(cx, stream, dir, id)?;
                None
            }
            H3Event::Request(stream, head) if connect::is_session(cx.h3, &head) => {
                self.on_request(cx, stream, *head)?;
                None
            }
            H3Event::Request(stream, head) => {
                // What named it as a session need not wait any longer.
                self.refuse_streams(cx, stream.id(), Code::WT_BUFFERED_STREAM_REJECTED);
                Some(Event::Request { stream, head })
            }
            H3Event::Response(stream, head) => match self.session_of(cx.h3, stream) {
                Some(session) => {
                    self.on_response(cx, session, *head)?;
                    None
                }
                None => Some(Event::Response { stream, head }),
            },
            H3Event::Interim(stream, head) => match self.session_of(cx.h3, stream) {
                Some(_) => None,
                None => Some(Event::Interim { stream, head }),
            },
            H3Event::Trailers(stream, trailers) => match self.session_of(cx.h3, stream) {
                Some(_) => None,
                None => Some(Event::Trailers { stream, trailers }),
            },
            H3Event::PeerDrains => {
                self.on_peer_drains(cx);
                Some(Event::Draining {
                    by: cx.h3.side.peer(),
                })
            }
            H3Event::Readable(stream) => match self.session_of(cx.h3, stream) {
                Some(session) => {
                    self.on_connect_readable(cx, session)?;
                    None
                }
                None => self.stream_event(cx, stream, StreamEvent::Readable),
            },
            H3Event::Writable(stream) => match self.session_of(cx.h3, stream) {
                Some(session) => {
                    self.tell_limits(cx, session);
                    None
                }
                None => self.stream_event(cx, stream, StreamEvent::Writable),
            },
            H3Event::Delivered(stream) => match self.session_of(cx.h3, stream) {
                Some(_) => None,
                None => {
                    self.on_sending_over(cx, stream);
                    self.stream_event(cx, stream, StreamEvent::Delivered)
                }
            },
            H3Event::Stopped(stream, code) => match self.session_of(cx.h3, stream) {
                Some(session) => {
                    self.on_connect_stopped(cx, session, code);
                    None
                }
                None => {
                    self.on_sending_over(cx, stream);
                    let code = peer_code(cx.h3, stream, code);
                    self.stream_event(cx, stream, StreamEvent::Stopped(code))
                }
            },
            H3Event::Reset(stream, code) => match self.session_of(cx.h3, stream) {
                Some(session) => {
                    self.on_connect_abandoned(cx, session, code);
                    None
                }
                None => {
                    let code = peer_code(cx.h3, stream, code);
                    self.stream_event(cx, stream, StreamEvent::Reset(code))
                }
            },
            H3Event::Unprocessed(stream) => match self.session_of(cx.h3, stream) {
                Some(session) => {
                    self.end(cx, session, SessionClose::Unprocessed);
                    None
                }
                None => Some(Event::Stream(stream, StreamEvent::Unprocessed)),
            },
            H3Event::Malformed(stream, why) => match self.session_of(cx.h3, stream) {
                Some(session) => {
                    let code = why.code();
                    self.end(cx, session, SessionClose::PeerMisbehaved { code, why });
                    None
                }
                None => self.stream_event(cx, stream, StreamEvent::Malformed(why)),
            },
            H3Event::Reprioritized(stream) => {
                if let Some(session) = self.session_of(cx.h3, stream) {
                    self.rank(cx, session);
                }
                None
            }
            H3Event::Over(stream) => {
                self.on_over(cx, stream);
                None
            }
            // The connection above tells why it closed.
            H3Event::Failed(_) => None,
        })
    }

    /// The session whose CONNECT stream this is.
    pub(crate) fn session_of(&self, h3: &H3, stream: StreamKey) -> Option<SessionKey> {
        let slot = h3.table.get(stream)?;
        let is_connect = matches!(slot.kind, Kind::Exchange(_)) && slot.link.session != NONE;
        is_connect.then_some(SessionKey(stream))
    }

    /// A stream's event, unless nobody has been told about the stream.
    fn stream_event<T: Transport>(
        &self,
        cx: &mut Cx<'_, T>,
        stream: StreamKey,
        event: StreamEvent,
    ) -> Option<Event> {
        let slot = cx.h3.table.get_mut(stream)?;
        match &slot.kind {
            // It waits for its session; whoever gets it is told then.
            Kind::Raw if slot.link.session == NONE => {
                slot.readable_told = false;
                None
            }
            // Its head or header has not come; whoever introduces it tells a stop,
            // a read tells the rest.
            Kind::Unidentified(_) => None,
            Kind::Exchange(exchange) if !exchange.told => None,
            _ => Some(Event::Stream(stream, event)),
        }
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
            Standing::Open(session) => self.attach(cx, session, stream, dir),
            Standing::Expected => self.hold_stream(cx, stream, id),
            Standing::Over => {
                self.refuse(cx, stream, Code::WT_SESSION_GONE);
                cx.h3.nuisance(1)
            }
            Standing::NotASession => {
                self.refuse(cx, stream, Code::WT_BUFFERED_STREAM_REJECTED);
                cx.h3.nuisance(1)
            }
        }
    }

    /// What is known of the session a stream or datagram names.
    fn standing(&self, h3: &H3, id: StreamId) -> Standing {
        let Some(key) = h3.table.find(id) else {
            return if h3.table.was_seen(id) {
                Standing::Over
            } else if h3.side == crate::id::Side::Server {
                Standing::Expected
            } else {
                // Only we open sessions, and we have not opened this one.
                Standing::NotASession
            };
        };
        let Some(slot) = h3.table.get(key) else {
            return Standing::Over;
        };
        match &slot.kind {
            Kind::Exchange(exchange) => match self.registry.get(h3, SessionKey(key)) {
                Some(session) if session.is_open() => Standing::Open(SessionKey(key)),
                Some(session) if session.is_over() => Standing::Over,
                Some(_) => Standing::Expected,
                // Its head may still be on the way.
                None if !exchange.told => Standing::Expected,
                None => Standing::NotASession,
            },
            Kind::Unidentified(_) => Standing::Expected,
            _ => Standing::NotASession,
        }
    }

    fn refuse<T: Transport>(&mut self, cx: &mut Cx<'_, T>, stream: StreamKey, code: Code) {
        //= https://www.ietf.org/archive/id/draft-ietf-webtrans-http3-16.html#section-4.6
        // Both halves, as far as they are open; never the connection.
        cx.h3.abandon(cx.t, stream, code);
    }

    /// Both halves of a stream are over: forget it everywhere.
    fn on_over<T: Transport>(&mut self, cx: &mut Cx<'_, T>, stream: StreamKey) {
        if let Some(session) = self.session_of(cx.h3, stream) {
            // The session itself ended before, or ends here without a word.
            self.end(cx, session, SessionClose::Reset(Code::H3_REQUEST_CANCELLED));
            self.pending.forget_session(stream.id());
            self.registry.remove(cx.h3, session);
        } else {
            self.pending.forget_stream(stream);
            if let Some(session) = self.registry.owner(cx.h3, stream) {
                self.rank_left(cx, session, stream);
                self.on_stream_over(cx, session, stream);
            } else if std::mem::take(&mut cx.h3.headless) {
                self.on_stream_lost(cx);
            }
        }
        self.rings.remove(cx.h3, stream);
        cx.h3.remove(stream);
    }
}

/// What is known of a session by its id.
enum Standing {
    /// Streams and datagrams can be handed over.
    Open(SessionKey),
    /// It is about to open, or may be.
    Expected,
    /// It is over.
    Over,
    /// The id names a stream that is something else.
    NotASession,
}

/// A peer's code in the terms of the stream it came on.
pub(crate) fn peer_code(h3: &H3, stream: StreamKey, code: u64) -> PeerCode {
    match h3.table.get(stream).map(|slot| &slot.kind) {
        Some(Kind::Raw) => PeerCode::webtransport(code),
        _ => PeerCode::http(code),
    }
}
