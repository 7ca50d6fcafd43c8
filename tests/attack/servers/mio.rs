//! A server on mio that keeps requests until an event says that nobody wants them, unless the
//! path is `/`, which is answered unread, or `/sink`; for `/deaf` until the connection is over.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;

use aqueduct_attack::heap::{Counting, Handler, ready, report};
use aqueduct_attack::limits::config;
use aqueduct_mio::protocol::endpoint::{EndpointConfig, QuinnTransport, tls};
use aqueduct_mio::protocol::event::{Event, StreamEvent};
use aqueduct_mio::protocol::head::{End, RequestHead, ResponseHead};
use aqueduct_mio::protocol::id::{ConnKey, StreamKey};
use aqueduct_mio::protocol::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_mio::protocol::{connection, transport::ReadState};
use aqueduct_mio::{App, PortKey, Ports, run};
use bytes::Bytes;
use http::StatusCode;
use mio::Poll;
use rustls::pki_types::PrivatePkcs8KeyDer;

#[global_allocator]
static HEAP: Counting = Counting;

type Outcome = Result<(), Box<dyn Error>>;
type Access<'a> = connection::Access<'a, QuinnTransport<'a>>;

/// What is done about a stream.
#[derive(Debug)]
enum Work {
    /// Nothing, whatever the client does.
    Deaf,
    /// Nothing; the head is kept, as whoever works on a request does.
    Hang(#[expect(dead_code, reason = "kept for its memory")] Box<RequestHead>),
    /// It is read to its end, then answered.
    Sink,
    /// It is written to for ever.
    Big,
    /// It is read to its end.
    Take,
}

/// What is kept of one connection.
#[derive(Debug, Default)]
struct Peer {
    streams: BTreeMap<StreamKey, (Work, Option<Handler>)>,
    /// Sessions that are answered, but nothing of which is taken.
    idle: Vec<StreamKey>,
}

struct Server(BTreeMap<ConnKey, Peer>);

fn main() -> Outcome {
    let addr: SocketAddr = std::env::args().nth(1).ok_or("an address")?.parse()?;
    let identity = rcgen::generate_simple_self_signed(["localhost".into()])?;
    let key = PrivatePkcs8KeyDer::from(identity.signing_key.serialize_der());
    let tls = tls::server_config(vec![identity.cert.der().clone()], key.into())?;
    let config = EndpointConfig::server(tls.into(), config())?;
    let mut poll = Poll::new()?;
    let mut ports = Ports::new(poll.registry(), 0..2)?;
    let port = ports.bind(config, addr)?;
    ready(ports.local_addr(port)?)?;
    report()?;
    Ok(run(&mut poll, &mut ports, &mut Server(BTreeMap::new()))?)
}

impl App for Server {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, key: ConnKey, event: Event) {
        if matches!(event, Event::Closed(_)) {
            self.0.remove(&key);
            return;
        }
        let Some(mut connection) = ports.connection(port, key) else {
            return;
        };
        let peer = self.0.entry(key).or_default();
        // Streams that end while they are answered are no reason to say anything.
        answer(peer, &mut connection.access(), event).ok();
    }
}

fn answer(peer: &mut Peer, access: &mut Access<'_>, event: Event) -> Outcome {
    let ok = ResponseHead::new(StatusCode::OK);
    match event {
        Event::Request { stream, head, .. } => {
            let work = match head.uri.path() {
                // Nobody reads it, and it is over when the answer has been delivered.
                "/" => return Ok(access.respond(stream, &ok, End::Fin)?),
                "/sink" => Work::Sink,
                "/big" => {
                    // What is sent follows, with credit.
                    access.respond(stream, &ok, End::More)?;
                    Work::Big
                }
                "/deaf" => Work::Deaf,
                _ => Work::Hang(head),
            };
            access.hold(stream);
            peer.streams.insert(stream, (work, Some(Handler::start())));
            go_on(peer, access, stream)
        }
        Event::WebTransport(session, SessionEvent::Requested(request)) => {
            match request.uri.path() {
                "/hang" => return Ok(()),
                "/idle" => peer.idle.push(session.into()),
                _ => {}
            }
            Ok(access.webtransport(session).accept(&ConnectAnswer::new())?)
        }
        Event::WebTransport(session, SessionEvent::Datagrams) => {
            if !peer.idle.contains(&session.into()) {
                while access.recv_datagram(session).is_some() {}
            }
            Ok(())
        }
        Event::WebTransport(session, SessionEvent::Opened { stream, .. }) => {
            if !peer.idle.contains(&session.into()) {
                peer.streams.insert(stream, (Work::Take, None));
            }
            go_on(peer, access, stream)
        }
        Event::Stream(stream, StreamEvent::Readable | StreamEvent::Writable) => {
            go_on(peer, access, stream)
        }
        Event::Stream(
            stream,
            StreamEvent::Stopped(_)
            | StreamEvent::Reset(_)
            | StreamEvent::Malformed(_)
            | StreamEvent::SessionGone,
        ) => {
            if !matches!(peer.streams.get(&stream), Some((Work::Deaf, _))) {
                let_go(peer, access, stream);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Does what can be done about a stream now, and forgets it when that was the last.
fn go_on(peer: &mut Peer, access: &mut Access<'_>, stream: StreamKey) -> Outcome {
    let done = match peer.streams.get(&stream) {
        Some((Work::Sink | Work::Take, _)) => read(access, stream),
        Some((Work::Big, _)) => write(access, stream),
        _ => return Ok(()),
    };
    if done.as_ref().is_ok_and(|done| !done) {
        return Ok(());
    }
    let work = let_go(peer, access, stream);
    if done.is_ok() && matches!(work, Some(Work::Sink)) {
        access.respond(stream, &ResponseHead::new(StatusCode::OK), End::Fin)?;
    }
    done.map(|_| ())
}

/// Stops working on a stream.
fn let_go(peer: &mut Peer, access: &mut Access<'_>, stream: StreamKey) -> Option<Work> {
    access.release(stream);
    Some(peer.streams.remove(&stream)?.0)
}

/// Reads what there is; whether that was all.
fn read(access: &mut Access<'_>, stream: StreamKey) -> Result<bool, Box<dyn Error>> {
    loop {
        let mut chunks = [const { Bytes::new() }; 16];
        match access.recv(stream)?.read(1 << 16, &mut chunks)?.state {
            ReadState::Finished => return Ok(true),
            ReadState::Blocked => return Ok(false),
            _ => {}
        }
    }
}

/// Writes what is taken; there is always more.
fn write(access: &mut Access<'_>, stream: StreamKey) -> Result<bool, Box<dyn Error>> {
    // Content of its own: what is not sent is held.
    while access
        .send(stream)?
        .write(&mut [Bytes::from(vec![0; 16_384])])?
        > 0
    {}
    Ok(false)
}
