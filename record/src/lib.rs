//! Recordings.
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
