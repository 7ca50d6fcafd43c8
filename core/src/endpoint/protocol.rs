//! What runs over a connection of QUIC, HTTP/3 or a protocol of the application's own: its
//! ALPN says.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::connection::{ConnectionInfo, Facts, State};
use super::error::ConfigError;
use super::process::touched;
use super::quic::QuinnTransport;
use super::tls;
use super::{Endpoint, state_of};
use crate::code::Code;
use crate::config::Config;
use crate::connection::Connection;
use crate::connection::quic::{QuicAccess, QuicConnection};
use crate::error::CloseReason;
use crate::event::Event;
use crate::id::{ConnKey, Dir, Side};
use crate::quic::{self, About};
use crate::time::Deadline;
use crate::transport::{Transport, TransportEvent};
use crate::wire::settings::Settings;

/// What runs over a connection.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP/3, sessions and tunnels included: [`Endpoint::connection`](super::Endpoint::connection).
    Http3,
    /// Streams and datagrams as they are: [`Endpoint::quic`](super::Endpoint::quic).
    Quic,
}

/// What may run over the connections of a server, or over one of a client's.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    /// Of HTTP/3, if it is offered.
    pub(super) http: Option<Arc<Config>>,
    pub(super) quic: Option<Raw>,
}

/// Raw QUIC, by the names that it goes by in TLS (ALPN, RFC 7301).
#[derive(Clone, Debug)]
pub(super) struct Raw {
    names: Vec<Vec<u8>>,
    pub(super) config: Arc<quic::Config>,
}

impl Raw {
    /// # Errors
    /// [`ConfigError::Alpn`].
    pub(super) fn new<N: Into<Vec<u8>>>(
        names: impl IntoIterator<Item = N>,
        config: quic::Config,
    ) -> Result<Self, ConfigError> {
        let names: Vec<Vec<u8>> = names.into_iter().map(Into::into).collect();
        //= https://www.rfc-editor.org/rfc/rfc7301#section-3.1
        // A name has 1 to 255 bytes.
        let fits = |name: &Vec<u8>| (1..=255).contains(&name.len());
        if names.is_empty() || !names.iter().all(fits) {
            return Err(ConfigError::Alpn(
                "a name has 1 to 255 bytes, and there is one",
            ));
        }
        if names.iter().any(|name| name == tls::ALPN) {
            return Err(ConfigError::Alpn("`h3` is HTTP/3"));
        }
        Ok(Self {
            names,
            config: Arc::new(config),
        })
    }

    fn speaks(&self, alpn: &[u8]) -> bool {
        self.names.iter().any(|name| name == alpn)
    }
}

impl Offer {
    /// HTTP/3 and nothing else.
    pub(super) fn http(config: Arc<Config>) -> Self {
        Self {
            http: Some(config),
            quic: None,
        }
    }

    /// Raw QUIC and nothing else.
    pub(super) fn quic(raw: Raw) -> Self {
        Self {
            http: None,
            quic: Some(raw),
        }
    }

    /// Whether datagrams are taken by any of it.
    pub(super) fn takes_datagrams(&self) -> bool {
        let http = self.http.as_ref().is_some_and(|http| http.datagrams);
        http || self.quic.as_ref().is_some_and(|raw| raw.config.datagrams)
    }

    /// The names in TLS beside those that a configuration has, HTTP/3's own included where
    /// it has none.
    ///
    /// # Errors
    /// [`ConfigError::NoHttp3`].
    pub(super) fn names(&self, mut names: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, ConfigError> {
        match &self.http {
            None => names.clear(),
            Some(_) if names.is_empty() => names.push(tls::ALPN.to_vec()),
            Some(_) if !names.iter().any(|name| name == tls::ALPN) => {
                return Err(ConfigError::NoHttp3);
            }
            Some(_) => {}
        }
        let raw = self.quic.iter().flat_map(|raw| &raw.names);
        for name in raw {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(names)
    }

    /// Whether it is TLS that says which of both a connection speaks.
    pub(super) fn is_open(&self) -> bool {
        self.http.is_some() && self.quic.is_some()
    }

    /// What a connection speaks on which TLS has agreed on this name; `None` while it has not,
    /// and either is possible.
    pub(super) fn choose(&self, alpn: Option<&[u8]>) -> Option<Choice> {
        match (&self.http, &self.quic, alpn) {
            (Some(_), Some(_), None) => None,
            (http, Some(raw), alpn) => match http {
                Some(http) if !alpn.is_some_and(|alpn| raw.speaks(alpn)) => {
                    Some(Choice::Http(Arc::clone(http)))
                }
                _ => Some(Choice::Quic(Arc::clone(&raw.config))),
            },
            (Some(http), None, _) => Some(Choice::Http(Arc::clone(http))),
            (None, None, _) => None,
        }
    }
}

/// What a connection is to speak.
#[derive(Clone, Debug)]
pub(super) enum Choice {
    Http(Arc<Config>),
    Quic(Arc<quic::Config>),
}

/// The layer above QUIC, of one connection.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are HTTP's, and it stays where it is"
)]
pub(super) enum Upper {
    Http(Connection),
    Quic(Box<QuicConnection>),
    /// TLS has not agreed on a protocol yet; it has ended before that, if it has.
    Undecided(Undecided),
}

/// A connection that has not come as far as a protocol.
#[derive(Debug, Default)]
pub(super) struct Undecided {
    ended: Option<Box<CloseReason>>,
    told: bool,
}

/// The same for whichever it is. A macro, so that nothing is passed that is not used.
macro_rules! either {
    ($upper:expr, $it:ident => $do:expr, $undecided:ident => $else:expr) => {
        match $upper {
            Upper::Http($it) => $do,
            Upper::Quic($it) => $do,
            Upper::Undecided($undecided) => $else,
        }
    };
}

impl Upper {
    /// Which it is, once that is known.
    pub(super) fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Http(_) => Some(Protocol::Http3),
            Self::Quic(_) => Some(Protocol::Quic),
            Self::Undecided(_) => None,
        }
    }

    #[inline]
    pub(super) fn handle<T: Transport>(&mut self, t: &mut T, now: Instant, event: TransportEvent) {
        match self {
            Self::Http(http) => http.handle(t, now, event),
            Self::Quic(quic) => quic.handle(t, now, event),
            Self::Undecided(undecided) => {
                if let TransportEvent::Closed(reason) = event {
                    undecided.ended.get_or_insert(Box::new(reason));
                }
            }
        }
    }

    pub(super) fn handle_timeout<T: Transport>(&mut self, t: &mut T, now: Instant) {
        either!(self, it => it.handle_timeout(t, now), _undecided => {});
    }

    #[inline]
    pub(super) fn poll_event(&mut self) -> Option<Event> {
        match self {
            Self::Http(http) => http.poll_event(),
            Self::Quic(quic) => quic.poll_told(),
            Self::Undecided(undecided) => {
                let reason = undecided.ended.as_ref().filter(|_| !undecided.told)?;
                undecided.told = true;
                Some(Event::Closed(reason.clone()))
            }
        }
    }

    pub(super) fn has_events(&self) -> bool {
        match self {
            Self::Http(http) => http.has_events(),
            Self::Quic(quic) => quic.has_told(),
            Self::Undecided(undecided) => undecided.ended.is_some() && !undecided.told,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Deadline> {
        either!(self, it => it.poll_timeout(), _undecided => None)
    }

    #[inline]
    pub(super) fn is_closed(&self) -> bool {
        either!(self, it => it.is_closed(), undecided => undecided.ended.is_some())
    }

    pub(super) fn close_reason(&self) -> Option<&CloseReason> {
        either!(self, it => it.close_reason(), undecided => undecided.ended.as_deref())
    }

    pub(super) fn live_streams(&self) -> usize {
        either!(self, it => it.live_streams(), _undecided => 0)
    }

    pub(super) fn is_idle(&self) -> bool {
        either!(self, it => it.is_idle(), _undecided => true)
    }

    pub(super) fn has_unread(&self) -> bool {
        either!(self, it => it.has_unread(), _undecided => false)
    }

    pub(super) fn work(&self) -> u64 {
        either!(self, it => it.work(), _undecided => 0)
    }

    /// What is kept with tickets, once it is known: of raw QUIC there is nothing, from the
    /// first.
    pub(super) fn peer_settings(&self) -> Option<Cow<'_, Settings>> {
        match self {
            Self::Http(http) => http.peer_settings().map(Cow::Borrowed),
            Self::Quic(_) => Some(Cow::Owned(Settings::new())),
            Self::Undecided(_) => None,
        }
    }

    /// Closes for a reason of the endpoint's own. HTTP/3's codes mean nothing in another
    /// protocol, which hears 0.
    pub(super) fn close<T: Transport>(
        &mut self,
        t: &mut T,
        now: Instant,
        code: Code,
        reason: &'static str,
    ) {
        match self {
            Self::Http(http) => http.access(t, now).close(code, reason),
            Self::Quic(quic) => quic.close(t, now, Code::new(0), reason),
            Self::Undecided(undecided) => {
                t.close(0, reason.into());
                let (code, reason) = (Code::new(0), reason.into());
                let local = CloseReason::Local { code, reason };
                undecided.ended.get_or_insert(Box::new(local));
            }
        }
    }
}

/// A connection of raw QUIC of an [`Endpoint`], borrowed to be used.
pub struct QuicMut<'a> {
    pub(super) quic: &'a mut QuicConnection,
    pub(super) transport: QuinnTransport<'a>,
    pub(super) state: &'a Facts,
    /// The application has heard `Event::Closed`.
    pub(super) told: &'a mut bool,
}

impl<'a> QuicMut<'a> {
    /// The connection's next event, where it is the application that takes them
    /// ([`quic::Config::pull_events`]).
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.quic.poll_event();
        *self.told |= matches!(event, Some(Event::Closed(_)));
        event
    }

    /// Everything an application does with the connection.
    pub fn access(&mut self) -> QuicAccess<'_, QuinnTransport<'a>> {
        let now = self.transport.now;
        self.quic.access(&mut self.transport, now)
    }

    /// Has QUIC send a PING (RFC 9000 §19.2), so that neither side takes the connection for
    /// idle.
    pub fn ping(&mut self) {
        self.transport.quic.ping();
    }

    /// What QUIC knows about the connection.
    #[must_use]
    pub fn info(&self) -> ConnectionInfo<'_> {
        ConnectionInfo {
            quic: self.transport.quic,
            facts: self.state,
        }
    }
}

impl fmt::Debug for QuicMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicMut")
            .field("quic", &self.quic)
            .finish_non_exhaustive()
    }
}

/// What raw QUIC was told last of what changes.
#[derive(Debug, Default)]
pub(super) struct Told {
    about: Option<Box<About>>,
    established: bool,
    datagram: Option<usize>,
    blocked: [u64; 2],
}

impl State {
    /// Tells raw QUIC what quinn has no event for: who the peer is, where it is, and that it
    /// would open more streams.
    pub(super) fn tell_more(&mut self, now: Instant) {
        if !matches!(self.upper, Upper::Quic(_)) || self.upper.is_closed() {
            return;
        }
        let established = !self.quic.is_handshaking();
        let (remote, local_ip) = (self.quic.remote_address(), self.quic.local_ip());
        let before = self.said.about.as_deref();
        let same = before.is_some_and(|it| it.remote == remote && it.local_ip == local_ip);
        // Whoever is told anything looks at the largest datagram, too.
        let same = same && self.said.datagram == self.facts.datagrams.path;
        if !same || established != self.said.established {
            let info = ConnectionInfo {
                quic: &self.quic,
                facts: &self.facts,
            };
            let alpn = info.alpn().unwrap_or_default();
            // Of a client nothing is known before that.
            if self.quic.side().is_client() || !alpn.is_empty() {
                let certificates = match &self.upper {
                    Upper::Quic(quic) if established && quic.confirms() => {
                        let chain = info.peer_certificates().into_iter();
                        chain.map(|one| Bytes::copy_from_slice(&one)).collect()
                    }
                    _ => Vec::new(),
                };
                let about = Box::new(About {
                    alpn,
                    certificates,
                    server_name: info.server_name(),
                    resumed: info.is_resumed(),
                    local_ip,
                    ..About::new(remote)
                });
                self.said.established = established;
                self.said.datagram = self.facts.datagrams.path;
                self.said.about = Some(about.clone());
                self.tell_upper(now, TransportEvent::About(about));
            }
        }
        let frames = self.quic.stats().frame_rx;
        let blocked = [frames.streams_blocked_bidi, frames.streams_blocked_uni];
        if blocked != self.said.blocked {
            let before = std::mem::replace(&mut self.said.blocked, blocked);
            for (dir, (before, after)) in [Dir::Bi, Dir::Uni]
                .into_iter()
                .zip(before.into_iter().zip(blocked))
            {
                if before != after {
                    self.tell_upper(now, TransportEvent::StreamsBlocked(dir));
                }
            }
        }
    }
}

impl Endpoint {
    /// Has the application take the events of each connection of raw QUIC that begins from
    /// now on from itself, whatever its [`quic::Config::pull_events`] says.
    pub fn pull_quic_events(&mut self) {
        self.pulls = true;
    }

    /// As [`Self::connection`], of one that speaks raw QUIC.
    pub fn quic(&mut self, now: Instant, key: ConnKey) -> Option<QuicMut<'_>> {
        let now = self.see(now);
        let state = state_of(&mut self.slots, key)?;
        touched(&mut self.dirty, state, key);
        state.lend_quic(now)
    }

    /// What a connection speaks; `None` once it is forgotten, and while TLS has not agreed on
    /// anything with a client that may want either.
    #[must_use]
    pub fn protocol(&self, key: ConnKey) -> Option<Protocol> {
        let slot = self.slots.get(key.index())?;
        let state = slot
            .state
            .as_ref()
            .filter(|_| slot.generation == key.generation)?;
        state.upper.protocol()
    }

    /// What a new connection speaks, as far as it is known.
    pub(super) fn upper(&mut self, now: Instant, side: Side, choice: Option<Choice>) -> Upper {
        match choice {
            Some(Choice::Http(config)) => Upper::Http(self.http(now, side, config)),
            Some(Choice::Quic(mut config)) => {
                if self.pulls && !config.pull_events {
                    Arc::make_mut(&mut config).pull_events = true;
                }
                let observer = self
                    .observer
                    .as_mut()
                    .and_then(|observer| observer.quic_connection(now, side, &config));
                let connection = QuicConnection::new(side, config);
                Upper::Quic(Box::new(match observer {
                    Some(observer) => connection.observed(observer),
                    None => connection,
                }))
            }
            None => Upper::Undecided(Undecided::default()),
        }
    }

    /// Has a connection speak what TLS has agreed on, if that was not known before.
    pub(super) fn decide(&mut self, now: Instant, key: ConnKey) {
        let offer = self.config.server.as_ref().map(|parts| &parts.offer);
        if !offer.is_some_and(Offer::is_open) {
            return;
        }
        let Some(state) = state_of(&mut self.slots, key) else {
            return;
        };
        if !matches!(state.upper, Upper::Undecided(_)) || state.upper.is_closed() {
            return;
        }
        let Some(alpn) = state.alpn() else { return };
        let choice = offer.and_then(|offer| offer.choose(Some(&alpn)));
        let upper = self.upper(now, Side::Server, choice);
        if let Some(state) = state_of(&mut self.slots, key) {
            state.upper = upper;
        }
    }
}
