//! Extensible priorities (RFC 9218): how urgent a response is.

pub use crate::wire::priority::{MAX_URGENCY, Priority, Stated};
pub use crate::wire::sf::Invalid;
