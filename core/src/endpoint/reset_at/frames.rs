//! Plaintext of packets: the frames of resets are found in it, and exchanged in place.

use smallvec::SmallVec;

use self::limits::Limits;
use super::MAX_HEAD;
use crate::wire::varint::{self, VarInt};

pub(super) mod limits;
mod look;
#[cfg(any(test, feature = "testing"))]
pub use look::has_resets;
pub(super) use look::{first_look, has_resets_behind};

const RESET_STREAM: u64 = 0x04;
const STOP_SENDING: u64 = 0x05;
/// STREAM with a length.
const STREAM_LEN: u64 = 0x0a;
/// STREAM with an offset and a length, and the end behind it.
const STREAM_OFF_LEN_FIN: u64 = 0x0f;
/// The frame that all this is for.
//= https://www.ietf.org/archive/id/draft-ietf-quic-reliable-stream-reset-10.html#section-4
// Stream id, application error code, final size, reliable size.
const RESET_STREAM_AT: u64 = 0x24;

/// CONNECTION_CLOSE of the application.
const APPLICATION_CLOSE: u64 = 0x1d;

/// What a reset says.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct Reset {
    /// The stream, as on the wire.
    pub stream: u64,
    /// The application's code.
    pub code: u64,
    /// Bytes that were sent on the stream in all.
    pub final_size: u64,
    /// Bytes that arrive all the same; `None` of a RESET_STREAM.
    pub reliable: Option<u64>,
}

/// What becomes of a reset that has arrived.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// It stays what it is.
    Keep,
    /// An empty STREAM frame that ends the stream at its final size.
    End,
    /// A RESET_STREAM.
    Reset,
    /// A frame for which QUIC closes with STREAM_STATE_ERROR: a STOP_SENDING for this
    /// stream, on which the peer alone sends.
    StateError(u64),
}

/// The packet is too small for what was promised to fit.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub struct NoRoom;

/// Goes through the frames of a packet.
struct Walk<'a> {
    payload: &'a [u8],
    at: usize,
    /// Where stream limits are noted.
    limits: Option<&'a Limits>,
}

impl Walk<'_> {
    /// The next reset, and where it is. What QUIC does not understand ends the walk: it
    /// closes the connection for that.
    #[inline]
    fn next(&mut self) -> Option<(usize, usize, Reset)> {
        loop {
            let start = self.at;
            match *self.payload.get(start)? {
                // PADDING, PING.
                0x00 | 0x01 => self.at += 1,
                first => {
                    self.at += varint::encoded_len(first);
                    let (ty, _) = varint::decode(self.payload.get(start..)?)?;
                    if ty == RESET_STREAM || ty == RESET_STREAM_AT {
                        let reset = self.reset(ty)?;
                        return Some((start, self.at, reset));
                    }
                    self.skip(ty)?;
                }
            }
        }
    }

    /// Where the application's CONNECTION_CLOSE begins, if there is one.
    fn close(&mut self) -> Option<usize> {
        loop {
            let start = self.at;
            let first = *self.payload.get(start)?;
            self.at += varint::encoded_len(first);
            let (ty, _) = varint::decode(self.payload.get(start..)?)?;
            if ty == APPLICATION_CLOSE {
                return Some(start);
            }
            self.skip(ty)?;
        }
    }

    fn reset(&mut self, ty: u64) -> Option<Reset> {
        Some(Reset {
            stream: self.int()?,
            code: self.int()?,
            final_size: self.int()?,
            reliable: match ty {
                RESET_STREAM_AT => Some(self.int()?),
                _ => None,
            },
        })
    }

    fn skip(&mut self, ty: u64) -> Option<()> {
        match ty {
            // ACK, with counts of ECN or without.
            0x02 | 0x03 => {
                self.ints(2)?;
                let ranges = self.int()?;
                self.int()?;
                for _ in 0..ranges {
                    self.ints(2)?;
                }
                if ty == 0x03 {
                    self.ints(3)?;
                }
            }
            // STOP_SENDING, MAX_STREAM_DATA, STREAM_DATA_BLOCKED.
            0x05 | 0x11 | 0x15 => self.ints(2)?,
            // CRYPTO.
            0x06 => {
                self.int()?;
                self.bytes()?;
            }
            // NEW_TOKEN.
            0x07 => self.bytes()?,
            // STREAM.
            0x08..=0x0f => {
                self.int()?;
                if ty & 0x04 != 0 {
                    self.int()?;
                }
                self.rest_or_bytes(ty & 0x02 != 0)?;
            }
            // MAX_STREAMS.
            0x12 | 0x13 => {
                let int = self.at;
                self.ints(1)?;
                if let Some(limits) = self.limits {
                    limits.note(ty, self.payload.get(int..)?);
                }
            }
            // MAX_DATA, DATA_BLOCKED, STREAMS_BLOCKED, RETIRE_CONNECTION_ID.
            0x10 | 0x14 | 0x16 | 0x17 | 0x19 => self.ints(1)?,
            // NEW_CONNECTION_ID.
            0x18 => {
                self.ints(2)?;
                let len = usize::from(*self.payload.get(self.at)?);
                self.jump(1 + len + 16)?;
            }
            // PATH_CHALLENGE, PATH_RESPONSE.
            0x1a | 0x1b => self.jump(8)?,
            // CONNECTION_CLOSE, of QUIC and of the application.
            0x1c | 0x1d => {
                self.ints(if ty == 0x1c { 2 } else { 1 })?;
                self.bytes()?;
            }
            // PADDING and PING at greater length than they may have, HANDSHAKE_DONE,
            // IMMEDIATE_ACK.
            0x00 | 0x01 | 0x1e | 0x1f => {}
            // DATAGRAM.
            0x30 | 0x31 => self.rest_or_bytes(ty == 0x31)?,
            // ACK_FREQUENCY.
            0xaf => self.ints(4)?,
            _ => return None,
        }
        Some(())
    }

    #[inline]
    fn int(&mut self) -> Option<u64> {
        let (value, len) = varint::decode(self.payload.get(self.at..)?)?;
        self.at += len;
        Some(value)
    }

    fn ints(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            let first = *self.payload.get(self.at)?;
            self.jump(varint::encoded_len(first))?;
        }
        Some(())
    }

    fn bytes(&mut self) -> Option<()> {
        let len = usize::try_from(self.int()?).ok()?;
        self.jump(len)
    }

    fn rest_or_bytes(&mut self, has_length: bool) -> Option<()> {
        if has_length {
            return self.bytes();
        }
        self.at = self.payload.len();
        Some(())
    }

    fn jump(&mut self, len: usize) -> Option<()> {
        let to = self.at.checked_add(len)?;
        (to <= self.payload.len()).then(|| self.at = to)
    }
}

/// Notes the stream limits in a packet that has resets.
pub(super) fn note_limits(payload: &[u8], limits: &Limits) {
    let mut walk = Walk {
        payload,
        at: 0,
        limits: Some(limits),
    };
    while walk.next().is_some() {}
}

/// Makes of a CONNECTION_CLOSE of the application's in the first `len` bytes of `packet` one
/// of QUIC's, with the same code and reason. It is one byte longer: the packet is filled with
/// padding in front.
pub(super) fn send_close(packet: &mut [u8], len: usize) {
    let Some(payload) = packet.get(..len) else {
        return;
    };
    let mut walk = Walk {
        payload,
        at: 0,
        limits: None,
    };
    let Some(close) = walk.close() else { return };
    // The frame is the last, and behind its code the type of the frame that is to blame is
    // said: 0, of none.
    let Some(code) = payload
        .get(close + 1)
        .map(|first| varint::encoded_len(*first))
    else {
        return;
    };
    let (Some(room), behind) = (packet.len().checked_sub(len), close + 1 + code) else {
        return;
    };
    if room == 0 || behind > len {
        return;
    }
    packet.copy_within(behind..len, behind + room);
    packet.copy_within(..behind, room - 1);
    let to = room - 1;
    if let Some(padding) = packet.get_mut(..to) {
        padding.fill(0);
    }
    for (at, byte) in [(to + close, 0x1c), (to + behind, 0)] {
        if let Some(place) = packet.get_mut(at) {
            *place = byte;
        }
    }
}

/// Has the resets in a packet that has arrived judged, and makes of each what the verdict
/// says. Nothing becomes longer.
pub fn receive(payload: &mut [u8], mut judge: impl FnMut(Reset) -> Verdict) {
    let mut at = 0;
    loop {
        let mut walk = Walk {
            payload,
            at,
            limits: None,
        };
        let Some((start, end, reset)) = walk.next() else {
            return;
        };
        at = end;
        let Reset {
            stream,
            code,
            final_size,
            ..
        } = reset;
        let mut frame = Frame::default();
        match judge(reset) {
            Verdict::Keep => continue,
            Verdict::End => frame.ints(&[STREAM_OFF_LEN_FIN, stream, final_size, 0]),
            Verdict::Reset => frame.ints(&[RESET_STREAM, stream, code, final_size]),
            Verdict::StateError(other) => frame.ints(&[STOP_SENDING, other, 0]),
        }
        // What is left over is PADDING.
        let Some((place, rest)) = payload
            .get_mut(start..end)
            .and_then(|place| place.split_at_mut_checked(frame.0.len()))
        else {
            debug_assert!(false, "{reset:?} became longer");
            continue;
        };
        place.copy_from_slice(&frame.0);
        rest.fill(0);
    }
}

/// Makes of each RESET_STREAM in the first `len` bytes of `packet` whose stream `head`
/// knows a STREAM frame with what it gives, and a RESET_STREAM_AT. Fills the packet with
/// padding in front, for the last frame may end where the packet ends. How many were made.
///
/// # Errors
/// [`NoRoom`]: those that fit were exchanged.
pub fn send(
    packet: &mut [u8],
    len: usize,
    head: impl Fn(u64) -> Option<Head>,
) -> Result<u64, NoRoom> {
    let Some(payload) = packet.get(..len) else {
        return Err(NoRoom);
    };
    let mut room = packet.len() - len;
    let mut full = false;
    let mut longer: SmallVec<[(usize, usize, Frame); 4]> = SmallVec::new();
    let mut walk = Walk {
        payload,
        at: 0,
        limits: None,
    };
    while let Some((start, end, reset)) = walk.next() {
        let None = reset.reliable else { continue };
        let Some(frame) = head(reset.stream).and_then(|head| frames(reset, &head)) else {
            continue;
        };
        let more = frame.0.len().saturating_sub(end - start);
        if more > room {
            full = true;
            continue;
        }
        room -= more;
        longer.push((start, end, frame));
    }
    let made = longer.len() as u64;
    // From the back, so that nothing is overwritten that was not moved.
    let (mut from, mut to) = (len, packet.len());
    while let Some((start, end, frame)) = longer.pop() {
        to -= from - end;
        packet.copy_within(end..from, to);
        to -= frame.0.len();
        if let Some(place) = packet.get_mut(to..to + frame.0.len()) {
            place.copy_from_slice(&frame.0);
        }
        from = start;
    }
    to -= from;
    packet.copy_within(..from, to);
    if let Some(padding) = packet.get_mut(..to) {
        padding.fill(0);
    }
    if full { Err(NoRoom) } else { Ok(made) }
}

/// What a stream begins with and has to arrive.
#[derive(Copy, Clone, Debug, Default, Eq, PartialEq)]
pub struct Head {
    bytes: [u8; MAX_HEAD],
    len: u8,
}

impl Head {
    /// `None` for one that is too long, or of which there is nothing.
    #[must_use]
    pub fn new(head: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_HEAD];
        bytes.get_mut(..head.len())?.copy_from_slice(head);
        let len = u8::try_from(head.len()).ok()?;
        (len > 0).then_some(Self { bytes, len })
    }

    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// How much longer its frames are than a RESET_STREAM of the stream is, at most.
    #[must_use]
    pub fn growth(&self, stream: u64) -> usize {
        let id = VarInt::new(stream).map_or(8, VarInt::len);
        // Type, id and length of the STREAM frame; the reliable size.
        1 + id + 1 + usize::from(self.len) + 1
    }
}

/// The two frames that a RESET_STREAM becomes; `None` while nothing of the stream was sent.
fn frames(reset: Reset, head: &Head) -> Option<Frame> {
    // Less than all of the header was written, and that little arrives.
    let most = usize::try_from(reset.final_size).unwrap_or(usize::MAX);
    let bytes = head.as_slice();
    let bytes = bytes.get(..bytes.len().min(most))?;
    let len = bytes.len() as u64;
    if bytes.is_empty() {
        return None;
    }
    let mut frame = Frame::default();
    frame.ints(&[STREAM_LEN, reset.stream, len]);
    frame.0.extend_from_slice(bytes);
    frame.ints(&[
        RESET_STREAM_AT,
        reset.stream,
        reset.code,
        reset.final_size,
        len,
    ]);
    Some(frame)
}

/// Bytes of one or two frames.
#[derive(Debug, Default)]
struct Frame(SmallVec<[u8; 64]>);

impl Frame {
    fn ints(&mut self, values: &[u64]) {
        for value in values {
            // All of them were read as such, or are numbers of ours.
            let value = VarInt::new(*value).unwrap_or(VarInt::MAX);
            self.0
                .extend_from_slice(varint::Head::one(value).as_slice());
        }
    }
}

#[cfg(test)]
mod tests;
