//! Recordings: everything that goes into a connection, written down as it happens
//! and gone through again offline, with the same events.
//!
//! A recording is taken above QUIC. What QUIC tells a [`Connection`](crate::connection::Connection), what the
//! application does with it and what the [`Transport`](crate::transport::Transport) answered to either is
//! all that its behaviour depends on, time included; so nothing of TLS, no key and
//! no ticket, is needed to do it again, and none is in the file. The only random
//! number in it is the seed of the GREASE values.
//!
//! `EndpointConfig::record` records all connections of an endpoint,
//! [`Connection::recorded`](crate::connection::Connection::recorded) a single one, whose lines the caller takes and writes
//! behind [`HEADER`]. [`Recording::read`](crate::replay::Recording::read) takes the file apart.
//!
//! ```text
//!   QUIC ── events, bytes ──▶ Taped ──▶ Connection ──▶ events
//!   application ── calls ─────────────▶     │
//!                               Tape ◀──────┘ one block of lines per input
//!   file ──▶ Recording ──▶ RecordedConnection::replay ──▶ the same lines, or where they differ
//! ```
//!
//! # What a recording holds
//!
//! Text, one line per fact; `#` begins a remark. The first word of a line is the
//! number of its connection, the second says what it is:
//!
//! | line | meaning |
//! |---|---|
//! | `new` | side, seed of the GREASE values, the whole [`Config`](crate::config::Config) |
//! | `path` | datagram limits of path and peer, and [`Caps`](crate::transport::Caps), when they changed |
//! | `in`, `due`, `do` | an input after so many nanoseconds: a [`TransportEvent`](crate::transport::TransportEvent), a timeout, a call of the application |
//! | `.` | a call of the transport that followed from it, and its result |
//! | `=` | what the application's call gave |
//! | `ev` | an event the application took |
//! | `bytes` | the next bytes that were read from a stream: hexadecimal, `*n.` for n zeros |
//! | `end` | the connection is forgotten |
//! | `udp` | an endpoint's note: when a UDP datagram came or went, and its length |
//!
//! # What it does not hold
//!
//! Keys, tickets, certificates, peers' addresses and UDP payloads are never in it,
//! and neither are bytes that were written: of those there are only the lengths.
//!
//! Unless [`Secrets::Whole`] is asked for, what was received is masked too. Bodies,
//! stream payloads, datagrams, and frames and capsules that nobody here reads become
//! zeros. Paths, queries, close reasons, what TLS says about an error, user
//! information before a host, and the values of fields, sent ones too, become
//! other text: each letter and digit another one, and the bytes of other scripts
//! other bytes, so that the text is as long as it was, compressed or not. What was
//! equal stays equal within one endpoint's recording.
//!
//! # What masks do not hide
//!
//! - Names of fields, methods, and the shape of everything: times, lengths, stream
//!   ids, codes, settings, which frames and capsules came.
//! - Punctuation and white space in masked text, and with it how many parts a path
//!   or a cookie has and how long each is. A value without letters and digits is
//!   its own mask.
//! - Which values are equal. Of those with up to six letters and digits also which
//!   of the same length begin alike. Whoever can have values of their own recorded
//!   beside others finds by this whether they are the same.
//! - Entries of the static table of QPACK, such as `gzip, deflate, br`.
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
//! A connection that is not recorded pays a branch here and there. One that is
//! pays about half a microsecond for each chunk and datagram, and a line or three of
//! text; masked payload takes no room. The bench `connection` has the figures.
//!
//! # What a replay costs
//!
//! Time is linear in what is recorded. Memory is that of the text and its bytes,
//! several times over, and what the connection holds back within the [`Config`](crate::config::Config) in
//! the file. Runs of zeros are short in the file: where the connection copies what
//! it reads, one line can stand for up to 64 KiB. A file from a stranger ends with
//! an answer, but give a large one a limit of memory.

pub(crate) mod call;
mod content;
mod heads;
pub(crate) mod mask;
pub(crate) mod settings;
mod tape;
mod taped;
pub(crate) mod trace;
pub(crate) mod words;

pub use self::tape::{HEADER, Record, Secrets};

pub(crate) use self::call::Call;
pub(crate) use self::tape::Tape;
pub(crate) use self::taped::Taped;
