//! Raw QUIC on every adapter: the behaviours of both ends, and what runs them.
//!
//! ```text
//! client                                server
//! stream 0: 100 kB                      gathered, and sent back
//! stream 4: a head of 8 bytes, a tail   an owner asks for the head and hands off; another
//!                                       takes the tail, and answers
//! stream 2, one way: abandoned          hears the code
//! stream 3, by the server:              sends and is told to stop
//!   stopped with a code
//! stream 8                              refused
//! five datagrams, one after another     echo
//! close with the largest code
//! ```

mod client;
mod loops;
mod server;

use std::net::SocketAddr;

use aqueduct_core::config::Config;
use aqueduct_core::endpoint::{EndpointConfig, Target};
use aqueduct_core::id::StreamKey;
use aqueduct_core::quic::{self, StreamClosed};
use aqueduct_core::testing::cert::Identity;

use crate::runtime::{self, Runtime};
use crate::trace::Trace;

/// What the protocol is called in TLS.
const ALPN: [&str; 1] = ["runtimes"];
/// Codes have 62 bits.
pub const LARGEST: u64 = quic::MAX_CODE;
/// With which the client abandons stream 2.
pub const RESET: u64 = 1 << 40;
/// With which it stops stream 3.
pub const STOP: u64 = 77;
/// With which the server refuses stream 8.
pub const REFUSED: u64 = 9;
/// The head of stream 4, and its tail.
pub const PARTS: [&str; 2] = ["the head", " and the tail"];
/// Datagrams there and back.
pub const DATAGRAMS: usize = 5;

/// Runs both ends until both are over, and gives the traces of client and server.
///
/// # Panics
/// When an end does, or takes longer than [`LIMIT`](crate::script::LIMIT).
#[must_use]
pub fn run(client: Runtime, server: Runtime) -> (Trace, Trace) {
    let tls = Identity::localhost().server().into();
    let config = EndpointConfig::quic_server(tls, ALPN, quic::Config::new()).expect("suits");
    play(client, server, config)
}

/// The same with a server that speaks HTTP/3 on that port too.
///
/// # Panics
/// As [`run`].
#[must_use]
pub fn run_beside_http(client: Runtime, server: Runtime) -> (Trace, Trace) {
    let tls = Identity::localhost().server().into();
    let config = EndpointConfig::server(tls, Config::default()).expect("suits");
    let config = config.quic(ALPN, quic::Config::new()).expect("a name");
    play(client, server, config)
}

fn play(client: Runtime, server: Runtime, config: EndpointConfig) -> (Trace, Trace) {
    runtime::both(
        move |bound, trace| {
            loops::serve(
                server,
                config,
                &|at| bound.send(at).expect("is awaited"),
                trace,
            );
        },
        move |at, trace| loops::ask(client, at, trace),
    )
}

fn target(server: SocketAddr) -> Target {
    let target = Target::new(server, "localhost", Identity::localhost().client_arc());
    target.quic(ALPN, quic::Config::new()).expect("a name")
}

/// The name of a stream in a trace.
fn name(stream: StreamKey) -> String {
    format!("stream {}", stream.id().wire())
}

/// The end of a stream.
fn closed(trace: &Trace, stream: StreamKey, how: StreamClosed) {
    let StreamClosed {
        connection_over,
        aborted_here,
        aborted_remotely,
        code,
        ..
    } = how;
    let by = match (connection_over, aborted_here, aborted_remotely) {
        (true, _, _) => "with the connection",
        (false, true, _) => "by this side",
        (false, false, true) => "by the peer",
        (false, false, false) => "in order",
    };
    trace.note(name(stream), format!("closed {by}, {code:?}"));
}
