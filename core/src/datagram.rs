//! HTTP datagrams (RFC 9297 section 2) for protocols of an application's own: the
//! context ids that some put before the payload.
//!
//! [`Access::send_datagram`](crate::connection::Access::send_datagram) and
//! [`recv_datagram`](crate::connection::Access::recv_datagram) move them.

pub use crate::wire::datagram::{ContextId, NoContext};
