//! Both ends over the events of the core: mio, called back and pulling.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use aqueduct_core::code::Code;
use aqueduct_core::endpoint::EndpointConfig;
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::{ConnKey, Dir, SessionKey, StreamKey};
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use aqueduct_mio::{App, PortKey, Ports, run};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

use crate::pipe::{Access, Last, Pipe};
use crate::runtime::{ANY, Job, target};
use crate::script::{
    BIG, DATAGRAMS, ECHO, LIMIT, ONE_WAY, REBIND_AT, STREAM, datagram, pattern, uri,
};
use crate::trace::Trace;
use crate::tunnel;
use crate::tunnel::events::Tunnel;

/// Serves one connection to its end.
///
/// # Panics
/// When anything goes otherwise than the script says.
pub fn serve(config: EndpointConfig, tell: &dyn Fn(SocketAddr), trace: Trace) {
    let mut poll = mio::Poll::new().expect("the system allows it");
    let mut ports = Ports::new(poll.registry(), 10..12).expect("one waker");
    let port = ports.bind(config, ANY).expect("binds");
    tell(ports.local_addr(port).expect("is bound"));
    let mut server = Server {
        trace,
        pipes: BTreeMap::new(),
        sessions: BTreeMap::new(),
        tunnels: BTreeMap::new(),
        over: false,
    };
    run(&mut poll, &mut ports, &mut server).expect("the socket works");
}

struct Server {
    trace: Trace,
    pipes: BTreeMap<StreamKey, Pipe>,
    /// Paths of the sessions.
    sessions: BTreeMap<SessionKey, String>,
    tunnels: BTreeMap<StreamKey, Tunnel>,
    over: bool,
}

impl App for Server {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, connection: ConnKey, event: Event) {
        match event {
            Event::Connected { .. } => return self.trace.note("connection", "connected"),
            Event::Draining { by } => {
                let fact = format!("draining by {by:?}");
                return self.trace.note("connection", fact);
            }
            Event::Closed(reason) => {
                self.over = true;
                let fact = format!("closed: {reason:?}");
                return self.trace.note("connection", fact);
            }
            _ => {}
        }
        let Some(mut connection) = ports.connection(port, connection) else {
            return;
        };
        let access = &mut connection.access();
        let drain = match event {
            Event::Request { stream, head, .. } => self.on_request(access, stream, &head),
            Event::Stream(stream, event) => match self.tunnels.get_mut(&stream) {
                Some(tunnel) => {
                    tunnel.on_event(access, event);
                    false
                }
                None if matches!(event, StreamEvent::Readable | StreamEvent::Writable) => {
                    self.pump(access, stream)
                }
                None => false,
            },
            Event::WebTransport(session, event) => {
                self.on_session(access, session, event);
                false
            }
            _ => false,
        };
        if drain && let Some(endpoint) = ports.endpoint(port) {
            endpoint.drain(Instant::now(), Instant::now() + LIMIT);
        }
    }

    fn is_over(&mut self, ports: &mut Ports) -> bool {
        self.over && ports.is_idle()
    }
}

impl Server {
    fn on_request(&mut self, access: &mut Access<'_>, key: StreamKey, head: &RequestHead) -> bool {
        let name = format!("{} {}", head.method, head.uri.path());
        self.trace.note(&name, "requested");
        if head.protocol == Some(tunnel::protocol()) {
            let tunnel = Tunnel::accept(access, key, self.trace.clone());
            self.tunnels.insert(key, tunnel);
            return false;
        }
        let status = match head.uri.path() {
            "/drain" => StatusCode::NO_CONTENT,
            _ => StatusCode::OK,
        };
        let response = ResponseHead::new(status);
        access.respond(key, &response, End::More).expect("first");
        let mut pipe = Pipe::receiving(&name);
        pipe.echo = name == "POST /echo";
        self.pipes.insert(key, pipe);
        self.pump(access, key)
    }

    /// Moves what can be moved; whether the client asked for the end.
    fn pump(&mut self, access: &mut Access<'_>, key: StreamKey) -> bool {
        let Some(pipe) = self.pipes.get_mut(&key) else {
            return false;
        };
        if !pipe.pump(access, key) {
            return false;
        }
        let mut fact = pipe.content.to_string();
        match &*pipe.name {
            "GET /hello" => pipe.send("hello".into(), Last::Fin),
            "GET /big" => pipe.send(pattern(BIG), Last::Fin),
            "POST /echo" => {
                let bytes = HeaderValue::from(pipe.content.len);
                pipe.last = Last::Trailers([(http::header::ETAG, bytes)].into_iter().collect());
            }
            _ if pipe.session.is_some() => {}
            _ => pipe.last = Last::Fin,
        }
        if pipe.name.contains(" /") {
            fact = format!("content: {fact}");
        }
        self.trace.note(&pipe.name, fact);
        pipe.pump(access, key);
        // What came one way goes back the other way.
        if let Some(session) = pipe.session {
            let back = access
                .webtransport(session)
                .open_stream(Dir::Uni)
                .expect("few");
            let mut reply = Pipe::sending("reply", std::mem::take(&mut pipe.kept).into());
            reply.pump(access, back);
            self.pipes.insert(back, reply);
        }
        self.pipes[&key].name == "POST /drain"
    }

    fn on_session(&mut self, access: &mut Access<'_>, key: SessionKey, event: SessionEvent) {
        let path = self.sessions.get(&key).cloned().unwrap_or_default();
        match event {
            SessionEvent::Requested(request) if request.uri.path() == "/nowhere" => {
                self.trace.note(request.uri.path(), "rejected");
                let status = StatusCode::NOT_FOUND;
                access.webtransport(key).reject(status).expect("waits");
            }
            SessionEvent::Requested(request) => {
                self.trace.note(request.uri.path(), "accepted");
                self.sessions.insert(key, request.uri.path().to_owned());
                let answer = ConnectAnswer::default();
                access.webtransport(key).accept(&answer).expect("waits");
            }
            SessionEvent::Opened { stream, dir } => {
                let mut pipe = Pipe::receiving(&path);
                if dir == Dir::Bi {
                    pipe.name += " stream";
                    pipe.echo = true;
                } else {
                    pipe.name += " one-way stream";
                    pipe.session = Some(key);
                }
                self.pipes.insert(stream, pipe);
                self.pump(access, stream);
            }
            SessionEvent::Datagrams => {
                while let Some(datagram) = access.recv_datagram(key) {
                    let text = String::from_utf8_lossy(&datagram);
                    self.trace.note(format!("{path} datagrams"), text);
                    access.send_datagram(key, &datagram).expect("small");
                }
            }
            SessionEvent::Closed(close) => self.trace.note(path, format!("{close:?}")),
            _ => {}
        }
    }
}

/// The client of a job.
///
/// # Panics
/// When anything goes otherwise than the script says.
pub fn ask(config: EndpointConfig, server: SocketAddr, job: Job, trace: Trace) {
    let mut poll = mio::Poll::new().expect("the system allows it");
    let mut events = mio::Events::with_capacity(16);
    let mut ports = Ports::new(poll.registry(), 0..2).expect("one waker");
    let port = ports.bind(config, ANY).expect("binds");
    let before = ports.local_addr(port).expect("is bound");
    let connection = ports.connect(port, target(server)).expect("begins");
    let mut client = Client {
        trace,
        job,
        pipes: BTreeMap::new(),
        sessions: BTreeMap::new(),
        tunnel: None,
        datagrams: 0,
        over: false,
    };
    loop {
        ports.receive().expect("the socket works");
        while let Some((_, _, event)) = ports.poll_event() {
            if let Event::Closed(reason) = event {
                let fact = format!("closed: {reason:?}");
                client.trace.note("connection", fact);
                client.over = true;
            } else if let Some(mut connection) = ports.connection(port, connection) {
                client.on_event(&mut connection.access(), event);
            }
            if client.wants_to_move() && ports.local_addr(port).expect("is bound") == before {
                let socket = UdpSocket::bind(ANY).expect("a port");
                ports.rebind(port, socket).expect("a socket");
            }
        }
        let wait = ports.send();
        if client.over && ports.is_idle() {
            break;
        }
        poll.poll(&mut events, wait).expect("no signals");
        for event in &events {
            assert!(ports.ready(event), "nothing else is registered");
        }
    }
    let moved = ports.local_addr(port).expect("is bound") != before;
    assert_eq!(moved, job == Job::Download);
}

struct Client {
    trace: Trace,
    job: Job,
    pipes: BTreeMap<StreamKey, Pipe>,
    sessions: BTreeMap<SessionKey, String>,
    tunnel: Option<Tunnel>,
    /// Datagrams that have come back.
    datagrams: usize,
    over: bool,
}

impl Client {
    fn wants_to_move(&self) -> bool {
        self.pipes
            .values()
            .any(|pipe| pipe.name == "GET /big" && pipe.content.len >= REBIND_AT)
    }

    fn on_event(&mut self, access: &mut Access<'_>, event: Event) {
        match (&mut self.tunnel, &event) {
            (Some(tunnel), Event::Response { head, .. }) => return tunnel.on_response(head),
            (Some(tunnel), Event::Stream(_, event)) => {
                if tunnel.on_event(access, *event) {
                    access.close(Code::H3_NO_ERROR, "");
                }
                return;
            }
            _ => {}
        }
        match event {
            Event::Connected { .. } => self.trace.note("connection", "connected"),
            Event::Settings(_) => {
                self.trace.note("connection", "settings");
                match self.job {
                    Job::Script => self.request(access, Method::GET, "/hello", Bytes::new()),
                    Job::Download => self.request(access, Method::GET, "/big", Bytes::new()),
                    Job::Tunnel => {
                        self.tunnel = Some(Tunnel::open(access, self.trace.clone()));
                    }
                }
            }
            Event::Draining { by } => {
                let fact = format!("draining by {by:?}");
                self.trace.note("connection", fact);
            }
            Event::Response { stream, head } => {
                let name = &self.pipes[&stream].name;
                self.trace.note(name, head.status.as_str());
            }
            Event::Trailers { stream, trailers } => {
                let name = format!("{} trailers", self.pipes[&stream].name);
                self.trace.note(name, format!("{:?}", trailers.headers));
            }
            Event::Stream(stream, StreamEvent::Readable | StreamEvent::Writable) => {
                self.pump(access, stream);
            }
            Event::WebTransport(session, event) => self.on_session(access, session, event),
            _ => {}
        }
    }

    /// Moves what can be moved, and begins what comes after it.
    fn pump(&mut self, access: &mut Access<'_>, key: StreamKey) {
        let Some(pipe) = self.pipes.get_mut(&key) else {
            return;
        };
        if !pipe.pump(access, key) {
            return;
        }
        let (name, content, session) = (pipe.name.clone(), pipe.content, pipe.session);
        if name.contains(" /") {
            self.trace.note(&name, format!("content: {content}"));
        } else {
            self.trace.note(&name, content.to_string());
        }
        match (&*name, session) {
            ("GET /hello", _) => self.request(access, Method::POST, "/echo", pattern(ECHO)),
            ("GET /big", _) => access.close(Code::H3_NO_ERROR, ""),
            ("POST /echo", _) => self.session(access, "/nowhere"),
            ("/chat stream", Some(session)) => {
                let stream = access
                    .webtransport(session)
                    .open_stream(Dir::Uni)
                    .expect("few");
                let mut pipe = Pipe::sending("one way", Bytes::from_static(ONE_WAY));
                pipe.pump(access, stream);
                self.pipes.insert(stream, pipe);
            }
            ("/chat one-way stream", Some(session)) => {
                let first = datagram(0);
                access.send_datagram(session, &first).expect("small");
            }
            _ => {}
        }
    }

    fn on_session(&mut self, access: &mut Access<'_>, key: SessionKey, event: SessionEvent) {
        let path = self.sessions.get(&key).cloned().unwrap_or_default();
        match event {
            SessionEvent::Rejected { status, .. } => {
                self.trace.note(path, format!("rejected with {status}"));
                self.session(access, "/chat");
            }
            SessionEvent::Established(_) => {
                self.trace.note(&path, "established");
                if path == "/late" {
                    return self.request(access, Method::POST, "/drain", Bytes::new());
                }
                let stream = access.webtransport(key).open_stream(Dir::Bi).expect("few");
                let mut pipe = Pipe::sending(&format!("{path} stream"), pattern(STREAM));
                (pipe.receives, pipe.session) = (true, Some(key));
                self.pipes.insert(stream, pipe);
                self.pump(access, stream);
            }
            SessionEvent::Opened { stream, .. } => {
                let mut pipe = Pipe::receiving(&format!("{path} one-way stream"));
                pipe.session = Some(key);
                self.pipes.insert(stream, pipe);
                self.pump(access, stream);
            }
            SessionEvent::Datagrams => {
                while let Some(echo) = access.recv_datagram(key) {
                    let text = String::from_utf8_lossy(&echo);
                    self.trace.note(format!("{path} datagrams"), text);
                    self.datagrams += 1;
                    if self.datagrams == DATAGRAMS {
                        access.webtransport(key).close(7, "done").expect("is open");
                        return;
                    }
                    let next = datagram(self.datagrams);
                    access.send_datagram(key, &next).expect("small");
                }
            }
            SessionEvent::Draining => {
                self.trace.note(path, "draining");
                access.webtransport(key).close(0, "bye").expect("is open");
            }
            SessionEvent::Closed(close) => {
                self.trace.note(&path, format!("{close:?}"));
                if path == "/chat" {
                    self.session(access, "/late");
                }
            }
            _ => {}
        }
    }

    fn request(&mut self, access: &mut Access<'_>, method: Method, path: &str, content: Bytes) {
        let mut pipe = Pipe::sending(&format!("{method} {path}"), content);
        pipe.receives = true;
        let head = RequestHead::new(method, uri(path));
        let stream = access.request(&head, End::More).expect("is taken");
        self.pipes.insert(stream, pipe);
        self.pump(access, stream);
    }

    fn session(&mut self, access: &mut Access<'_>, path: &str) {
        let request = ConnectRequest::new(uri(path));
        let session = access.open_session(&request).expect("is taken");
        self.sessions.insert(session, path.to_owned());
    }
}
