//! What both ends have said of resets, as far as it still counts.

use std::collections::BTreeMap;

use super::frames::{Head, Reset, Verdict};
use crate::id::{Dir, Side, StreamId};

/// Both sides' resets of one connection.
#[derive(Debug)]
pub struct Ledger {
    side: Side,
    received: BTreeMap<u64, Received>,
    /// Streams in it that quinn may know nothing of.
    fresh: Vec<u64>,
    sent: BTreeMap<u64, Sent>,
    /// Bytes by which packets may grow for those.
    room: usize,
    counts: ResetStats,
    /// Frames that go out with the next packet, whatever they are.
    #[cfg(test)]
    pub(crate) forged: Vec<u8>,
    /// Most resets that one packet had.
    #[cfg(test)]
    pub(crate) most_sent: u64,
}

/// A reset of the peer's, until it has been told.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct Received {
    pub(crate) code: u64,
    pub(crate) final_size: u64,
    /// Bytes that are read before it is told.
    pub(crate) reliable: u64,
    /// It came as RESET_STREAM_AT.
    pub(crate) at: bool,
}

#[derive(Copy, Clone, Debug)]
struct Sent {
    head: Head,
    growth: usize,
}

/// RESET_STREAM_AT frames of one connection; all counts are cumulative.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ResetStats {
    /// Frames received, repeated ones among them.
    pub received: u64,
    /// Frames sent, repeated ones among them.
    pub sent: u64,
    /// Resets that the peer has acknowledged, with the header of their stream.
    pub released: u64,
}

impl Ledger {
    /// Nothing was said.
    #[must_use]
    pub fn new(side: Side) -> Self {
        Self {
            side,
            received: BTreeMap::new(),
            fresh: Vec::new(),
            sent: BTreeMap::new(),
            room: 0,
            counts: ResetStats::default(),
            #[cfg(test)]
            forged: Vec::new(),
            #[cfg(test)]
            most_sent: 0,
        }
    }

    pub(crate) fn counts(&self) -> ResetStats {
        self.counts
    }

    // ---- received ----------------------------------------------------------------

    /// A reset has arrived, or has arrived again.
    pub fn judge(&mut self, reset: Reset) -> Verdict {
        if let Some(reliable) = reset.reliable {
            //= https://www.ietf.org/archive/id/draft-ietf-quic-reliable-stream-reset-10.html#section-4
            // FRAME_ENCODING_ERROR, which a frame that QUIC does not know is.
            if reliable > reset.final_size {
                return Verdict::Keep;
            }
            self.counts.received += 1;
        }
        let as_it_is = match reset.reliable {
            Some(0) => Verdict::Reset,
            Some(_) => Verdict::End,
            None => Verdict::Keep,
        };
        let known_to_be_ours = StreamId::from_wire(reset.stream)
            .is_none_or(|id| id.dir() == Dir::Uni && id.initiator() == self.side);
        if known_to_be_ours {
            // QUIC refuses it as it does every frame of a stream that we alone send on.
            return as_it_is;
        }
        let Some(known) = self.received.get_mut(&reset.stream) else {
            let received = Received {
                code: reset.code,
                final_size: reset.final_size,
                reliable: reset.reliable.unwrap_or(0),
                at: reset.reliable.is_some(),
            };
            self.received.insert(reset.stream, received);
            self.fresh.push(reset.stream);
            return as_it_is;
        };
        //= https://www.ietf.org/archive/id/draft-ietf-quic-reliable-stream-reset-10.html#section-5
        // A code that changes is a STREAM_STATE_ERROR. Of two RESET_STREAM frames nothing
        // is said.
        if known.code != reset.code && (known.at || reset.reliable.is_some()) {
            let theirs = StreamId::new(self.side.peer(), Dir::Uni, 0);
            return Verdict::StateError(theirs.wire());
        }
        known.at |= reset.reliable.is_some();
        //= https://www.ietf.org/archive/id/draft-ietf-quic-reliable-stream-reset-10.html#section-5
        // The reliable size only becomes smaller; a larger one is late.
        known.reliable = known.reliable.min(reset.reliable.unwrap_or(0));
        match reset.reliable {
            None => Verdict::Keep,
            // QUIC compares the final sizes of what it takes for resets at any time.
            Some(_) if known.reliable == 0 || known.final_size != reset.final_size => {
                Verdict::Reset
            }
            Some(_) => Verdict::End,
        }
    }

    /// Drops what was said of streams that are over, by what QUIC knows of them.
    pub(crate) fn sort_out(&mut self, mut is_live: impl FnMut(StreamId) -> bool) {
        for stream in std::mem::take(&mut self.fresh) {
            let over = StreamId::from_wire(stream).is_none_or(|id| !is_live(id));
            if over {
                self.received.remove(&stream);
            }
        }
    }

    pub(crate) fn has_fresh(&self) -> bool {
        !self.fresh.is_empty()
    }

    pub(crate) fn has_received(&self) -> bool {
        !self.received.is_empty()
    }

    /// Streams of which something is noted.
    #[cfg(test)]
    pub(crate) fn noted(&self) -> usize {
        self.received.len().max(self.fresh.len())
    }

    pub(crate) fn received(&self, id: StreamId) -> Option<Received> {
        self.received.get(&id.wire()).copied()
    }

    /// A reset was told, or nobody wants to know of it.
    pub(crate) fn told(&mut self, id: StreamId) -> Option<Received> {
        self.received.remove(&id.wire())
    }

    // ---- sent --------------------------------------------------------------------

    /// A stream is about to be reset; its header is to arrive.
    pub(crate) fn send(&mut self, id: StreamId, head: Head) {
        let growth = head.growth(id.wire());
        if self.sent.insert(id.wire(), Sent { head, growth }).is_none() {
            self.room += growth;
        }
    }

    /// What a stream that was reset begins with.
    pub(crate) fn head(&self, stream: u64) -> Option<Head> {
        self.sent.get(&stream).map(|sent| sent.head)
    }

    /// Bytes by which one packet may grow that has all of them.
    pub(crate) fn room(&self) -> usize {
        #[cfg(test)]
        return self.room + self.forged.len();
        #[cfg(not(test))]
        self.room
    }

    pub(crate) fn count_sent(&mut self, frames: u64) {
        self.counts.sent += frames;
        #[cfg(test)]
        {
            self.most_sent = self.most_sent.max(frames);
        }
    }

    pub(crate) fn is_sending(&self, id: StreamId) -> bool {
        self.sent.contains_key(&id.wire())
    }

    /// Drops those that the peer has acknowledged. O(those that it has not), which a packet
    /// has room for.
    pub(crate) fn release(&mut self, mut is_acknowledged: impl FnMut(StreamId) -> bool) {
        let (room, counts) = (&mut self.room, &mut self.counts);
        self.sent.retain(|stream, sent| {
            let over = StreamId::from_wire(*stream).is_none_or(&mut is_acknowledged);
            if over {
                *room -= sent.growth;
                counts.released += 1;
            }
            !over
        });
    }

    /// QUIC did not take it: the stream was over before.
    pub(crate) fn take_back(&mut self, id: StreamId) {
        if let Some(sent) = self.sent.remove(&id.wire()) {
            self.room -= sent.growth;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reset(stream: u64, code: u64, final_size: u64, reliable: Option<u64>) -> Reset {
        Reset {
            stream,
            code,
            final_size,
            reliable,
        }
    }

    // Row B37: each legal and illegal frame, and what QUIC is given for it.
    #[test]
    fn frames_are_judged_by_what_came_before() {
        use Verdict::{End, Keep, Reset as Plain, StateError};
        // A client's view of a stream of the server's.
        /// Code, final size, reliable size.
        type Said = (u64, u64, Option<u64>);
        let cases: &[(&str, &[Said], Verdict)] = &[
            ("the first", &[(7, 100, Some(4))], End),
            ("all of it reliable", &[(7, 4, Some(4))], End),
            ("again", &[(7, 100, Some(4)), (7, 100, Some(4))], End),
            ("raised", &[(7, 100, Some(4)), (7, 100, Some(5))], End),
            ("lowered", &[(7, 100, Some(4)), (7, 100, Some(3))], End),
            ("to nothing", &[(7, 100, Some(4)), (7, 100, Some(0))], Plain),
            ("nothing", &[(7, 100, Some(0))], Plain),
            ("plain", &[(7, 100, None)], Keep),
            ("plain after it", &[(7, 100, Some(4)), (7, 100, None)], Keep),
            (
                "late after plain",
                &[(7, 100, None), (7, 100, Some(4))],
                Plain,
            ),
            ("more than there is", &[(7, 3, Some(4))], Keep),
            (
                "another code",
                &[(7, 100, Some(4)), (8, 100, Some(4))],
                StateError(3),
            ),
            (
                "plain of another code",
                &[(7, 100, Some(4)), (8, 100, None)],
                StateError(3),
            ),
            (
                "another code after plain",
                &[(7, 100, None), (8, 100, Some(4))],
                StateError(3),
            ),
            ("two plain ones", &[(7, 100, None), (8, 100, None)], Keep),
            (
                "another size",
                &[(7, 100, Some(4)), (7, 101, Some(4))],
                Plain,
            ),
        ];
        for (name, frames, last) in cases {
            let mut ledger = Ledger::new(Side::Client);
            let mut verdict = None;
            for (code, size, reliable) in *frames {
                verdict = Some(ledger.judge(reset(7, *code, *size, *reliable)));
            }
            assert_eq!(verdict, Some(*last), "{name}");
        }
    }

    #[test]
    fn the_smallest_reliable_size_counts() {
        let id = StreamId::from_wire(3).expect("in range");
        for (sizes, smallest) in [
            ([Some(4), Some(9)], 4),
            ([Some(9), Some(4)], 4),
            ([Some(9), None], 0),
        ] {
            let mut ledger = Ledger::new(Side::Client);
            for reliable in sizes {
                ledger.judge(reset(3, 7, 100, reliable));
            }
            let received = ledger.received(id).expect("received");
            assert_eq!(received.reliable, smallest, "{sizes:?}");
        }
    }

    // QUIC refuses them, and we must not ask it for the stream: it would panic.
    #[test]
    fn a_stream_that_we_alone_send_on_is_not_noted() {
        let mut ledger = Ledger::new(Side::Client);
        assert_eq!(ledger.judge(reset(2, 7, 9, Some(4))), Verdict::End);
        assert_eq!(ledger.judge(reset(2, 7, 9, None)), Verdict::Keep);
        assert!(!ledger.has_received() && !ledger.has_fresh());
    }

    #[test]
    fn what_is_said_of_streams_that_are_over_is_dropped() {
        let mut ledger = Ledger::new(Side::Client);
        for stream in [3, 7] {
            ledger.judge(reset(stream, 7, 9, Some(4)));
        }
        let id = |wire| StreamId::from_wire(wire).expect("in range");
        ledger.sort_out(|stream| stream.wire() == 3);
        let left = [3, 7].map(|wire| ledger.received(id(wire)).is_some());
        assert_eq!(left, [true, false]);
        assert!(!ledger.has_fresh());
    }

    #[test]
    fn room_is_what_those_on_their_way_need() {
        let mut ledger = Ledger::new(Side::Client);
        let head = Head::new(&[0x40, 0x54, 0]).expect("short");
        let id = |number| StreamId::new(Side::Client, Dir::Uni, number);
        ledger.send(id(0), head);
        ledger.send(id(0), head);
        assert_eq!(ledger.room(), 7);
        // A longer id.
        ledger.send(id(16), head);
        assert_eq!(ledger.room(), 15);
        ledger.release(|stream| stream == id(0));
        assert_eq!((ledger.room(), ledger.counts().released), (8, 1));
        ledger.take_back(id(16));
        assert_eq!((ledger.room(), ledger.counts().released), (0, 1));
    }
}
