//! The words of WebTransport (draft-ietf-webtrans-http3): what can be chosen, asked,
//! answered and told. What happens is in `session`.

mod config;
pub mod dialect;
mod error;
mod event;
pub mod exporter;
mod head;
mod origin;
mod stats;

pub use self::config::{Config, SessionFlow};
pub use self::error::{
    AcceptError, OpenSessionError, OpenStreamError, RejectError, SessionClose, SessionError,
};
pub use self::event::SessionEvent;
pub use self::head::{ConnectAnswer, ConnectRequest};
pub use self::origin::Origins;
pub use self::stats::{SessionLimits, SessionStats, SessionTransport};
pub use crate::wire::capsule::truncate_reason;
