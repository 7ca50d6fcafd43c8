//! What the HTTP/3 layer needs from QUIC, and nothing more.
//!
//! Two implementations reach a peer: the one in `endpoint` over quinn-proto, and
//! `testing::Loopback`, two ends joined by queues. Others stand before one of them, to
//! look on, or in its place, to give recorded answers. A transport is passed as
//! `&mut T` to each call; no type that outlives a call is generic over it.
//!
//! Contract: `read` and `write` never wait. A `write` that takes less than it
//! was offered is followed, when there is room again, by
//! [`TransportEvent::Writable`]; a `read` that ends [`ReadState::Blocked`] by
//! [`TransportEvent::Readable`]. A stream the transport has forgotten answers
//! [`StreamGone::Unknown`], never a panic.

use bytes::Bytes;

use crate::error::CloseReason;
use crate::id::{Dir, Side, StreamId};
use crate::quic::About;
use crate::wire::seen::Seen;
use crate::wire::settings::Settings;

/// A QUIC connection as the HTTP/3 layer sees it.
pub trait Transport {
    /// What this transport can do beyond RFC 9000.
    fn caps(&self) -> Caps;

    /// Which end this is.
    fn side(&self) -> Side;

    /// Opens a stream; `None` while the peer's stream limit is reached, after
    /// which [`TransportEvent::Available`] follows.
    fn open(&mut self, dir: Dir) -> Option<StreamId>;

    /// The next stream the peer opened, in the order of ids; `None` when all
    /// have been taken.
    fn accept(&mut self, dir: Dir) -> Option<StreamId>;

    /// Moves up to `out.len()` ordered chunks, at most `max` bytes in all, into
    /// the front of `out`. With a `max` of 0 it only tells whether the stream was reset.
    ///
    /// # Errors
    /// [`StreamGone::Reset`] once, when the peer reset the stream, and
    /// [`StreamGone::Unknown`] for a stream that was finished, reset, stopped
    /// or never existed.
    fn read(&mut self, id: StreamId, max: usize, out: &mut [Bytes]) -> Result<Read, StreamGone>;

    /// Takes whole or partial chunks from the front of `chunks`, leaving the
    /// rest in place (taken chunks become empty), and tells how many bytes it
    /// took; 0 when blocked.
    ///
    /// # Errors
    /// [`StreamGone::Stopped`] with the peer's STOP_SENDING code, or
    /// [`StreamGone::Unknown`] for a stream that was finished or reset.
    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Result<usize, StreamGone>;

    /// Ends the sending side cleanly, after what was written. No effect on a
    /// stream already ended.
    fn finish(&mut self, id: StreamId);

    /// Abandons the sending side. `head` is what the stream began with and must
    /// arrive all the same: the few bytes that say whose stream it is. It is
    /// delivered when [`Caps::reliable_reset`] is set, and ignored otherwise; it is
    /// empty where the stream needs no telling.
    fn reset(&mut self, id: StreamId, code: u64, head: &[u8]);

    /// Asks the peer to stop sending and discards what arrives.
    fn stop(&mut self, id: StreamId, code: u64);

    /// Urgency of the stream's data relative to other streams: higher first,
    /// equal shares. Streams begin with 0.
    fn set_priority(&mut self, id: StreamId, priority: i32);

    /// The next received datagram.
    fn recv_datagram(&mut self) -> Option<Bytes>;

    /// Queues a datagram.
    ///
    /// # Errors
    /// [`DatagramRefused`] says why; a blocked one is given back.
    fn send_datagram(&mut self, datagram: Bytes) -> Result<(), DatagramRefused>;

    /// Largest datagram the path and the peer allow at present, in bytes;
    /// `None` when the peer takes none.
    fn max_datagram_size(&self) -> Option<usize>;

    /// Largest datagram the peer's transport parameters allow, whatever the
    /// path; `None` when the peer takes none or it is not known.
    fn peer_max_datagram_size(&self) -> Option<usize>;

    /// Whether what has arrived and has not been read takes up the credit that the peer
    /// has for all streams together (RFC 9000 §4.1), or nearly: then it may be unable to
    /// send a byte on any stream, until some are read. A transport that does not know
    /// says no.
    fn receive_credit_spent(&self) -> bool {
        false
    }

    /// Streams of this direction that the peer lets this side open in all, those that are
    /// over included (RFC 9000 §4.6); `None` where the transport does not know.
    fn stream_limit(&self, _: Dir) -> Option<u64> {
        None
    }

    /// Closes the connection because its peer is not who it should be: with the code that
    /// QUIC has for a TLS alert (RFC 9001 §4.8), in QUIC's name if the transport can do that,
    /// else in the application's.
    fn refuse(&mut self, alert: u8, reason: Bytes) {
        self.close(crypto_error(alert), reason);
    }

    /// Closes the connection with an application error code. As much of `reason` as fits
    /// a packet reaches the peer.
    fn close(&mut self, code: u64, reason: Bytes);

    /// What the next bytes read from a stream turned out to be. For whoever looks on;
    /// a transport that sends has no use for it.
    #[doc(hidden)]
    #[inline(always)]
    fn seen(&mut self, _: StreamId, _: Seen<'_>) {}
}

/// The code that QUIC has for a TLS alert.
//= https://www.rfc-editor.org/rfc/rfc9001#section-4.8
// 0x100 and the alert.
pub(crate) const fn crypto_error(alert: u8) -> u64 {
    0x100 + alert as u64
}

/// What a transport can do beyond RFC 9000.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Caps {
    /// RESET_STREAM_AT is sent and understood, which both ends have said, so that a reset
    /// stream's header still arrives (draft-ietf-quic-reliable-stream-reset).
    pub reliable_reset: bool,
    /// Whether the peer has said that it takes RESET_STREAM_AT; `None` where it was not
    /// heard, or is not known yet.
    pub peer_reliable_reset: Option<bool>,
}

impl Caps {
    /// A transport that can do what RFC 9000 and RFC 9221 say, and nothing more.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            reliable_reset: false,
            peer_reliable_reset: None,
        }
    }

    /// The same with or without [`Self::reliable_reset`].
    #[must_use]
    pub const fn reliable_reset(mut self, can: bool) -> Self {
        self.reliable_reset = can;
        self
    }

    /// The same with [`Self::peer_reliable_reset`].
    #[must_use]
    pub const fn peer_reliable_reset(mut self, can: Option<bool>) -> Self {
        self.peer_reliable_reset = can;
        self
    }
}

/// What became of early data (0-RTT, RFC 9001 §4.6).
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum EarlyData {
    /// None was sent.
    #[default]
    None,
    /// The server took it.
    Accepted,
    /// The server did not take it: it is as if it had never been sent.
    Rejected,
}

/// What one `read` moved.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Read {
    /// Entries of `out` that were filled.
    pub chunks: usize,
    /// Bytes in them.
    pub bytes: usize,
    /// What to expect next.
    pub state: ReadState,
}

impl Read {
    /// So many entries with so many bytes, and what follows them.
    #[must_use]
    pub const fn new(chunks: usize, bytes: usize, state: ReadState) -> Self {
        Self {
            chunks,
            bytes,
            state,
        }
    }
}

/// What follows the bytes just read: one of three, since a stream is read in order.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum ReadState {
    /// There may be more at once: `out` or `max` was the limit.
    Open,
    /// Nothing more has arrived; a readable event follows.
    Blocked,
    /// The peer finished the stream and all of it has been read.
    Finished,
}

/// Why a stream cannot be read or written any more.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StreamGone {
    /// Reading: the peer abandoned the stream.
    Reset {
        /// The code of its RESET_STREAM.
        code: u64,
        /// Bytes the peer has sent on the stream in all, read here or not; `None`
        /// from a transport that does not tell.
        final_size: Option<u64>,
    },
    /// Writing: the peer sent STOP_SENDING with the code.
    Stopped(u64),
    /// The transport does not know the stream, or has told its end before.
    Unknown,
}

/// Why a datagram was not queued.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DatagramRefused {
    /// The send buffer is full; here it is back. [`TransportEvent::DatagramsUnblocked`] follows.
    Blocked(Bytes),
    /// Larger than [`Transport::max_datagram_size`].
    TooLarge,
    /// The peer takes no datagrams, or we do not.
    Disabled,
}

/// What QUIC tells the layer above.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TransportEvent {
    /// The handshake is under way, and until it is complete early data (0-RTT) may be sent
    /// (client), or comes (server). Before [`Self::Connected`], at most once.
    Early {
        /// What the server said in SETTINGS on the connection that the ticket is from: it
        /// counts until the server's own come (client). `None` on a server.
        remembered: Option<Box<Settings>>,
    },
    /// The handshake is complete.
    Connected {
        /// What became of early data. A transport that tells [`EarlyData::Rejected`] after
        /// [`Self::Early`] has forgotten all streams that this side opened, and counts
        /// them from the first again.
        early: EarlyData,
    },
    /// The peer opened one or more streams; see [`Transport::accept`].
    Opened(Dir),
    /// The peer's stream limit grew; see [`Transport::open`].
    Available(Dir),
    /// Bytes, the end, or a reset can be read.
    Readable(StreamId),
    /// A blocked stream takes bytes again.
    Writable(StreamId),
    /// The peer acknowledged all of a finished stream.
    Finished(StreamId),
    /// The peer sent STOP_SENDING with the code.
    Stopped(StreamId, u64),
    /// One or more datagrams arrived; see [`Transport::recv_datagram`].
    Datagrams,
    /// The datagram send buffer has room again.
    DatagramsUnblocked,
    /// The server gave session tickets, which are kept (client).
    Ticket,
    /// What is known of the connection, told when it is first known and when it changes.
    /// Raw QUIC alone is told.
    About(Box<About>),
    /// The peer would open streams that its limit does not allow (RFC 9000 §19.14). Raw QUIC
    /// alone is told.
    StreamsBlocked(Dir),
    /// The connection is over.
    Closed(CloseReason),
}
