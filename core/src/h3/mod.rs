//! HTTP/3 (RFC 9114) over any [`Transport`](crate::transport::Transport).
//!
//! ```text
//!  TransportEvent ──▶ connection.rs ──┬─▶ uni.rs      what is this stream?
//!                                     ├─▶ control.rs  SETTINGS, GOAWAY, PRIORITY_UPDATE
//!                                     ├─▶ qpack.rs    table instructions, blocked sections
//!                                     ├─▶ admission.rs  how many requests at once
//!                                     ├─▶ cost.rs       what the peer may cost ─▶ budget.rs
//!                                     ├─▶ waits.rs      and how long it is waited for
//!                                     ├─▶ early.rs      before the handshake is complete
//!                                     └─▶ request.rs  frames of one exchange ─▶ message.rs
//!  application, sessions ──▶ send.rs (heads, content)   read.rs (content, bytes)
//!  what control.rs and qpack.rs owe the peer ──▶ local.rs
//! ```
//!
//! Contract with the layer above:
//! - it calls the `on_*` of each transport event and drains `poll_event` after
//!   that and after each call of its own;
//! - the table in `streams.rs` belongs to this layer, the `owner` of a slot to the
//!   layer above, and [`H3Event::Over`] is its cue to let go of the stream and call
//!   `remove`;
//! - streams whose type is in [`Claims`] are handed up with
//!   [`H3Event::Claimed`] and are raw bytes from there on;
//! - every `Result` carries a [`Fault`](crate::fault::Fault), which it passes to
//!   `fail`, the one place that closes and resets because of the peer.

mod admission;
mod budget;
pub(crate) mod connection;
mod control;
mod cost;
mod early;
mod exchange;
pub(crate) mod local;
pub(crate) mod message;
mod outgoing;
mod qpack;
pub(crate) mod read;
mod request;
mod send;
pub(crate) mod streams;
mod uni;
mod waits;

pub(crate) use self::budget::{NOTICE, PARTS};
pub(crate) use self::control::{MAX_RANK, tunnel_priority};

use crate::fault::Violation;
use crate::head::{RequestHead, ResponseHead, Trailers};
use crate::id::{Dir, StreamKey};

/// Stream types that the layer above wants for itself: data, not a callback.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Claims {
    /// Type of unidirectional streams followed by an id.
    pub(crate) uni: Option<u64>,
    /// First integer of bidirectional streams followed by an id.
    pub(crate) bidi: Option<u64>,
}

/// What this layer tells the one above.
#[derive(Debug)]
pub(crate) enum H3Event {
    /// The peer's SETTINGS have been taken in.
    Settings,
    /// A stream of a claimed type and the id after the type.
    Claimed {
        stream: StreamKey,
        dir: Dir,
        id: u64,
    },
    /// A stream of a type that the application claims.
    ClaimedByApplication { stream: StreamKey, ty: u64 },
    /// Something happened on a stream.
    On(StreamKey, Fact),
    /// Both halves are over: let go of the stream and remove it.
    Over {
        stream: StreamKey,
        /// Its first integers had come, so that it is known what it was for.
        identified: bool,
    },
    /// The peer sent its first GOAWAY.
    PeerDrains,
    /// The connection was closed because of what the peer sent.
    Failed(Violation),
}

/// What happened on a stream.
#[derive(Debug)]
pub(crate) enum Fact {
    /// A complete request head.
    Request(Box<RequestHead>),
    /// A complete interim response head.
    Interim(Box<ResponseHead>),
    /// A complete final response head.
    Response(Box<ResponseHead>),
    /// Trailers, after the content was taken.
    Trailers(Box<Trailers>),
    /// Content, raw bytes or the end may be read.
    Readable,
    /// A blocked stream takes bytes again.
    Writable,
    /// Everything sent was acknowledged.
    Delivered,
    /// The peer stopped our sending half, which has been reset in answer.
    Stopped(u64),
    /// The peer reset its sending half.
    Reset(u64),
    /// The request was left out by a GOAWAY.
    Unprocessed,
    /// The request was early data that the server did not take.
    EarlyDataRejected,
    /// The stream was reset and stopped because of what the peer sent.
    Malformed(Violation),
    /// A CONNECT request has another priority, as have the streams that depend on it.
    Reprioritized,
}
