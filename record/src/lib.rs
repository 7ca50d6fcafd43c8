//! Recordings: everything that goes into a connection, written down as it happens and
//! gone through again offline, with the same events.
//!
//! A recording is taken above QUIC, by an [`Observer`](aqueduct_core::connection::Observer).
//! What QUIC tells a connection, what the application does with it, what the transport
//! answered, and the time, is all that its behaviour depends on; so nothing of TLS, no
//! key and no ticket, is needed to do it again, and none is in the file. The only random
//! number in it is the seed of the GREASE values.
//!
//! `recorder` records all connections of an endpoint, [`Tape`] a single one, whose
//! lines go behind [`HEADER`]. [`Recording::read`] takes the file apart, and
//! [`RecordedConnection::replay`] goes through one connection again.
//!
//! ```text
//!   QUIC ── events, answers ──▶ Connection ──▶ events
//!   application ── calls ─────────▶ │
//!                                   ▼ Observer: all of these, and what bytes are
//!                                 Tape ──▶ lines
//!   file ──▶ Recording ──▶ replay: answers ──▶ Connection ──▶ the same, or where not
//! ```
//!
//! # The file
//!
//! Text: a line with the format's name and version, then one line per fact; `#` begins
//! a remark. A file of another version is refused by [`RecordingError::OtherVersion`].
//! The first word of a line is the number of its connection, or `-` in an endpoint's
//! note; the second says what it is:
//!
//! | line | meaning | |
//! |---|---|---|
//! | `new` | side, seed of the GREASE values, what is kept, the whole [`Config`](aqueduct_core::config::Config), or `quic` and [that of raw QUIC](aqueduct_core::quic::Config) | given again |
//! | `path` | datagram limits of path and peer, [`Caps`](aqueduct_core::transport::Caps), and whether the peer's credit is `spent`, when they changed | given again |
//! | `in`, `due`, `do` | an input after so many nanoseconds: a [`TransportEvent`](aqueduct_core::transport::TransportEvent), a timeout, a [`Call`](aqueduct_core::connection::Call) | given again |
//! | `<` | an answer of the transport that matters: lengths that were read, what was left of a write (and taken, where a masked head was in it), ids of streams, datagrams | given again |
//! | `+` | with secrets: what was taken of the bytes that a call offered | given again |
//! | `bytes` | the next bytes of a stream: hexadecimal, `*n.` for n zeros | given again |
//! | `=` | what the application's call gave | compared |
//! | `ev` | an event the application took | compared |
//! | `>` | on request: a call of the transport | compared on request |
//! | `end` | the connection is forgotten | |
//! | `udp` | an endpoint's note, of no connection: when a UDP datagram came or went, and its length | |
//!
//! A connection of raw QUIC is told by words of its own in the same lines; a build that does
//! not know one refuses the line. Words are names of their own: renaming a variant or a field in the core changes no
//! file. What leads to nothing is left out: an answer to a read that there is nothing
//! yet, a write that is taken whole.
//!
//! # What is kept
//!
//! Keys, tickets, certificates, peers' addresses and UDP payloads are never in it. With
//! [`Options::secrets`] everything else is, received and sent, and a replay does the
//! same to the byte: with [`Options::transport`], [`RecordedConnection::replay_transport`]
//! compares every byte that is written.
//!
//! Without secrets, bodies, stream payloads, datagrams, and frames and capsules that
//! nobody here reads are as many zeros. Paths, queries, close reasons, what TLS says
//! about an error, user information before a host, and the values of fields are masked:
//! each letter, each digit and each byte outside ASCII is an `x`. In the bytes that
//! stand for what was received some are an `a` or an `X`, so that the value is as long
//! as it was when compressed.
//!
//! Of raw QUIC, all that streams and datagrams hold is as many zeros. That an address has
//! changed is kept; ALPN, and the server's name, are what they were.
//!
//! What is what is told by the connection's own parser while it reads
//! ([`Seen`](aqueduct_core::connection::Seen)); bytes that it never comes to, or refuses,
//! are not kept. So a masked recording is replayed as ordinary bytes, and there is no
//! second parser that could disagree. One thing differs: how our own heads are
//! compressed, and what the peer said to that. A masked replay sends them without a
//! dynamic table, and counts what was sent and the peer's instructions as they were.
//!
//! # What masks do not hide
//!
//! - Names of fields, methods, and the shape of everything: times, lengths, stream
//!   ids, codes, settings, which frames and capsules came.
//! - Punctuation and white space in masked text, and with it how many parts a path
//!   or a cookie has and how long each is.
//! - Entries of QPACK's static table that a peer's line refers to, and which lines refer
//!   to the same entry of the dynamic one.
//! - Of a received value outside ASCII that is Huffman-coded, which no client does where
//!   it can do without: the first byte of each character, and the lengths of codes.
//! - The values of the core's own fields: `:method`, `:scheme`, `:authority` and
//!   `host` but for user information, `:status`, `:protocol`, `content-length`,
//!   `capsule-protocol`, `priority` (and the frame PRIORITY_UPDATE), `te`,
//!   `wt-available-protocols`, `wt-protocol`, `sec-webtransport-http3-draft` and
//!   `sec-webtransport-http3-draft02`, and those that HTTP/3 forbids, such as
//!   `connection`. An application that sends a token as the name of a WebTransport
//!   protocol shows it.
//! - The control stream's frames that HTTP/3 knows, ORIGIN with its hosts included.
//! - What of a peer's nonsense was read as types and lengths: some bytes at a time.
//!
//! So a masked recording tells who talked to which host when, how much, in messages
//! of which shape.
//!
//! # What recording costs
//!
//! A connection that nobody looks at pays a branch here and there. One that is recorded
//! pays, for each chunk and datagram, some copies and a line or three of text; masked
//! payload takes no room. The bench `connection` has the figures.
//!
//! # What a replay costs
//!
//! Time is linear in what is recorded. Memory is at most 64 times the length of the
//! file and 256 MiB, whatever the file says: what a connection is given and does not pass
//! on, and the events that nobody takes, are counted against the length of its lines
//! ([`ReplayError::TooMuchMemory`]), and a configuration that lets heads take more than
//! 32 MiB at once is refused. So a file from a stranger ends with an answer.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod answers;
mod budget;
mod call;
mod contents;
#[cfg(feature = "quinn")]
mod endpoint;
mod file;
mod heads;
mod mask;
mod names;
mod quic;
mod replay;
mod settings;
mod tape;
mod trace;
mod value;
mod words;

#[cfg(feature = "quinn")]
pub use self::endpoint::{RecordSink, recorder};
pub use self::file::{RecordedConnection, Recording, RecordingError};
pub use self::replay::{Divergence, ReplayError, Replayed};
pub use self::tape::{Options, Record, Sink, Tape};

/// What every version's recordings begin with.
const FORMAT: &str = "aqueduct-recording ";

/// The version of the format that this crate writes, and the only one it reads.
const VERSION: &str = "2";

/// What a recording begins with: the format and its version.
pub const HEADER: &str = "aqueduct-recording 2\n";
