//! What the application is told of a session.

use http::StatusCode;

use super::error::SessionClose;
use super::head::{ConnectAnswer, ConnectRequest};
use crate::id::{Dir, StreamKey};

/// What happened in a session.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SessionEvent {
    /// A client asks for a session (server): answer with `accept` or
    /// `reject`.
    Requested(Box<ConnectRequest>),
    /// A page that [`Config::origins`](super::Config::origins) does not allow asked for a
    /// session (server). It was answered 403: there is no session, and nothing to do.
    Forbidden(Box<ConnectRequest>),
    /// The server accepted (client): streams and datagrams may be sent.
    Established(Box<ConnectAnswer>),
    /// The server answered otherwise than 2xx (client). The session is gone.
    Rejected {
        /// The answer's status; a 3xx is reported, never followed.
        status: StatusCode,
        /// The answer.
        answer: Box<ConnectAnswer>,
    },
    /// The peer opened a stream in the session.
    Opened {
        /// The stream.
        stream: StreamKey,
        /// Its direction.
        dir: Dir,
    },
    /// A stream may be opened again after `OpenStreamError::StreamLimit`.
    StreamsAvailable(Dir),
    /// Datagrams wait in the session's ring; told once until drained.
    Datagrams,
    /// The datagram send buffer has room again after `DatagramError::Blocked`.
    DatagramsUnblocked,
    /// The peer asks to wind the session down, by capsule or by GOAWAY. Told once.
    Draining,
    /// The session is over; always its last event, exactly once.
    Closed(Box<SessionClose>),
}
