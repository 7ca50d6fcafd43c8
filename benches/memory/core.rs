//! Endpoints with their drivers.

use std::time::Instant;

use aqueduct_core::config::Config;
use aqueduct_core::connection::Access;
use aqueduct_core::driver::{Driver, UdpIo, open};
use aqueduct_core::endpoint::{Endpoint, EndpointConfig, QuinnTransport, Target};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{ConnKey, Dir, SessionKey, Side, StreamKey};
use aqueduct_core::testing::cert::Identity;
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use bytes::Bytes;
use http::{Method, StatusCode, Uri};

use super::{Counts, Ends, HUNDRED, PAUSE, Wire, pass};
use crate::working_as;

/// Two endpoints, each with a driver and an application in its loop.
#[derive(Debug)]
pub struct Core {
    ends: [(Endpoint, Driver, Wire); 2],
    apps: [App; 2],
    key: ConnKey,
    session: SessionKey,
    uri: Uri,
}

/// What an application has noted.
#[derive(Debug, Default)]
struct App {
    /// What has come to its end: answers, streams, datagrams.
    done: usize,
    session: Option<SessionKey>,
}

impl Core {
    /// Connected, with a session.
    ///
    /// # Panics
    /// When the ends do not do as told.
    #[must_use]
    pub fn new() -> Self {
        let identity = Identity::localhost();
        let server = EndpointConfig::server(identity.server().into(), Config::default());
        let configs = [EndpointConfig::client(), server.expect("suits")];
        let [client, server] = Wire::pair();
        let mut wires = [client, server].into_iter();
        let ends = configs.map(|config| {
            let wire = wires.next().expect("two");
            let (endpoint, driver) = open(config, wire.limits()).expect("suits");
            (endpoint, driver, wire)
        });
        let uri: Uri = "https://localhost/some/path".parse().expect("a URI");
        let target = Target::new(Wire::addr(Side::Server), "localhost", identity.client_arc());
        let mut ends = ends;
        let key = ends[0].0.connect(Instant::now(), &target).expect("begins");
        let mut apps = [App::default(), App::default()];
        run(&mut ends, &mut apps);
        let mut conn = ends[0].0.connection(Instant::now(), key).expect("is there");
        let asked = conn
            .access()
            .open_session(&ConnectRequest::new(uri.clone()));
        asked.expect("may be asked for");
        run(&mut ends, &mut apps);
        let session = apps[0].session.expect("accepted");
        Self {
            ends,
            apps,
            key,
            session,
            uri,
        }
    }

    /// The client does something, and both go on until all is done.
    fn exchange(&mut self, at_once: usize, work: impl Fn(&mut Access<'_, QuinnTransport<'_>>)) {
        for app in &mut self.apps {
            app.done = 0;
        }
        working_as(Side::Client);
        let (endpoint, ..) = &mut self.ends[0];
        let mut conn = endpoint
            .connection(Instant::now(), self.key)
            .expect("is there");
        let mut access = conn.access();
        for _ in 0..at_once {
            work(&mut access);
        }
        run(&mut self.ends, &mut self.apps);
        pass(PAUSE);
    }
}

impl Default for Core {
    fn default() -> Self {
        Self::new()
    }
}

/// Both ends take turns until nothing is on the wire.
fn run(ends: &mut [(Endpoint, Driver, Wire); 2], apps: &mut [App; 2]) {
    let mut quiet = 0;
    while quiet < 2 {
        for (side, (end, app)) in [Side::Client, Side::Server]
            .into_iter()
            .zip(ends.iter_mut().zip(apps.iter_mut()))
        {
            working_as(side);
            let (endpoint, driver, wire) = end;
            let came = wire.has_some();
            let mut sink = |endpoint: &mut Endpoint, key, event| {
                if let Some(mut conn) = endpoint.connection(Instant::now(), key) {
                    app.on(side, &mut conn.access(), event);
                }
            };
            let turn = driver.turn(Instant::now(), endpoint, wire, &mut sink);
            quiet = match came || turn.expect("a wire does not fail").more {
                true => 0,
                false => quiet + 1,
            };
        }
    }
}

impl App {
    fn on(&mut self, side: Side, access: &mut Access<'_, QuinnTransport<'_>>, event: Event) {
        match event {
            Event::Request { stream, .. } => {
                let head = ResponseHead::new(StatusCode::OK);
                access.respond(stream, &head, End::More).expect("asked");
                let mut send = access.send(stream).expect("is there");
                let content = &mut [Bytes::from_static(HUNDRED)];
                assert_eq!(send.write(content), Ok(HUNDRED.len()));
                send.finish().expect("once");
            }
            Event::WebTransport(session, event) => match event {
                SessionEvent::Requested(_) => {
                    let mut session = access.webtransport(session);
                    session.accept(&ConnectAnswer::new()).expect("asked");
                }
                SessionEvent::Established(_) => self.session = Some(session),
                SessionEvent::Opened { stream, .. } => self.read(access, stream),
                SessionEvent::Datagrams => {
                    while let Some(datagram) = access.recv_datagram(session) {
                        self.done += 1;
                        if side == Side::Server {
                            access.send_datagram(session, &datagram).expect("room");
                        }
                    }
                }
                _ => {}
            },
            Event::Stream(stream, StreamEvent::Readable) => self.read(access, stream),
            _ => {}
        }
    }

    fn read(&mut self, access: &mut Access<'_, QuinnTransport<'_>>, stream: StreamKey) {
        let mut chunk = [Bytes::new()];
        while let Ok(mut recv) = access.recv(stream) {
            match recv.read(usize::MAX, &mut chunk).expect("readable").state {
                ReadState::Open => {}
                ReadState::Blocked => break,
                ReadState::Finished => {
                    self.done += 1;
                    break;
                }
            }
        }
    }
}

impl Ends for Core {
    fn get(&mut self, at_once: usize) {
        let uri = self.uri.clone();
        self.exchange(at_once, |access| {
            let head = RequestHead::new(Method::GET, uri.clone());
            access.request(&head, End::Fin).expect("credit");
        });
        assert_eq!(self.apps[0].done, at_once, "all were answered");
    }

    fn stream(&mut self, at_once: usize) {
        let session = self.session;
        self.exchange(at_once, |access| {
            let stream = access.webtransport(session).open_stream(Dir::Uni);
            let mut send = access.send(stream.expect("credit")).expect("is there");
            let content = &mut [Bytes::from_static(HUNDRED)];
            assert_eq!(send.write(content), Ok(HUNDRED.len()));
            send.finish().expect("once");
        });
        assert_eq!(self.apps[1].done, at_once, "all arrived");
    }

    fn datagram(&mut self, at_once: usize) {
        let session = self.session;
        self.exchange(at_once, |access| {
            access.send_datagram(session, HUNDRED).expect("room");
        });
        assert_eq!(self.apps[0].done, at_once, "all came back");
    }

    fn sent(&self, side: Side) -> Counts {
        self.ends[side as usize].2.sent()
    }
}
