//! What both ends say, whatever runs them.
//!
//! ```text
//! client                                server
//! GET /hello                            200, "hello"
//! POST /echo, 3 MB in pieces            200, the same as it comes, trailers
//! session /nowhere                      404
//! session /chat                         accepted
//!   a stream of 100 kB each way         echo
//!   a one-way stream                    a one-way stream with the same
//!   ten datagrams, one after another    echo
//!   close 7 "done"
//! session /late                         accepted
//! POST /drain                           204, then GOAWAY and a drain request
//!   close 0 "bye", when asked           closes the connection: all has ended
//! ```

use std::time::Duration;

use bytes::Bytes;

/// Content of `POST /echo`: more than any window, so that both ends must wait.
pub const ECHO: usize = 3_000_000;
/// What the bidirectional stream of /chat carries.
pub const STREAM: usize = 100_000;
/// What the one-way streams of /chat carry.
pub const ONE_WAY: &[u8] = b"one way";
/// Datagrams of /chat.
pub const DATAGRAMS: usize = 10;
/// Content of `GET /big`.
pub const BIG: usize = 10_000_000;
/// Bytes of it after which the client changes its port.
pub const REBIND_AT: usize = 2_000_000;
/// Longer than any run of the script.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Bytes that tell where they belong.
#[must_use]
pub fn pattern(len: usize) -> Bytes {
    (0..len)
        .map(|i| ((i * 131 + (i >> 8)) & 255) as u8)
        .collect()
}

/// The text of datagram `number`.
#[must_use]
pub fn datagram(number: usize) -> Vec<u8> {
    format!("datagram {number}").into_bytes()
}

/// A path on the server.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn uri(path: &str) -> http::Uri {
    format!("https://localhost{path}").parse().expect("a path")
}
