//! A server in one thread and one `mio::Poll`, which it shares with what is not
//! QUIC: two UDP ports that echo HTTP/3 requests and WebTransport sessions, and a
//! TCP port that says how the server is.
//!
//! ```text
//! cargo run -p aqueduct-examples --bin mio-server -- 127.0.0.1:4433 cert.der
//! cargo run -p aqueduct-tokio --example echo-client -- 127.0.0.1:4433 cert.der
//! nc 127.0.0.1 4433
//! ```
//!
//! There is no lock, no `async` and no other thread: [`run`] sleeps in the `Poll` and
//! calls [`Server`] back, one thing at a time.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::SystemTime;

use aqueduct_mio::protocol::endpoint::tls::{self, Identity};
use aqueduct_mio::protocol::endpoint::{EndpointConfig, QuinnTransport};
use aqueduct_mio::protocol::event::{Event, StreamEvent};
use aqueduct_mio::protocol::head::{End, ResponseHead};
use aqueduct_mio::protocol::id::{ConnKey, StreamKey};
use aqueduct_mio::protocol::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_mio::protocol::{config::Config, connection, transport::ReadState};
use aqueduct_mio::{App, PortKey, Ports, run};
use bytes::Bytes;
use http::StatusCode;
use mio::net::TcpListener;
use mio::{Interest, Poll, Token};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Access<'a> = connection::Access<'a, QuinnTransport<'a>>;
/// A connection of one of the ports.
type Peer = (PortKey, ConnKey);
/// What has come on a stream and not gone back, and whether all has come.
type Echo = ([Bytes; 1], bool);

/// The ports have those below: one to be woken by, and one for each socket.
const LISTENER: Token = Token(3);

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let addr: SocketAddr = args.next().as_deref().unwrap_or("127.0.0.1:4433").parse()?;
    let file = args.next().unwrap_or_else(|| "cert.der".into());
    let identity = Identity::self_signed(["localhost", "127.0.0.1"], SystemTime::now())?;
    std::fs::write(&file, &identity.chain[0])?;
    let tls = tls::server_config(identity.chain, identity.key)?;
    let config = EndpointConfig::server(tls.into(), Config::default())?;

    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(addr)?;
    let registry = poll.registry();
    registry.register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut ports = Ports::new(registry, 0..LISTENER.0)?;
    // The same number for UDP as for TCP, and one that the system chooses.
    let addr = listener.local_addr()?;
    for addr in [addr, SocketAddr::new(addr.ip(), 0)] {
        let port = ports.bind(config.clone(), addr)?;
        let addr = ports.local_addr(port)?;
        println!("https://{addr} with the certificate in {file}");
    }
    let mut server = Server {
        listener,
        served: 0,
        echoes: BTreeMap::new(),
    };
    Ok(run(&mut poll, &mut ports, &mut server)?)
}

struct Server {
    listener: TcpListener,
    /// Connections so far.
    served: usize,
    echoes: BTreeMap<(Peer, StreamKey), Echo>,
}

impl App for Server {
    fn on_event(&mut self, ports: &mut Ports, port: PortKey, key: ConnKey, event: Event) {
        let peer = (port, key);
        let Some(mut connection) = ports.connection(port, key) else {
            return;
        };
        let answered = self.answer(&mut connection.access(), peer, event);
        answered.unwrap_or_else(|fault| eprintln!("{fault}"));
    }

    /// Somebody asks by TCP. The edge is told once, for all who wait.
    fn on_source(&mut self, _: &mut Ports, _: &mio::event::Event) {
        while let Ok((mut visitor, _)) = self.listener.accept() {
            // So little fits into a new connection. Who asked may have gone.
            writeln!(visitor, "{} connections so far", self.served).ok();
        }
    }
}

impl Server {
    fn answer(&mut self, access: &mut Access<'_>, peer: Peer, event: Event) -> Result<()> {
        match event {
            Event::Connected { .. } => self.served += 1,
            Event::Request { stream, .. } => {
                access.respond(stream, &ResponseHead::new(StatusCode::OK), End::More)?;
            }
            Event::WebTransport(session, SessionEvent::Requested(_)) => {
                access.webtransport(session).accept(&ConnectAnswer::new())?;
            }
            Event::WebTransport(session, SessionEvent::Datagrams) => {
                while let Some(datagram) = access.recv_datagram(session) {
                    // An echo that does not fit is lost, as datagrams are.
                    access.send_datagram(session, &datagram).ok();
                }
            }
            Event::Stream(stream, StreamEvent::Readable | StreamEvent::Writable) => {
                let mut echo = self.echoes.remove(&(peer, stream)).unwrap_or_default();
                if !go_on(&mut echo, access, stream)? {
                    self.echoes.insert((peer, stream), echo);
                }
            }
            Event::Stream(_, StreamEvent::Datagrams | StreamEvent::DatagramsUnblocked) => {}
            // However it ended, there is nothing left to be held.
            Event::Stream(stream, _) => drop(self.echoes.remove(&(peer, stream))),
            Event::Closed(_) => self.echoes.retain(|(of, _), _| *of != peer),
            _ => {}
        }
        Ok(())
    }
}

/// Gives back what the client takes; whether that was all. Nothing is read while
/// something is held, so QUIC slows down a client that does not read.
fn go_on(echo: &mut Echo, access: &mut Access<'_>, stream: StreamKey) -> Result<bool> {
    let (held, ended) = echo;
    loop {
        access.send(stream)?.write(held)?;
        if !held[0].is_empty() {
            return Ok(false);
        }
        if *ended {
            access.send(stream)?.finish()?;
            return Ok(true);
        }
        let read = access.recv(stream)?.read(1 << 16, held)?;
        *ended = read.state == ReadState::Finished;
        if read.state == ReadState::Blocked && held[0].is_empty() {
            return Ok(false);
        }
    }
}
