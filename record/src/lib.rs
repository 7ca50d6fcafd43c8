//! Recordings: what goes into connections and comes out of them, as a text, and the
//! same gone through again.
//!
//! A [`Tape`] is an observer of one connection that writes it down, `recorder` (feature `quinn`) has
//! one hung on each connection of an endpoint. [`Recording::read`] takes the text
//! apart, and [`RecordedConnection::replay`] does it all again, offline, on today's
//! state machine.
//!
//! # What the lines say
//!
//! The first is [`HEADER`]. Those after it belong to one connection, by their first
//! word, its number; lines that begin with `#` are remarks.
//!
//! | second word | what it tells |
//! |---|---|
//! | `new` | side, seed, [`Options`] and configuration |
//! | `path` | what the transport says about datagrams and resets without being asked |
//! | `in`, `due`, `do` | an input at a time in nanoseconds: from the transport, of time, a call of the application |
//! | `<` | what the transport answered while the input was dealt with |
//! | `>` | what the transport was called for; with [`Options::transport`] alone |
//! | `=` | what the call gave |
//! | `ev` | an event, when the application took it |
//! | `bytes` | bytes that were read from a stream, masked unless [`Options::secrets`] |
//! | `udp` | a datagram of the endpoint (number `-`) came or went; not gone through again |
//! | `end` | the connection was dropped |
//!
//! # What a replay costs
//!
//! A recording may come from a stranger. Whatever it says, reading and replaying it ends
//! with an answer. The bytes that a replay's connection was given and has not passed on
//! are at most 64 for each byte of its lines, and 8 MiB more; beyond that the answer is
//! [`ReplayError::TooMuchMemory`].
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
mod replay;
mod settings;
mod tape;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
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
