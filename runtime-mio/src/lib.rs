//! HTTP/3 and WebTransport in an event loop of your own, on mio.
//!
//! The application owns the [`mio::Poll`] and the thread. [`Ports`] adds UDP
//! sockets to it, each with an endpoint of the [core](protocol). There is no `async`,
//! no other thread and no lock: an event is a value, and what it calls for is a
//! method call. For futures see `aqueduct-tokio` and `aqueduct-async-std`, or the
//! feature `handles`, which runs a loop of mio's for them.
//!
//! # The loop
//!
//! ```toml
//! [dependencies]
//! aqueduct-mio = { version = "0.1", features = ["self-signed"] }
//! mio = { version = "1", features = ["net", "os-poll"] }
//! ```
//!
//! A server and a client, two sockets in one `Poll`:
//!
//! ```
//! use aqueduct_mio::protocol::endpoint::{EndpointConfig, Target};
//! use aqueduct_mio::protocol::{config::Config, event::Event, head::{End, RequestHead, ResponseHead}};
//! use aqueduct_mio::protocol::endpoint::tls::{self, Identity, Trust};
//! use aqueduct_mio::protocol::http;
//! use aqueduct_mio::Ports;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Clients, browsers too, know it by its hash. `Identity::from_pem` reads a real one.
//! let identity = Identity::self_signed(["localhost"], std::time::SystemTime::now())?;
//! let client_tls = tls::client_config(Trust::hashes([identity.hash()]))?;
//! let server_tls = tls::server_config(identity.chain, identity.key)?;
//!
//! let mut poll = mio::Poll::new()?;
//! let mut events = mio::Events::with_capacity(256);
//! // Token 0 wakes the loop, 1 to 7 are for sockets, from 8 on they are yours.
//! let mut ports = Ports::new(poll.registry(), 0..8)?;
//! let config = EndpointConfig::server(server_tls.into(), Config::default())?;
//! let server = ports.bind(config, "127.0.0.1:0".parse()?)?;
//! let client = ports.bind(EndpointConfig::client(), "127.0.0.1:0".parse()?)?;
//! let target = Target::new(ports.local_addr(server)?, "localhost", client_tls.into());
//! ports.connect(client, target)?;
//!
//! let status = 'over: loop {
//!     // 1. Bytes, time and jobs of other threads go in.
//!     ports.receive()?;
//!     // 2. Events come out.
//!     while let Some((port, connection, event)) = ports.poll_event() {
//!         let Some(mut connection) = ports.connection(port, connection) else { continue };
//!         let mut connection = connection.access();
//!         match event {
//!             Event::Connected { .. } if port == client => {
//!                 let get = RequestHead::new(http::Method::GET, "https://localhost/".parse()?);
//!                 connection.request(&get, End::Fin)?;
//!             }
//!             Event::Request { stream, .. } => {
//!                 let head = ResponseHead::new(http::StatusCode::NO_CONTENT);
//!                 // The client may have given up meanwhile, which ends no server.
//!                 connection.respond(stream, &head, End::Fin).ok();
//!             }
//!             Event::Response { head, .. } => break 'over head.status,
//!             _ => {}
//!         }
//!     }
//!     // 3. Datagrams go out.
//!     let wait = ports.send();
//!     // 4. The loop sleeps.
//!     match poll.poll(&mut events, wait) {
//!         Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
//!         _ => {}
//!     }
//!     for event in &events {
//!         if !ports.ready(event) {
//!             // A source of your own.
//!         }
//!     }
//! };
//! assert_eq!(status, http::StatusCode::NO_CONTENT);
//! # Ok(())
//! # }
//! ```
//!
//! The order matters: events after `receive`, `send` after the events, nothing
//! between `send` and `poll`. Calling any of them once too often is harmless. An
//! application without wishes of its own lets [`run`] do it and implements [`App`]:
//! `examples/mio-server.rs` is one, with a TCP listener in the same `Poll`.
//!
//! # What to know
//!
//! - **Bytes are pulled** through [`Ports::connection`], in any event's turn or none.
//!   What is not read stays with the peer, as does what does not fit.
//! - **Edges**: a source is registered once; a socket is asked until it would
//!   block, 1 MiB at most per round, so that your sources are served in between.
//! - **Timers** of your own: take the shorter of their time and what `send` says.
//! - **Cancelled** work is told: a request that its client gives up by `Stopped`, `Reset`
//!   or `Malformed` among the [stream events](protocol::event::StreamEvent), a session by
//!   [`Closed`](protocol::webtransport::SessionEvent::Closed), everything on a connection
//!   by its [`Closed`](protocol::event::Event::Closed). Forget what was begun for it.
//! - **Protocols of your own** go on extended CONNECT:
//!   [`enable_datagrams`](protocol::connection::Access::enable_datagrams) for datagrams beside
//!   the content, a [`Reader`](protocol::capsule::Reader) for content that is capsules.
//! - **Other threads** use a [`Remote`]: commands with a reply, or a closure that
//!   is given the `Ports`.
//! - **Raw QUIC**, without HTTP/3, runs beside it on the same ports, by ALPN
//!   ([`EndpointConfig::quic`](protocol::endpoint::EndpointConfig::quic)): as events and
//!   [`Ports::quic`], or as [`Behaviours`] that the loop calls back.
//! - **The end**: [`drain`](Ports::drain), then loop until
//!   [`Ports::is_idle`] is true after `send`.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod app;
mod behaviours;
#[cfg(feature = "handles")]
pub mod handles;
mod key;
mod mailbox;
mod ports;
mod remote;
mod socket;

pub use aqueduct_core as protocol;

pub use crate::app::{App, run};
pub use crate::behaviours::Behaviours;
pub use crate::key::PortKey;
pub use crate::mailbox::Mailbox;
pub use crate::ports::{PortFailed, Ports};
pub use crate::remote::Remote;
pub use aqueduct_core::behaviour::SendMessageError;
