//! Async handles over the Aqueduct core, for any runtime.
//!
//! The core has no `async`: bytes, commands and time go in, datagrams, events and
//! one deadline come out. This crate puts futures on top of that, and nothing of
//! a runtime: no spawning, no timers, no sockets. `aqueduct-tokio` is these
//! handles plus a socket and a task of about forty lines; another runtime needs
//! as much.
//!
//! ```text
//!  Connection ─┬─ request() / accept_request() ─► RequestStream / ServerRequest
//!              │                                   content, heads, trailers,
//!              │                                   Datagrams, CapsuleStream
//!              └─ open_session() / accept_session() ─► Session
//!                                                  ├─ SendStream, RecvStream
//!                                                  └─ datagrams
//!  Endpoint ─┬─ connect() / accept() ─► Connection
//!            └─ connect_quic() / accept_quic() ─► QuicConnection ── run() ─► Run
//!  Client   ── request() to any origin, over connections that it makes
//!  Group    ── several endpoints on one port, for more than one core
//!  Worker   ── the part of the driver task that every runtime shares
//! ```
//!
//! # How it works
//!
//! All handles of an endpoint share one lock around the core and the wakers of
//! whoever waits. A handle's future takes the lock, tries, and leaves its waker
//! when it must wait. The [`Worker`] receives, takes the lock to feed the core and
//! to file its events, and sends after letting it go: no system call and no
//! wake-up happens under the lock, but for what sinks of recordings and of qlog do.
//! There is no task, channel or lock per
//! connection, stream or request (a [`Client`] has a task for each connection of its own), so a stream on which nothing happens costs
//! memory and delays nobody.
//!
//! # Dropping
//!
//! | dropped | the peer sees |
//! |---|---|
//! | [`SendStream`] before `finish` | a reset with application code 0 |
//! | [`RecvStream`] before the end | a stop with application code 0 |
//! | [`BodySender`] before `finish` | a reset with H3_REQUEST_CANCELLED |
//! | [`BodyReceiver`] of a client before the end | a stop with H3_REQUEST_CANCELLED |
//! | [`BodyReceiver`] of a server before the end | a stop with H3_NO_ERROR: the rest is not needed |
//! | [`ServerRequest`] before the answer's end | both halves H3_REQUEST_CANCELLED |
//! | a pending [`Client::request`](client::Client::request), [`client::Body`] before the end | both halves H3_REQUEST_CANCELLED |
//! | a [`client::Channel`] before the end | both halves H3_REQUEST_CANCELLED |
//! | the last [`Client`] | nothing, while requests are under way; then a close with H3_NO_ERROR |
//! | [`CapsuleSender`], [`CapsuleReceiver`] | as the [`BodySender`] or [`BodyReceiver`] it was made of |
//! | the last [`Datagrams`] of a request | nothing; what arrives goes on waiting, within its limits |
//! | [`SessionRequest`] unanswered | status 500 |
//! | a pending `open_session` | the CONNECT stream's end |
//! | the last [`Session`] | a close with code 0 and no reason; its streams are reset, unread data is lost |
//! | a [`QuicConnection`], or a [`Run`] before its end | a close with code 0; unread data is lost |
//! | the last handle of a connection | a close with H3_NO_ERROR; unread data is lost |
//! | the last [`Endpoint`] | nothing, while connections have handles |
//!
//! # Acknowledged is not read
//!
//! `finish` says that no more comes, and `stopped` answers `None` when the peer's QUIC has
//! everything. Whether its application has taken it, nobody can see from here: a close of
//! the session or of the connection that comes then, or the drop of its last handle, takes
//! from a slow reader what it has not read. Whoever wants it read
//!
//! - ends an HTTP connection by [`Connection::drain`] or [`Endpoint::drain`]: the client
//!   closes when it has read all answers, and the server waits for that;
//! - lets the other side of a session close it, asked by [`Session::drain`], and awaits
//!   [`Session::closed`];
//! - or has an answer of its own in the protocol on top, and closes when that has come.
//!
//! A dropped *future* is harmless where its method says "cancel safe".
//!
//! # Limits
//!
//! Requests and sessions that wait to be accepted or have a handle, of whatever kind, are
//! bounded by [`open_requests`](protocol::config::Limits::open_requests) of each
//! connection: the client may end their streams and open others, but what is done for
//! them counts until the last handle is dropped
//! ([`open_requests`](Connection::open_requests) tells how many do). A request that is
//! cancelled before it is accepted is forgotten; one that is cancelled later is told to
//! whoever listens ([`ServerRequest::cancelled`], [`Session::closed`]).
//!
//! What else waits is bounded by what the peer may have open: QUIC's stream limits for
//! streams of sessions, where one that is reset counts until it is accepted and read; the
//! configured limits for datagrams and connections. Of
//! interim responses that nobody takes the last 16 are kept.
//!
//! No connection has the lock or a runtime's thread to itself. What its handles take in
//! counts: when it comes to about 1 MiB, 1,024 datagrams or 2,000 small frames they wait
//! for the driver's next turn, which serves all others first
//! ([`Connection::rests`] tells how often), so that a loop over a handle that is always
//! ready gives way on every runtime. Small chunks are joined, up to 4 KiB with one copy;
//! large ones are passed on without. The driver hands out 512 events at a time, one of
//! each connection in turn, and lets go of the lock before it goes on.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub use aqueduct_core as protocol;
pub use aqueduct_core::bytes;
pub use aqueduct_core::endpoint::tls;

mod alarm;
mod cancelled;
mod capsules;
mod claimed;
pub mod client;
mod clock;
mod connection;
mod datagrams;
mod delegate;
mod endpoint;
pub mod error;
#[cfg(feature = "quic-lb")]
mod group;
mod half;
mod http;
#[cfg(any(feature = "tokio", feature = "futures-io"))]
mod io;
mod kept;
mod meter;
mod open;
mod place;
mod quic;
mod rebind;
mod route;
mod session;
mod share;
mod shared;
mod stream;
#[cfg(feature = "quic-lb")]
mod switch;
mod table;
#[cfg(test)]
mod tests;
mod tickets;
#[cfg(feature = "tower")]
pub mod tower;
pub mod tunnel;
mod wait;
mod waiters;
#[cfg(any(
    feature = "web-transport-trait",
    feature = "web-transport-trait-0-4",
    feature = "web-transport-trait-0-3"
))]
pub mod web_transport;
mod worker;

pub use crate::cancelled::Cancelled;
pub use crate::capsules::{CapsuleHeader, CapsuleReceiver, CapsuleSender, CapsuleStream};
pub use crate::claimed::ClaimedStream;
pub use crate::client::{Client, ClientBuilder};
pub use crate::connection::Connection;
pub use crate::datagrams::{DatagramStats, Datagrams};
pub use crate::endpoint::{Connecting, Endpoint};
#[cfg(feature = "quic-lb")]
pub use crate::group::{Group, GroupStats};
pub use crate::http::{
    BodyReceiver, BodySender, CameEarly, RequestStream, ResponseReceiver, ResponseSender,
    ServerRequest,
};
pub use crate::open::Incoming;
pub use crate::quic::{Mailbox, QuicConnection, Run, SendMessageError};
pub use crate::rebind::Rebind;
pub use crate::session::{Session, SessionRequest};
pub use crate::stream::{RecvStream, SendStream};
pub use crate::tickets::MemoryTickets;
pub use crate::worker::Worker;

/// What macros of this crate name.
#[doc(hidden)]
pub mod macros {
    pub use bytes::Bytes;
    pub use rustls;
}
