//! A client, a server and a network that exist in memory alone: no sockets, no
//! clock, no waiting. Prints what happens at which time.
//!
//! ```text
//! cargo run -p aqueduct-examples --bin simulator -- [lost per thousand] [seed]
//! ```
//!
//! Time is a number here, and every random choice but those of TLS follows from
//! the seed, so a run can be repeated: the same arguments print the same trace.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aqueduct_core::code::Code;
use aqueduct_core::config::Config;
use aqueduct_core::endpoint::{Arrival, ConnectionMut, Endpoint, EndpointConfig, Target, tls};
use aqueduct_core::event::{Event, StreamEvent};
use aqueduct_core::head::{End, RequestHead, ResponseHead};
use aqueduct_core::id::Dir;
use aqueduct_core::transport::ReadState;
use aqueduct_core::webtransport::{ConnectAnswer, ConnectRequest, SessionEvent};
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// How long a datagram flies.
const DELAY: Duration = Duration::from_millis(20);

type Outcome = Result<(), Box<dyn Error>>;

/// What is in the air: by arrival, then by order of departure.
struct Network {
    flying: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    lost_per_thousand: u64,
    luck: u64,
}

impl Network {
    /// Whether the datagram will arrive.
    fn send(&mut self, now: Instant, from: SocketAddr, to: SocketAddr, bytes: &[u8]) -> bool {
        self.sent += 1;
        // Knuth's MMIX generator; its upper bits are good enough for dice.
        self.luck = self
            .luck
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let arrives = (self.luck >> 33) % 1000 >= self.lost_per_thousand;
        if arrives {
            let flight = (from, to, bytes.to_vec());
            self.flying.insert((now + DELAY, self.sent), flight);
        }
        arrives
    }

    fn next_arrival(&self) -> Option<Instant> {
        self.flying.keys().next().map(|(at, _)| *at)
    }
}

/// One end and what it does about an event.
struct Side {
    name: &'static str,
    addr: SocketAddr,
    endpoint: Endpoint,
    on_event: fn(&mut ConnectionMut<'_>, Event) -> Outcome,
}

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let lost_per_thousand = args.next().as_deref().unwrap_or("50").parse()?;
    let seed: u8 = args.next().as_deref().unwrap_or("1").parse()?;

    // Ed25519 signatures and this serial number have one length, so that the sizes of
    // packets do not depend on the random bytes of TLS either.
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()])?;
    params.serial_number = Some(1.into());
    let cert = params.self_signed(&key)?.der().clone();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let server_tls = tls::server_config(vec![cert.clone()], key.into())?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cert)?;
    let client_tls = Arc::new(tls::client_config(roots)?);

    let server = EndpointConfig::server(server_tls.into(), Config::default())?;
    let mut ends = [
        Side {
            name: "client",
            addr: "192.0.2.1:1000".parse()?,
            endpoint: Endpoint::new(EndpointConfig::client().seed([seed; 32]))?,
            on_event: ask,
        },
        Side {
            name: "server",
            addr: "192.0.2.2:443".parse()?,
            endpoint: Endpoint::new(server.seed([!seed; 32]))?,
            on_event: answer,
        },
    ];
    let mut network = Network {
        flying: BTreeMap::new(),
        sent: 0,
        lost_per_thousand,
        luck: seed.into(),
    };

    // The core only compares times, so any beginning will do.
    let start = Instant::now();
    let mut now = start;
    let target = Target::new(ends[1].addr, "localhost", client_tls);
    ends[0].endpoint.connect(now, &target)?;
    loop {
        let time = (now - start).as_secs_f64() * 1000.0;
        let mut next = network.next_arrival();
        for end in &mut ends {
            let Side {
                name,
                addr,
                endpoint,
                on_event,
            } = end;
            while let Some((connection, event)) = endpoint.poll_event() {
                println!("{time:7.1} ms  {name}  {event:?}");
                if let Some(mut connection) = endpoint.connection(now, connection) {
                    on_event(&mut connection, event)?;
                }
            }
            let mut out = Vec::new();
            while let Some(transmit) = endpoint.poll_transmit(now, 1, &mut out) {
                let fate = if network.send(now, *addr, transmit.remote, &out) {
                    ""
                } else {
                    ", lost"
                };
                println!("{time:7.1} ms  {name}  -> {} bytes{fate}", transmit.size);
            }
            let due = endpoint.poll_timeout().map(|deadline| deadline.at);
            next = next
                .into_iter()
                .chain(due)
                .chain(network.next_arrival())
                .min();
        }
        // Nobody waits: the next thing that will happen, happens.
        let Some(next) = next else { break };
        now = next.max(now);
        while let Some(flight) = network
            .flying
            .first_entry()
            .filter(|flight| flight.key().0 <= now)
        {
            let (from, to, bytes) = flight.remove();
            for end in ends.iter_mut().filter(|end| end.addr == to) {
                let data = BytesMut::from(&bytes[..]);
                end.endpoint.handle_datagram(now, Arrival::new(from), data);
            }
        }
        for end in &mut ends {
            end.endpoint.handle_timeout(now);
        }
    }
    assert!(ends.iter().all(|end| end.endpoint.is_idle()));
    println!(
        "{} datagrams, {:.1} ms",
        network.sent,
        (now - start).as_secs_f64() * 1000.0
    );
    Ok(())
}

/// Asks for a page, opens a session, sends a stream, and closes when it is back.
fn ask(connection: &mut ConnectionMut<'_>, event: Event) -> Outcome {
    let mut access = connection.access();
    match event {
        Event::Connected { .. } => {
            let get = RequestHead::new(Method::GET, "https://localhost/".parse()?);
            access.request(&get, End::Fin)?;
        }
        Event::Settings(_) => {
            let request = ConnectRequest::new("https://localhost/echo".parse()?);
            access.open_session(&request)?;
        }
        Event::WebTransport(session, SessionEvent::Established(_)) => {
            let stream = access.webtransport(session).open_stream(Dir::Bi)?;
            access
                .send(stream)?
                .write(&mut [Bytes::from_static(b"hello")])?;
            access.send(stream)?.finish()?;
        }
        Event::Stream(stream, StreamEvent::Readable) => {
            let mut chunks = [const { Bytes::new() }; 4];
            let read = access.recv(stream)?.read(1000, &mut chunks)?;
            println!("{:12} client  read {:?}", "", &chunks[..read.chunks]);
            if chunks[0] == "hello" {
                access.close(Code::H3_NO_ERROR, "seen enough");
            }
        }
        _ => {}
    }
    Ok(())
}

/// Accepts sessions, and sends back what comes in streams and requests.
fn answer(connection: &mut ConnectionMut<'_>, event: Event) -> Outcome {
    let mut access = connection.access();
    match event {
        Event::Request { stream, .. } => {
            let head = ResponseHead::new(StatusCode::OK);
            access.respond(stream, &head, End::More)?;
        }
        Event::WebTransport(session, SessionEvent::Requested(_)) => {
            access
                .webtransport(session)
                .accept(&ConnectAnswer::default())?;
        }
        Event::Stream(stream, StreamEvent::Readable) => {
            let mut chunks = [const { Bytes::new() }; 4];
            let read = access.recv(stream)?.read(1000, &mut chunks)?;
            access.send(stream)?.write(&mut chunks[..read.chunks])?;
            if read.state == ReadState::Finished {
                access.send(stream)?.finish()?;
            }
        }
        _ => {}
    }
    Ok(())
}
