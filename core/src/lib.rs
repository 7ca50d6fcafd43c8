//! HTTP/3 and WebTransport as a pure state machine: bytes, commands and time go
//! in; transmits, events and one deadline come out. No sockets, no threads, no
//! locks, no clock, no `async`.
//!
//! # The loop, in six steps
//!
//! ```no_run
//! # #[cfg(feature = "quinn")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # fn tls() -> std::sync::Arc<rustls::ServerConfig> { unimplemented!() }
//! # fn on_event(_: &mut Endpoint, _: ConnKey, _: Event) {}
//! use std::time::{Duration, Instant};
//!
//! use aqueduct_core::config::Config;
//! use aqueduct_core::endpoint::{Arrival, Endpoint, EndpointConfig};
//! use aqueduct_core::event::Event;
//! use aqueduct_core::id::ConnKey;
//! use bytes::BytesMut;
//!
//! let mut endpoint = Endpoint::new(EndpointConfig::server(tls(), Config::default())?)?;
//! let socket = std::net::UdpSocket::bind("127.0.0.1:4433")?;
//! let (mut datagram, mut out) = (vec![0; 65_535], Vec::new());
//! loop {
//!     // 1. Take the events and do what they call for, through `endpoint.connection`.
//!     while let Some((connection, event)) = endpoint.poll_event() {
//!         on_event(&mut endpoint, connection, event);
//!     }
//!     // 2. Send what there is to send.
//!     while let Some(transmit) = endpoint.poll_transmit(Instant::now(), 1, &mut out) {
//!         socket.send_to(&out[..transmit.size], transmit.remote)?;
//!     }
//!     // 3. Ask how long to wait,
//!     let wait = endpoint.poll_timeout().map(|due| due.at.saturating_duration_since(Instant::now()));
//!     socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
//!     // 4. wait for a datagram, in whatever way the program waits,
//!     if let Ok((len, from)) = socket.recv_from(&mut datagram) {
//!         // 5. hand it in,
//!         let data = BytesMut::from(&datagram[..len]);
//!         endpoint.handle_datagram(Instant::now(), Arrival::from(from), data);
//!     }
//!     // 6. and the time.
//!     endpoint.handle_timeout(Instant::now());
//! }
//! # }
//! # #[cfg(not(feature = "quinn"))] fn main() {}
//! ```
//!
//! # What may be called when
//!
//! Anything, at any time. Inputs (`handle_*`) return nothing and never fail: what
//! a peer does wrong becomes a reset or a close on the wire and an event. After
//! any inputs and accesses, the outputs (`poll_*`) are drained, each until it
//! gives `None`, in any order; draining twice is harmless. The one rule is that
//! [`endpoint::Endpoint::poll_timeout`] is asked last, because sending sets timers.
//!
//! # Vocabulary
//!
//! | type | what it is |
//! |---|---|
//! | [`endpoint::Endpoint`] | one UDP port and its connections |
//! | [`access::Access`] | one connection, borrowed to be used: requests, sessions, streams, datagrams |
//! | [`event::Event`] | a fact or a hint; bytes are never in it, they are pulled |
//! | [`id::StreamKey`], [`id::SessionKey`], [`id::ConnKey`] | names that never come to mean something else |
//! | [`config::Config`], [`config::Limits`] | what can be chosen, and every cap with its default |
//! | [`transport::Transport`] | the seam to QUIC: another stack, or none, can stand behind it |
//! | [`connection::Connection`] | HTTP/3 and sessions over any `Transport`, for those who bring their own QUIC |
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
//! | `driver` | [`driver`]: batching, GSO, GRO, ECN around an endpoint |
//! | `quic-lb` | [`endpoint::cid`]: connection ids that load balancers and other endpoints can route by |
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
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "quinn", feature = "driver", feature = "quic-lb")),
    allow(
        rustdoc::broken_intra_doc_links,
        reason = "this page describes all features"
    )
)]

pub mod access;
pub mod code;
pub mod command;
pub mod config;
pub mod connection;
pub mod dialect;
#[cfg(feature = "driver")]
pub mod driver;
#[cfg(feature = "quinn")]
pub mod endpoint;
pub mod error;
pub mod event;
pub mod exporter;
pub mod fault;
mod h3;
pub mod head;
pub mod id;
pub mod record;
mod session;
pub mod stats;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod transport;
pub mod wire;
