//! The state of one request and its response, in both roles.
//!
//! ```text
//!            HEADERS (1xx)                    HEADERS
//!   Head ──┬──────────────┐    Body ──────────────────▶ Trailers
//!          ◀──────────────┘     │ ▲ DATA                    │
//!          ├── HEADERS ───────▶ │ └────                     │
//!          └── CONNECT ───▶ Tunnel (DATA only)              │
//!                                  ╰──── end ────▶ over ◀───╯
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;

use crate::head::RequestHead;
use crate::wire::frame_reader::{FrameError, FrameReader, FrameRules};
use crate::wire::priority::Priority;

/// How fast the content of a request comes: what came in a window of time in which the
/// application waited for it. Other time does not count.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Pace {
    /// Since when the application waits, if it does.
    pub(super) since: Option<Instant>,
    /// How long it has waited before, in this window.
    pub(super) waited: Duration,
    /// Where the stream, and all of them together, stood when the window began.
    pub(super) bytes: u64,
    pub(super) total: u64,
}

/// The length of a message's content, if its head tells it.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(super) struct Length(u64);

impl Length {
    pub(super) const UNKNOWN: Self = Self(u64::MAX);

    /// A length that no content reaches is one less than none.
    pub(super) fn new(length: Option<u64>) -> Self {
        length.map_or(Self::UNKNOWN, |length| Self(length.min(u64::MAX - 1)))
    }

    pub(super) fn get(self) -> Option<u64> {
        (self != Self::UNKNOWN).then_some(self.0)
    }
}

/// What a direction of the exchange expects next.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Part {
    /// A head, perhaps after interim ones.
    Head,
    /// Content, trailers or the end.
    Body,
    /// The end, after trailers.
    Trailers,
    /// Bytes of a CONNECT tunnel, or the end.
    Tunnel,
}

/// What the application has to do with a request of the peer's.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Interest {
    /// It has not been told, or need not do anything about it.
    None,
    /// The event of the request waits to be taken.
    Waiting,
    /// It works on it, also when the stream is over, until it says otherwise.
    Held,
}

/// The state of one exchange.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(super) reader: FrameReader,
    pub(crate) recv: Part,
    pub(crate) send: Part,
    /// Content the application has not taken. At most one chunk.
    pub(super) content: Bytes,
    /// The transport told the end.
    pub(super) fin: bool,
    /// A field section that waits for QPACK insertions.
    pub(super) blocked: Option<Box<Bytes>>,
    /// The application knows the stream.
    pub(crate) told: bool,
    pub(crate) interest: Interest,
    /// Size of the request's head, counted as long as it is under way (server).
    pub(super) head_size: usize,
    /// Length of the section that is being gathered or waits for insertions, counted
    /// with the heads (server).
    pub(super) section_size: usize,
    /// The peer has given it up before it was answered in full.
    pub(super) cut: bool,
    /// It was answered in full, and nobody has begun to read its content.
    pub(super) unread: bool,
    /// How fast its content comes, while it is awaited.
    pub(super) pace: Option<Box<Pace>>,
    /// It has to keep none: the two sides converse.
    pub(super) unpaced: bool,
    /// The application was asked, so that an answer is its own.
    pub(crate) asked: bool,
    /// The application has begun to read its content.
    pub(super) read: bool,
    pub(super) connect: bool,
    pub(super) head_request: bool,
    /// The response never has content, whatever content-length says.
    pub(super) no_content: bool,
    pub(super) recv_length: Length,
    pub(super) received: u64,
    pub(super) send_length: Length,
    pub(super) sent: u64,
    pub(super) priority: Option<Priority>,
}

impl Exchange {
    fn new(reader: FrameReader) -> Self {
        Self {
            reader,
            recv: Part::Head,
            send: Part::Head,
            content: Bytes::new(),
            fin: false,
            blocked: None,
            told: false,
            interest: Interest::None,
            head_size: 0,
            section_size: 0,
            cut: false,
            unread: false,
            pace: None,
            unpaced: false,
            asked: false,
            read: false,
            connect: false,
            head_request: false,
            no_content: false,
            recv_length: Length::UNKNOWN,
            received: 0,
            send_length: Length::UNKNOWN,
            sent: 0,
            priority: None,
        }
    }

    /// An exchange the peer began with a frame of this type.
    pub(super) fn received(ty: u64, rules: &FrameRules, fin: bool) -> Result<Self, FrameError> {
        let mut exchange = Self::new(FrameReader::after_type(ty, rules)?);
        exchange.fin = fin;
        Ok(exchange)
    }

    /// An exchange that begins with our request.
    pub(super) fn requested(head: &RequestHead) -> Self {
        let mut exchange = Self::new(FrameReader::new());
        exchange.told = true;
        exchange.connect = head.method == Method::CONNECT;
        exchange.head_request = head.method == Method::HEAD;
        exchange
    }

    /// Whether the request is CONNECT, plain or extended.
    pub(crate) fn is_connect(&self) -> bool {
        self.connect
    }

    /// Whether the application has answered CONNECT, and something may go through it.
    pub(super) fn is_open_tunnel(&self) -> bool {
        self.asked && self.send == Part::Tunnel
    }

    /// The priority that was asked for, if any.
    pub(crate) fn priority(&self) -> Option<Priority> {
        self.priority
    }

    pub(super) fn is_head_request(&self) -> bool {
        self.head_request
    }

    /// Whether the application waits for content of it.
    pub(super) fn awaits_content(&self) -> bool {
        (self.pace.as_ref()).is_some_and(|pace| pace.since.is_some())
    }

    /// Bytes of content that have not been received, once the head tells how many there
    /// are.
    pub(super) fn to_come(&self) -> Option<u64> {
        match self.recv {
            Part::Body if self.no_content => Some(0),
            Part::Body => Some(self.recv_length.get()?.saturating_sub(self.received)),
            Part::Trailers => Some(0),
            Part::Head | Part::Tunnel => None,
        }
    }

    pub(super) fn length_exceeded(&self) -> bool {
        let limit = if self.no_content {
            Some(0)
        } else {
            self.recv_length.get()
        };
        limit.is_some_and(|limit| self.received > limit)
    }

    pub(super) fn length_missed(&self) -> bool {
        !self.no_content
            && self.recv != Part::Tunnel
            && self
                .recv_length
                .get()
                .is_some_and(|length| length != self.received)
    }
}
