//! Echoes HTTP/3 requests and WebTransport sessions from a blocking socket: the
//! core, the standard library, and nothing that runs by itself.
//!
//! ```text
//! cargo run -p aqueduct-examples --bin custom-loop -- 127.0.0.1:4433 cert.der
//! cargo run -p aqueduct-tokio --example echo-client -- 127.0.0.1:4433 cert.der
//! ```

use std::time::{Duration, Instant, SystemTime};
use std::{collections::BTreeMap, net::UdpSocket};

use aqueduct_core::endpoint::tls::{self, Identity};
use aqueduct_core::endpoint::{Endpoint, EndpointConfig, QuinnTransport};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, ResponseHead};
use aqueduct_core::id::{ConnKey, StreamKey};
use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
use aqueduct_core::{config::Config, connection, transport::ReadState};
use bytes::Bytes;
use http::StatusCode;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
type Access<'a> = connection::Access<'a, QuinnTransport<'a>>;
/// What has come on a stream and not gone back, and whether all has come.
type Echo = (Vec<Bytes>, bool);
type Echoes = BTreeMap<(ConnKey, StreamKey), Echo>;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let addr = args.next().unwrap_or_else(|| "127.0.0.1:4433".into());
    let file = args.next().unwrap_or_else(|| "cert.der".into());
    let identity = Identity::self_signed(["localhost", "127.0.0.1"], SystemTime::now())?;
    std::fs::write(&file, &identity.chain[0])?;
    let tls = tls::server_config(identity.chain, identity.key)?;

    // The standard library's socket does not forbid fragments.
    let config = EndpointConfig::server(tls.into(), Config::default())?.may_fragment(true);
    let mut endpoint = Endpoint::new(config)?;
    let socket = UdpSocket::bind(&addr)?;
    println!("https://{addr} with the certificate in {file}");
    let (now, mut echoes) = (Instant::now, Echoes::new());
    let (mut datagram, mut out) = (vec![0; endpoint.max_udp_payload()], Vec::new());
    loop {
        while let Some((connection, event)) = endpoint.poll_event() {
            on_event(&mut endpoint, connection, event, &mut echoes)
                .unwrap_or_else(|fault| eprintln!("{fault}"));
        }
        while let Some(transmit) = endpoint.poll_transmit(now(), 1, &mut out) {
            let sent = socket.send_to(&out, transmit.remote).map(drop);
            sent.unwrap_or_else(|error| endpoint.handle_send_error(&transmit, error.into()));
        }
        let due = endpoint.poll_timeout();
        let wait = due.map(|due| due.at.saturating_duration_since(now()));
        // Zero would mean to wait forever.
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
        match socket.recv_from(&mut datagram) {
            Ok((len, from)) => endpoint.handle_datagram(now(), from.into(), datagram[..len].into()),
            Err(error) => endpoint.handle_recv_error(error.into()),
        }
        endpoint.handle_timeout(now());
    }
}

fn on_event(core: &mut Endpoint, key: ConnKey, event: Event, echoes: &mut Echoes) -> Result<()> {
    let Some(mut connection) = core.connection(Instant::now(), key) else {
        return Ok(());
    };
    let mut access = connection.access();
    match event {
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
            let mut echo = echoes.remove(&(key, stream)).unwrap_or_default();
            if !go_on(&mut echo, &mut access, stream)? {
                echoes.insert((key, stream), echo);
            }
        }
        Event::Stream(_, StreamEvent::Datagrams | StreamEvent::DatagramsUnblocked) => {}
        // However it ended, there is nothing left to be held.
        Event::Stream(stream, _) => drop(echoes.remove(&(key, stream))),
        Event::Closed(_) => echoes.retain(|(connection, _), _| *connection != key),
        _ => {}
    }
    Ok(())
}

/// Gives back what the client takes; whether that was all. Nothing is read while
/// something is held, so QUIC slows down a client that does not read.
fn go_on(echo: &mut Echo, access: &mut Access<'_>, stream: StreamKey) -> Result<bool> {
    let (held, ended) = echo;
    loop {
        access.send(stream)?.write(held)?;
        held.retain(|chunk| !chunk.is_empty());
        if !held.is_empty() {
            return Ok(false);
        }
        if *ended {
            access.send(stream)?.finish()?;
            return Ok(true);
        }
        let mut chunks = [const { Bytes::new() }; 16];
        let read = access.recv(stream)?.read(1 << 16, &mut chunks)?;
        held.extend(chunks.into_iter().take(read.chunks));
        *ended = read.state == ReadState::Finished;
        if read.state == ReadState::Blocked && held.is_empty() {
            return Ok(false);
        }
    }
}
