//! What sessions of every kind stand on. Nothing here knows a protocol.
//!
//! ```text
//!  owner.rs      the word in a stream's slot: whose stream is it?
//!  registry.rs   one entry per session, whatever its kind; its life
//!  rings.rs      datagrams that wait for the application, and the way out
//!  pending.rs    streams and datagrams that came before their session
//!  capsules.rs   the capsules of a CONNECT stream
//! ```
//!
//! An entry lives from the CONNECT to the end of the CONNECT stream; after the
//! session's own end only to see that stream off.

pub(crate) mod capsules;
pub(crate) mod owner;
pub(crate) mod pending;
pub(crate) mod registry;
pub(crate) mod rings;

use std::collections::VecDeque;
use std::time::Instant;

use crate::event::Event;
use crate::h3::connection::H3;

/// What a call works on: the layer below, the way out, the time.
pub(crate) struct Cx<'a, T> {
    pub(crate) h3: &'a mut H3,
    pub(crate) t: &'a mut T,
    pub(crate) out: &'a mut VecDeque<Event>,
    pub(crate) now: Instant,
}
