//! Bytes of streams as a recording keeps them. The connection's own parser says what
//! they are; until it does they wait here, and what it never says is not kept.

use std::collections::{BTreeMap, VecDeque};

use aqueduct_core::connection::Seen;
use aqueduct_core::id::StreamId;
use bytes::Bytes;

use crate::mask::{self, Masking};
use crate::words::{Line, put_bytes};

/// Length at which a line of bytes is followed by another.
const LONG: usize = 1 << 16;

/// Ones that stand in front of what was never understood: whatever was refused there is
/// refused again, since no integer and no UTF-8 begins like this.
const REFUSED: [u8; 16] = [0xff; 16];

/// One instruction of a decoder, in so many bytes, that is of no effect where nothing is
/// outstanding: Stream Cancellation of stream 0, or of stream 63 and padded.
fn no_ack(len: usize) -> Vec<u8> {
    match len.checked_sub(2) {
        None => vec![0x40; len],
        Some(padding) => [&[0x7f], &vec![0x80; padding][..], &[0]].concat(),
    }
}

/// The streams of one connection, as far as they were read.
///
/// What comes out of a stream adds up to what went in, in order and byte for byte. A
/// stream costs what the connection itself holds of it: a chunk and one field section.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    streams: BTreeMap<StreamId, Held>,
    lines: ByteLines,
}

/// What is not understood yet.
#[derive(Debug, Default)]
struct Held {
    chunks: VecDeque<Bytes>,
    /// Bytes at the front that are structure if nothing more is said.
    ahead: usize,
}

impl Held {
    /// Takes the next `len` bytes.
    fn take(&mut self, mut len: usize, mut each: impl FnMut(&[u8])) {
        self.ahead = 0;
        while len > 0
            && let Some(chunk) = self.chunks.front_mut()
        {
            let part = chunk.split_to(len.min(chunk.len()));
            len -= part.len();
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            each(&part);
        }
    }
}

impl Contents {
    /// Bytes that were read. Those that are not masked need not be understood.
    pub(crate) fn read(&mut self, number: u64, id: StreamId, chunks: &[Bytes], mask: Masking) {
        match mask {
            Masking::Off => {
                for chunk in chunks {
                    self.lines.bytes(number, id, chunk);
                }
            }
            Masking::On if !chunks.is_empty() => {
                let held = self.streams.entry(id).or_default();
                held.chunks.extend(chunks.iter().cloned());
            }
            Masking::On => {}
        }
    }

    /// Bytes that were read, and of which it is kept how many they were.
    pub(crate) fn payload(&mut self, number: u64, id: StreamId, len: usize) {
        self.lines.zeros(number, id, len);
    }

    /// What the next of them are.
    pub(crate) fn seen(&mut self, number: u64, id: StreamId, what: Seen<'_>) {
        let Self { streams, lines } = self;
        let Some(held) = streams.get_mut(&id) else {
            return;
        };
        match what {
            Seen::Structure(len) => held.take(len, |bytes| lines.bytes(number, id, bytes)),
            Seen::Payload(len) | Seen::Gathered(len) => {
                held.take(len, |bytes| lines.zeros(number, id, bytes.len()));
            }
            Seen::Text(len) => held.take(len, |bytes| {
                let masked: Vec<u8> = bytes.iter().copied().map(mask::byte).collect();
                lines.bytes(number, id, &masked);
            }),
            Seen::Field { head, name, value } => {
                held.take(head, |bytes| lines.bytes(number, id, bytes));
                held.take(value.wire().len(), |_| {});
                lines.bytes(number, id, &mask::on_wire(name, value));
            }
            // It is about a table that a masked replay does without, and is work.
            Seen::Ack(len) => {
                held.take(len, |_| {});
                lines.bytes(number, id, &no_ack(len));
            }
            Seen::Refused(len) => {
                held.take(len, |_| {});
                lines.refused(number, id, len);
            }
            // A replay decodes and encodes it again.
            Seen::Decoded(_) | Seen::Encoded => {}
            Seen::Ahead(len) => held.ahead = len,
            Seen::Over => self.over(number, id),
        }
    }

    /// Nothing more will be said of any stream.
    pub(crate) fn end(&mut self, number: u64) {
        while let Some((id, _)) = self.streams.first_key_value() {
            self.over(number, *id);
        }
    }

    fn over(&mut self, number: u64, id: StreamId) {
        let Some(mut held) = self.streams.remove(&id) else {
            return;
        };
        let ahead = held.ahead;
        held.take(ahead, |bytes| self.lines.bytes(number, id, bytes));
        let rest: usize = held.chunks.iter().map(Bytes::len).sum();
        self.lines.refused(number, id, rest);
    }

    /// Whole lines of what came out since the last call.
    pub(crate) fn lines(&mut self) -> String {
        self.lines.take()
    }
}

/// Lines of bytes; the last one may still grow.
#[derive(Debug, Default)]
struct ByteLines {
    lines: String,
    /// Whose bytes the last line is, and where it begins.
    last: Option<(StreamId, usize)>,
}

impl ByteLines {
    fn bytes(&mut self, number: u64, id: StreamId, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.grow(number, id, |line| put_bytes(&mut line.0, bytes));
        }
    }

    fn zeros(&mut self, number: u64, id: StreamId, count: usize) {
        if count > 0 {
            self.grow(number, id, |line| line.zeros_on(count as u64));
        }
    }

    fn refused(&mut self, number: u64, id: StreamId, count: usize) {
        let ones = REFUSED.get(..count).unwrap_or(&REFUSED);
        self.bytes(number, id, ones);
        self.zeros(number, id, count - ones.len());
    }

    /// Appends to the last line if it is of the same stream.
    fn grow(&mut self, number: u64, id: StreamId, put: impl FnOnce(&mut Line)) {
        let mut line = Line(std::mem::take(&mut self.lines));
        let goes_on = |(of, start)| of == id && line.0.len() - start < LONG;
        if !self.last.is_some_and(goes_on) {
            if self.last.is_some() {
                line.0.push('\n');
            }
            self.last = Some((id, line.0.len()));
            line.show(number).word("bytes").show(id).word("");
        }
        put(&mut line);
        self.lines = line.0;
    }

    fn take(&mut self) -> String {
        if self.last.take().is_some() {
            self.lines.push('\n');
        }
        std::mem::take(&mut self.lines)
    }
}

#[cfg(test)]
mod tests {
    use aqueduct_core::id::{Dir, Side};
    use aqueduct_core::wire::qpack::{Encoder, Text};

    use super::*;

    fn stream() -> StreamId {
        StreamId::new(Side::Client, Dir::Bi, 1)
    }

    fn read(contents: &mut Contents, bytes: &'static [u8]) {
        contents.read(7, stream(), &[Bytes::from_static(bytes)], Masking::On);
    }

    #[test]
    fn what_was_understood_is_kept_in_its_way() {
        let mut contents = Contents::default();
        read(&mut contents, b"\x01\x02secr");
        read(&mut contents, b"et!body and more");
        assert_eq!(contents.lines(), "");
        let field = Seen::Field {
            head: 1,
            name: Text::Plain(b"cookie"),
            value: Text::Plain(b"secret"),
        };
        for what in [Seen::Ahead(1), Seen::Structure(1), field] {
            contents.seen(7, stream(), what);
        }
        contents.seen(7, stream(), Seen::Text(1));
        contents.seen(7, stream(), Seen::Payload(4));
        contents.seen(7, stream(), Seen::Payload(1));
        assert_eq!(contents.lines(), "7 bytes 4 010278787878787821*4.*1.\n");
    }

    /// As many instructions as there were, so that they are as much work.
    #[test]
    fn each_ack_becomes_one_of_no_effect() {
        let mut contents = Contents::default();
        read(&mut contents, b"\x84\xff");
        contents.seen(7, stream(), Seen::Ack(1));
        contents.seen(7, stream(), Seen::Ahead(1));
        assert_eq!(contents.lines(), "7 bytes 4 40\n");
        read(&mut contents, b"\x81\x07\xff\x01");
        contents.seen(7, stream(), Seen::Ack(3));
        contents.seen(7, stream(), Seen::Ack(2));
        assert_eq!(contents.lines(), "7 bytes 4 7f80007f00\n");
        let mut encoder = Encoder::new();
        for len in 1..=11 {
            let mut acks = 0;
            let each = &mut |seen: Seen<'_>| acks += usize::from(matches!(seen, Seen::Ack(_)));
            let followed = encoder.handle_decoder_stream_seen(&no_ack(len), each);
            assert_eq!((followed, acks), (Ok(()), 1), "{len} bytes");
        }
    }

    #[test]
    fn what_was_not_is_not_kept() {
        let mut contents = Contents::default();
        read(&mut contents, &[7; 40]);
        contents.seen(7, stream(), Seen::Ahead(1));
        contents.seen(7, stream(), Seen::Over);
        let ones = "ff".repeat(16);
        assert_eq!(contents.lines(), format!("7 bytes 4 07{ones}*23.\n"));
        contents.end(7);
        assert_eq!(contents.lines(), "");
    }
}
