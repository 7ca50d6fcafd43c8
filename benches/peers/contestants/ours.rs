//! What our contestants share: settings, and a connection as the polled works want it.

use std::time::Duration;

use aqueduct_mio::protocol::code::Code;
use aqueduct_mio::protocol::config::Config;
use aqueduct_mio::protocol::connection;
use aqueduct_mio::protocol::endpoint::{
    ConnectionMut, EndpointConfig, IncomingPolicy, QuinnTransport, Retry, Target, TransportSettings,
};
use aqueduct_mio::protocol::event::{Event, StreamEvent};
use aqueduct_mio::protocol::head::{End, RequestHead, ResponseHead};
use aqueduct_mio::protocol::id::{ConnKey, Dir, SessionKey, StreamKey};
use aqueduct_mio::protocol::transport::ReadState;
use aqueduct_mio::protocol::webtransport::{
    ConnectAnswer, ConnectRequest, SessionEvent, SessionFlow,
};
use bytes::Bytes;
use http::{Method, StatusCode, Uri};

use crate::load::polled::{self, Got, Kind, Role, Wire};
use crate::measure::die;
use crate::setup::{
    DATAGRAM_BUFFER, IDLE, MTU, NAME, Res, SESSIONS, STREAM_WINDOW, STREAMS, Setup, WINDOW,
    size_of_path,
};
use crate::works::Load;

type Access<'a, 'b> = connection::Access<'a, QuinnTransport<'b>>;

/// What everybody grants.
pub fn config() -> Config {
    let mut config = Config::default();
    config.limits.sessions = SESSIONS;
    config.limits.open_requests = STREAMS as usize;
    config.limits.datagrams = DATAGRAM_BUFFER / 100;
    config.limits.datagram_bytes = DATAGRAM_BUFFER;
    config.limits.all_datagram_bytes = DATAGRAM_BUFFER;
    config.limits.head_bytes = 16 << 20;
    config.webtransport.flow = Some(SessionFlow::new(
        WINDOW.into(),
        STREAMS.into(),
        STREAMS.into(),
    ));
    config
}

fn settings() -> TransportSettings {
    let mut settings = TransportSettings::default();
    settings.idle_timeout = Some(IDLE);
    settings.max_streams_bidi = STREAMS.into();
    settings.max_streams_uni = STREAMS.into();
    settings.stream_receive_window = STREAM_WINDOW.into();
    settings.receive_window = WINDOW.into();
    settings.initial_receive_window = WINDOW.into();
    settings.send_window = WINDOW.into();
    settings.initial_send_window = WINDOW.into();
    settings.datagram_receive_buffer = DATAGRAM_BUFFER;
    settings.datagram_send_buffer = DATAGRAM_BUFFER;
    settings.initial_mtu = MTU;
    settings.mtu_discovery = None;
    settings
}

pub fn server(setup: &Setup) -> Res<EndpointConfig> {
    let mut policy = IncomingPolicy::default();
    policy.retry = Retry::Never;
    policy.max_per_address = Some(policy.max_connections);
    policy.max_per_network = Some(policy.max_connections);
    let config = EndpointConfig::server(setup.server_tls(b"h3")?, config())?;
    // Windows that large are promised to each connection.
    Ok(config
        .transport(settings())?
        .incoming(policy)
        .memory(1 << 40))
}

pub fn client() -> Res<EndpointConfig> {
    Ok(EndpointConfig::client()
        .transport(settings())?
        .memory(1 << 40))
}

/// An end of ours that is polled.
pub struct App {
    role: Role<Option<SessionKey>, (ConnKey, StreamKey)>,
    kind: Kind,
    target: Option<Target>,
    uri: Uri,
    /// The connection of the load.
    conn: Option<ConnKey>,
    /// Connections to be begun.
    pub wanted: usize,
}

impl App {
    pub fn new(load: Option<Load>, setup: &Setup) -> Res<Self> {
        let role = Role::new(load, setup);
        let (kind, wanted) = role.starts();
        let target = match load {
            Some(_) => {
                let tls = setup.client_tls(b"h3")?;
                Some(Target::new(setup.addr, NAME, tls).http(config()))
            }
            None => None,
        };
        Ok(Self {
            role,
            kind,
            target,
            uri: setup.uri(0),
            conn: None,
            wanted,
        })
    }

    /// Begins the connections that are wanted.
    pub fn dial(&mut self, mut connect: impl FnMut(Target) -> Res<ConnKey>) {
        for _ in 0..std::mem::take(&mut self.wanted) {
            if let Some(target) = self.target.clone() {
                self.conn = Some(connect(target).unwrap_or_else(|error| die(error)));
            }
        }
    }

    pub fn limit(&self, wait: Option<Duration>) -> Option<Duration> {
        self.role.limit(wait)
    }

    pub fn deadline(&self) -> Option<std::time::Instant> {
        self.role.deadline()
    }

    /// Once in a while, with the way to the connection of the load.
    pub fn tick<'a>(&mut self, lend: impl FnOnce(ConnKey) -> Option<ConnectionMut<'a>>) {
        if self
            .role
            .deadline()
            .is_none_or(|at| at > std::time::Instant::now())
        {
            return;
        }
        if let Some(key) = self.conn
            && let Some(mut lent) = lend(key)
        {
            self.role.tick(&mut Lent {
                key,
                access: lent.access(),
                uri: &self.uri,
                wanted: 0,
            });
        }
    }

    /// An event of a connection that is lent.
    pub fn on(&mut self, key: ConnKey, lent: &mut ConnectionMut<'_>, event: Event) {
        let mut lent = Lent {
            key,
            access: lent.access(),
            uri: &self.uri,
            wanted: 0,
        };
        if let Some(event) = lent.translate(event, self.kind) {
            self.role.on(&mut lent, event);
        }
        self.wanted += lent.wanted;
    }
}

struct Lent<'a, 'b> {
    key: ConnKey,
    access: Access<'a, 'b>,
    uri: &'a Uri,
    wanted: usize,
}

type Told = polled::Event<Option<SessionKey>, (ConnKey, StreamKey)>;

impl Lent<'_, '_> {
    /// What of an event matters to the works.
    fn translate(&mut self, event: Event, kind: Kind) -> Option<Told> {
        Some(match event {
            Event::Connected { .. } if kind == Kind::Connection => Told::Ready(None),
            Event::Settings(_) if kind == Kind::Session => {
                self.further();
                return None;
            }
            Event::WebTransport(session, event) => match event {
                SessionEvent::Requested(_) => {
                    let accepted = self
                        .access
                        .webtransport(session)
                        .accept(&ConnectAnswer::new());
                    accepted.unwrap_or_else(|error| die(error));
                    return None;
                }
                SessionEvent::Established(_) => Told::Ready(Some(session)),
                SessionEvent::Opened {
                    stream,
                    dir: Dir::Uni,
                } => Told::Readable((self.key, stream)),
                SessionEvent::Opened { stream, .. } => Told::Opened((self.key, stream)),
                SessionEvent::StreamsAvailable(_) => Told::Available,
                SessionEvent::Datagrams => Told::Datagrams(Some(session)),
                SessionEvent::DatagramsUnblocked => Told::Room(Some(session)),
                _ => return None,
            },
            Event::Available(_) => Told::Available,
            Event::Request { stream, head, .. } => {
                Told::Request((self.key, stream), size_of_path(head.uri.path()))
            }
            Event::Stream(stream, StreamEvent::Readable) => Told::Readable((self.key, stream)),
            Event::Stream(stream, StreamEvent::Writable) => Told::Writable((self.key, stream)),
            _ => return None,
        })
    }
}

impl Wire for Lent<'_, '_> {
    type Conn = Option<SessionKey>;
    type Stream = (ConnKey, StreamKey);

    fn connect(&mut self) {
        self.wanted += 1;
    }

    fn further(&mut self) {
        // On a server the peer's SETTINGS have come as well.
        let request = ConnectRequest::new(self.uri.clone());
        if self.access.side() == aqueduct_mio::protocol::id::Side::Client
            && let Err(error) = self.access.open_session(&request)
        {
            die(error);
        }
    }

    fn close(&mut self) {
        self.access.close(Code::H3_NO_ERROR, "");
    }

    fn open(&mut self, session: Self::Conn, uni: bool) -> Option<Self::Stream> {
        let dir = if uni { Dir::Uni } else { Dir::Bi };
        let stream = self.access.webtransport(session?).open_stream(dir).ok()?;
        Some((self.key, stream))
    }

    fn write(&mut self, (_, stream): Self::Stream, data: &mut Bytes) -> bool {
        let data = std::slice::from_mut(data);
        let Ok(mut send) = self.access.send(stream) else {
            return false;
        };
        send.write(data).is_ok() && data[0].is_empty()
    }

    fn finish(&mut self, (_, stream): Self::Stream) {
        if let Ok(mut send) = self.access.send(stream) {
            let _ = send.finish();
        }
    }

    fn read(&mut self, (_, stream): Self::Stream, chunk: &mut Bytes) -> Got {
        let Ok(mut recv) = self.access.recv(stream) else {
            return Got::Gone;
        };
        match recv
            .read(usize::MAX, std::slice::from_mut(chunk))
            .map(|read| read.state)
        {
            Ok(ReadState::Open) => Got::More,
            Ok(ReadState::Blocked) => Got::Blocked,
            Ok(ReadState::Finished) => Got::End,
            Err(_) => Got::Gone,
        }
    }

    fn send_datagram(&mut self, session: Self::Conn, data: &[u8]) -> bool {
        session.is_some_and(|session| self.access.send_datagram(session, data).is_ok())
    }

    fn recv_datagram(&mut self, session: Self::Conn) -> Option<Bytes> {
        self.access.recv_datagram(session?)
    }

    fn request(&mut self, uri: &Uri) -> Option<Self::Stream> {
        let head = RequestHead::new(Method::GET, uri.clone());
        Some((self.key, self.access.request(&head, End::Fin).ok()?))
    }

    fn respond(&mut self, (_, stream): Self::Stream) {
        // Who asked may have gone.
        let _ = self
            .access
            .respond(stream, &ResponseHead::new(StatusCode::OK), End::More);
    }
}
