//! The words of raw QUIC: what a protocol of your own on QUIC streams and datagrams is
//! told and may say, without HTTP/3. Which of the two a connection speaks, its ALPN says.
//!
//! The machine is [`connection::quic`](crate::connection::quic), over any
//! [`Transport`](crate::transport::Transport).

mod config;
mod error;
mod event;
mod stream;

pub use config::Config;
pub use error::{
    CloseError, ConfirmError, DatagramError, ReadError, ShutdownError, StartError, WriteError,
};
pub use event::{About, Event, StreamClosed, StreamEvent};
pub use stream::{Blocked, Shutdown, Start};

/// The largest application error code of QUIC (RFC 9000 §16): 62 bits.
pub const MAX_CODE: u64 = (1 << 62) - 1;
