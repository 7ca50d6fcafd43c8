//! HTTP/3 and WebTransport as a pure state machine: bytes, commands and time go
//! in; transmits, events and one deadline come out. No sockets, no threads, no
//! locks, no clock, no `async`.
//!
//! ```toml
//! [dependencies]
//! aqueduct-core = { version = "0.1", features = ["self-signed"] }
//! ```
//!
//! # The loop, in six steps
//!
//! A whole server: each request is answered, each session's datagrams go back.
//!
//! ```no_run
//! # #[cfg(feature = "self-signed")]
//! # mod page {
//! use std::time::{Duration, Instant, SystemTime};
//!
//! use aqueduct_core::bytes::{Bytes, BytesMut};
//! use aqueduct_core::config::Config;
//! use aqueduct_core::endpoint::tls::{self, Identity};
//! use aqueduct_core::endpoint::{Arrival, Endpoint, EndpointConfig};
//! use aqueduct_core::event::Event;
//! use aqueduct_core::head::{End, ResponseHead};
//! use aqueduct_core::http::StatusCode;
//! use aqueduct_core::id::ConnKey;
//! use aqueduct_core::webtransport::{ConnectAnswer, SessionEvent};
//!
//! type Failure = Box<dyn std::error::Error>;
//!
//! fn main() -> Result<(), Failure> {
//!     let identity = Identity::self_signed(["localhost"], SystemTime::now())?;
//!     println!("the certificate's hash: {}", identity.hash());
//!     let tls = tls::server_config(identity.chain, identity.key)?;
//!     let mut endpoint = Endpoint::new(EndpointConfig::server(tls.into(), Config::default())?)?;
//!     let socket = std::net::UdpSocket::bind("127.0.0.1:4433")?;
//!     let (mut datagram, mut out) = (vec![0; 65_535], Vec::new());
//!     loop {
//!         // 1. Take the events and do what they call for, through `endpoint.connection`.
//!         while let Some((connection, event)) = endpoint.poll_event() {
//!             if let Err(error) = on_event(&mut endpoint, connection, event) {
//!                 eprintln!("{error}"); // a client that has gone meanwhile, most of the time
//!             }
//!         }
//!         // 2. Send what there is to send.
//!         while let Some(transmit) = endpoint.poll_transmit(Instant::now(), 1, &mut out) {
//!             if let Err(error) = socket.send_to(&out[..transmit.size], transmit.remote) {
//!                 endpoint.handle_send_error(&transmit, error.into());
//!             }
//!         }
//!         // 3. Ask how long to wait,
//!         let due = endpoint.poll_timeout();
//!         let wait = due.map(|due| due.at.saturating_duration_since(Instant::now()));
//!         socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
//!         // 4. wait for a datagram, in whatever way the program waits,
//!         match socket.recv_from(&mut datagram) {
//!             // 5. hand it in,
//!             Ok((len, from)) => {
//!                 let data = BytesMut::from(&datagram[..len]);
//!                 endpoint.handle_datagram(Instant::now(), Arrival::new(from), data);
//!             }
//!             // The timeout, most of the time.
//!             Err(error) => endpoint.handle_recv_error(error.into()),
//!         }
//!         // 6. and the time.
//!         endpoint.handle_timeout(Instant::now());
//!     }
//! }
//!
//! fn on_event(endpoint: &mut Endpoint, key: ConnKey, event: Event) -> Result<(), Failure> {
//!     let Some(mut connection) = endpoint.connection(Instant::now(), key) else { return Ok(()) };
//!     let mut access = connection.access();
//!     match event {
//!         Event::Request { stream, head, .. } => {
//!             let said = format!("you asked for {}\n", head.uri);
//!             access.respond(stream, &ResponseHead::new(StatusCode::OK), End::More)?;
//!             // Little enough to be taken at once; what is more waits for `Writable`.
//!             access.send(stream)?.write(&mut [Bytes::from(said)])?;
//!             access.send(stream)?.finish()?;
//!         }
//!         Event::WebTransport(session, SessionEvent::Requested(_)) => {
//!             access.webtransport(session).accept(&ConnectAnswer::new())?;
//!         }
//!         Event::WebTransport(session, SessionEvent::Datagrams) => {
//!             while let Some(datagram) = access.recv_datagram(session) {
//!                 // An echo that does not fit is lost, as datagrams are.
//!                 access.send_datagram(session, &datagram).ok();
//!             }
//!         }
//!         // Nothing has to be acted on: see below.
//!         _ => {}
//!     }
//!     Ok(())
//! }
//! # }
//! # fn main() {}
//! ```
//!
//! `examples/custom-loop.rs` of the repository echoes streams and content as well.
//!
//! # What may be called when
//!
//! Anything, at any time. Inputs (`handle_*`) return nothing and never fail: what
//! a peer does wrong becomes a reset or a close on the wire and an event. An error of
//! the socket is an input too (`handle_send_error`, `handle_recv_error`) and no reason to
//! end: most of them say something about one address, which a stranger may have chosen,
//! and pass. Only a socket that the system does not know is gone for good. After
//! any inputs and accesses, the outputs (`poll_*`) are drained, each until it
//! gives `None`, in any order; draining twice is harmless. The one rule is that
//! [`endpoint::Endpoint::poll_timeout`] is asked last, because sending sets timers.
//!
//! # What every event means
//!
//! Every [`event::Event`] is a fact or a hint. None has to be acted on for the
//! connection to stay healthy: what is not read stays with the peer.
//!
//! | event | it means | what follows, if you like |
//! |---|---|---|
//! | `Connected` | the handshake is complete, and what became of early data | `request` |
//! | `Settings` | the peer's SETTINGS are known | `open_session`, or `negotiated` tells why not |
//! | `Request` | a request's head, whole and valid | `respond`; `recv` for the content |
//! | `Interim`, `Response` | an answer's head, whole and valid | `recv` for the content |
//! | `Trailers` | the content was read to its end and fields came after it | |
//! | `Stream(_, Readable)` | bytes, the end or a reset wait | `recv(stream).read` until `Blocked`; not told again before |
//! | `Stream(_, Writable)` | there is room again after a write that took less than offered | `send(stream).write` |
//! | `Stream(_, Delivered)` | the peer has acknowledged all, the end included, and may not have read it | |
//! | `Stream(_, Stopped)`, `Stream(_, Reset)` | the peer gave up one direction, with its code | |
//! | `Stream(_, Malformed)` | the peer broke a rule on this stream alone; it is gone | |
//! | `Stream(_, Unprocessed)` | a GOAWAY left this request out; it is gone | send it again on another connection |
//! | `Stream(_, EarlyDataRejected)` | the server did not take this request as early data, and has seen nothing of it; it is gone | send it again, here too |
//! | `Stream(_, SessionGone)` | the stream went with its session | |
//! | `WebTransport(_, Requested)` | a client asks for a session | `webtransport(session).accept` or `reject` |
//! | `WebTransport(_, Forbidden)` | a page asked for a session that `Config::origins` does not allow; it was answered 403 | |
//! | `WebTransport(_, Established)` | the server accepted | `webtransport(session).open_stream`, `send_datagram` |
//! | `WebTransport(_, Rejected)` | the server answered otherwise; the session is gone | |
//! | `WebTransport(_, Opened)` | the peer opened a stream in the session | as for `Readable` |
//! | `WebTransport(_, Datagrams)`, `Stream(_, Datagrams)` | datagrams wait in the ring | `recv_datagram` until `None`; not told again before |
//! | `Ticket` | the server gave TLS session tickets, which `Target::tickets` has | another `connect` with the same store is shorter |
//! | `Claimed` | the peer opened a stream of a type that `Config` claims | as for `Readable`; `send` |
//! | `WebTransport(_, DatagramsUnblocked)`, `Stream(_, DatagramsUnblocked)` | `DatagramError::Blocked` is over | `send_datagram` |
//! | `Available` | a stream of QUIC can be opened again after `RequestError::Blocked`, `OpenStreamError::Blocked` | |
//! | `WebTransport(_, StreamsAvailable)` | the same of a session's own limit, `OpenStreamError::StreamLimit` | |
//! | `WebTransport(_, Draining)`, `Draining` | the peer winds down the session, one side the connection | finish; start nothing new |
//! | `WebTransport(_, Closed)`, `Closed` | the end, with its reason; always the last event, exactly once | |
//!
//! # What things cost
//!
//! With *n* connections on an endpoint, *s* streams on a connection, and events,
//! datagrams and chunks counted one by one:
//!
//! | | time | allocations |
//! |---|---|---|
//! | `handle_datagram`, `poll_event`, `poll_transmit` | O(1); a timer that changes, O(log n) | none of ours once warm; quinn's own |
//! | `poll_timeout` | O(1) after the connections that something happened to | none |
//! | `handle_timeout` | O(log n) for each connection that is due | none |
//! | an idle connection, an idle stream | nothing | nothing |
//! | `connection`, `access`, finding a stream by its key or a datagram's session | O(1), no hashing; O(log) of the streams that outlived their neighbours by far | none |
//! | a chunk or datagram received or sent | O(1) | none once warm |
//! | a head | O(bytes of its fields) | its event, its map, one for each value |
//! | `webtransport(session).close`, the end of a session | O(its streams) | one capsule |
//! | `set_send_order`, `set_send_group` | O(m log m) for the m streams of the session | |
//! | `drain`, `close` of an endpoint, `handle_rebind` | O(n) | |
//!
//! The benches of the repository hold the hot ones against a floor measured in the
//! same run, and a test counts their allocations.
//!
//! # Vocabulary
//!
//! | type | what it is |
//! |---|---|
//! | [`endpoint::Endpoint`] | one UDP port and its connections |
//! | [`connection::Access`] | one connection, borrowed to be used: requests, sessions, streams, datagrams |
//! | [`event::Event`] | a fact or a hint; bytes are never in it, they are pulled |
//! | [`id::StreamKey`], [`id::SessionKey`], [`id::ConnKey`] | names that never come to mean something else |
//! | [`head::RequestHead`], [`head::ResponseHead`], [`priority::Priority`] | what is said about a message |
//! | [`webtransport::ConnectRequest`], [`webtransport::ConnectAnswer`] | what is said about a session |
//! | [`settings::Settings`] | what a peer has declared |
//! | [`capsule::Reader`], [`datagram::ContextId`] | what protocols of your own on extended CONNECT are made of |
//! | [`behaviour::Behaviour`], [`behaviour::Runner`] | a protocol of your own on QUIC, as callbacks, and what runs it |
//! | [`behaviour::webtransport::SessionBehaviour`], [`behaviour::tunnel::TunnelBehaviour`] | the same of a session, and of a tunnel |
//! | [`masque::Target`], [`masque::Template`], [`masque::TargetPolicy`], [`masque::Refusal`] | where a tunnel of MASQUE leads, whether it may, and why not |
//! | [`pool::Pool`], [`pool::Plan`] | a client's connections, shared by its requests; where and when to connect |
//! | [`config::Config`], [`config::Limits`] | what can be chosen, and every cap with its default |
//! | [`endpoint::options`] | the table of what raw QUIC has by name: what each option becomes, or why it is refused |
//! | [`transport::Transport`] | the seam to QUIC: another stack, or none, can stand behind it |
//! | [`connection::Connection`] | HTTP/3 and sessions over any `Transport`, for those who bring their own QUIC |
//! | [`escape::escaped`] | what a peer wrote, as it may stand in a log or on a terminal |
//! | [`connection::Observer`] | sees everything that goes into a connection and comes out of it |
//!
//! A message or stream is over when its receiving half was read to
//! [`transport::ReadState::Finished`] or an error, or stopped, and its sending
//! half was finished and acknowledged, or reset. Until then it takes one table
//! slot. Back-pressure is QUIC's own: what is not read stays with the peer.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `quinn` (default) | [`endpoint`], over quinn-proto |
//! | `ring` (default), `aws-lc-rs` | the cryptography; with both, *ring* is used |
//! | `self-signed` | [`Identity::self_signed`](endpoint::tls::Identity::self_signed): certificates for servers that have none |
//! | `driver` | [`driver`]: batching, GSO, GRO, ECN around an endpoint |
//! | `quic-lb` | [`endpoint::cid`]: connection ids that load balancers and other endpoints can route by |
//! | `unstable-wire` | `wire`, the codecs below the connection, of which nothing is promised: any release may change them |
//! | `testing`, `pair` | transports and pairs on virtual time, for tests |
//! | `qlog` | traces of QUIC connections |
//!
//! Without features the crate knows no QUIC and no cryptography, and compiles for
//! `wasm32-unknown-unknown`.
//!
//! # Panics
//!
//! Nothing a peer sends makes this crate panic, and no argument to a public
//! function does. A panic is a bug.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "quinn", feature = "driver", feature = "quic-lb")),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "this page describes all features"
    )
)]

// The types of both are in this crate's own.
pub use {bytes, http};

pub mod behaviour;
pub mod capsule;
pub mod code;
pub mod config;
pub mod connection;
pub mod datagram;
#[cfg(feature = "driver")]
pub mod driver;
#[cfg(feature = "quinn")]
pub mod endpoint;
pub mod error;
pub mod escape;
pub mod event;
pub mod fault;
mod h3;
pub mod head;
pub mod id;
pub mod masque;
mod mix;
pub mod pool;
pub mod priority;
pub mod quic;
mod session;
pub mod settings;
pub mod stats;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod transport;
pub mod uri;
pub mod varint;
pub mod webtransport;
#[cfg(feature = "unstable-wire")]
pub mod wire;
#[cfg(not(feature = "unstable-wire"))]
#[allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "codecs go both ways, for the tests and tools that have the feature"
)]
mod wire;
