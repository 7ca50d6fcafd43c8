//! What a WebTransport session needs below it: streams, a place for capsules, and
//! a judge of what the peer does with its time.
//!
//! Over HTTP/3, the one carrier there is (`over_h3.rs`), the streams are QUIC's and the
//! capsules go on the CONNECT stream. The trait also suits HTTP/2, where both are
//! capsules on one stream of bytes. Streams, limits, order and the end of a session
//! know the trait alone; its handshake is that of HTTP/3. Codes that the application
//! gives are 32 bits here; what becomes of them on the wire is the carrier's affair.

use bytes::Bytes;

use crate::code::Code;
use crate::config::Limits;
use crate::error::{PeerCode, ReadError, ResetError, SendError, WriteError};
use crate::fault::Fault;
use crate::id::{Dir, StreamKey};
use crate::stats::Stats;
use crate::transport::Read;
use crate::wire::seen::Seen;

/// Why a data stream gives no bytes.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum StreamEnd {
    /// The peer abandoned it with the code. So many bytes of it were sent and will
    /// not be given; `None` where that is not known.
    Reset { code: PeerCode, lost: Option<u64> },
    /// Over, and its end was told before.
    Over(ReadError),
}

/// The streams and the control capsules of one session.
pub(crate) trait Carrier {
    /// Opens a stream of the session, which is introduced to the peer at once.
    /// `rank` as for [`Self::rank`]; `None` while the peer allows no more.
    fn open(&mut self, dir: Dir, rank: u8) -> Option<StreamKey>;

    /// Notes where the session keeps what it knows of a stream.
    fn own(&mut self, stream: StreamKey, place: u32);

    /// What is to be told of a peer's stream that has come to the session: whether it
    /// may be read, and the code of a stop that came before.
    fn introduce(&mut self, stream: StreamKey) -> (bool, Option<PeerCode>);

    /// Moves up to `out.len()` chunks, at most `max` bytes.
    fn read(&mut self, stream: StreamKey, max: usize, out: &mut [Bytes])
    -> Result<Read, StreamEnd>;

    /// Takes bytes from the front of `chunks` and tells how many.
    fn write(&mut self, stream: StreamKey, chunks: &mut [Bytes]) -> Result<usize, WriteError>;

    /// Ends the sending half after what was written.
    fn finish(&mut self, stream: StreamKey) -> Result<(), SendError>;

    /// Abandons the sending half.
    fn reset(&mut self, stream: StreamKey, code: u32) -> Result<(), ResetError>;

    /// Gives up the receiving half; false when it was over.
    fn stop(&mut self, stream: StreamKey, code: u32) -> Result<bool, Fault>;

    /// Ends both halves of a stream whose session is gone; false when both were over.
    fn abandon(&mut self, stream: StreamKey) -> bool;

    /// Rank of a stream among those of its session: lower first, equal ones share.
    fn rank(&mut self, stream: StreamKey, rank: u8);

    /// Whether a stream has or may have bytes to send.
    fn is_sending(&self, stream: StreamKey) -> bool;

    /// Whether everything that came on a stream has been read.
    fn is_read(&self, stream: StreamKey) -> bool;

    /// Sends a capsule of the session. It is never refused: what is not taken at once
    /// stays with the carrier, so that whoever sends many asks first.
    fn control(&mut self, capsule: Bytes);

    /// Whether all capsules were taken; if not, the session is told when they are.
    fn is_control_clear(&mut self) -> bool;

    /// Ends the capsules cleanly, after those that were sent.
    fn end_control(&mut self);

    /// Gives the capsules up, both ways, with a code of HTTP/3.
    fn abort_control(&mut self, code: Code);

    /// What the connection counts.
    fn stats(&mut self) -> &mut Stats;

    /// Charges the peer for useless work by [`PARTS`](crate::h3::PARTS) of a nuisance.
    /// An excess of it ends the connection.
    fn charge(&mut self, parts: u32) -> Result<(), Fault>;

    /// Pays for so many parts.
    fn pay(&mut self, parts: u32);

    /// The peer sent a datagram of so many bytes.
    fn datagram(&mut self, len: usize) -> Result<(), Fault>;

    /// What the rings of all sessions and requests hold, and what they may.
    fn ring_bytes(&mut self) -> (&mut usize, &Limits);

    /// Uses up some of the budget of this turn; false when it was used up before.
    fn spend(&mut self, work: u32) -> bool;

    /// Keeps capsules that were not read, for the next turn.
    fn put_back(&mut self, content: Bytes);

    /// What the next bytes of the control capsules are, for whoever looks on.
    fn seen(&mut self, _: Seen<'_>) {}
}
