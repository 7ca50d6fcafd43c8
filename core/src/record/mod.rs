//! Recordings: everything that goes into a connection, written down as it happens
//! and gone through again offline, with the same events.
//!
//! A recording is taken above QUIC. What QUIC tells a [`Connection`](crate::connection::Connection), what the
//! application does with it and what the [`Transport`](crate::transport::Transport) answered to either is
//! all that its behaviour depends on, time included; so nothing of TLS, no key,
//! ticket or random number, is needed to do it again, and none is in the file.
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
//! Keys, tickets, certificates, addresses and UDP payloads are never in it, and
//! neither are bytes that were written: of those there are only the lengths.
//!
//! Unless [`Secrets::Whole`] is asked for, what was received is masked too. Bodies,
//! stream payloads and datagrams become zeros. Paths, queries, close reasons and
//! the values of fields become other letters and digits, of the same length and
//! the same length when compressed, equal where they were equal; other characters
//! stay, and so do names of fields, entries of the static table of QPACK, and the
//! values that HTTP/3 itself works with: `:method`, `:scheme`, `:authority`, `host`,
//! `:status`, `:protocol`, `content-length`, `priority`, `te`, the fields of
//! WebTransport and those that HTTP/3 forbids. What a masked recording still
//! tells is who talked to which host when, how much, in messages of which shape.

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
