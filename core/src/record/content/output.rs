//! Where the bytes of a stream go: kept, or counted.

use crate::id::StreamId;
use crate::record::mask::Mask;

/// A part of what was read from a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// As it was, or masked.
    Bytes(&'a [u8]),
    /// As many zeros as there were bytes.
    Filler(u64),
}

/// Takes what was read, in the order of each stream.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(StreamId, Piece<'_>);

/// Collects one stream's pieces so that each is as long as it can be.
pub(super) struct Output<'a> {
    id: StreamId,
    sink: Sink<'a>,
    bytes: Vec<u8>,
    filler: u64,
    message: Option<Message>,
}

/// A text that is masked once it is whole, and what came between its parts.
#[derive(Debug, Default)]
pub(super) struct Message {
    text: Vec<u8>,
    parts: Vec<Part>,
    /// Of `parts`, in memory.
    size: usize,
}

#[derive(Debug)]
enum Part {
    Text(usize),
    Bytes(Vec<u8>),
    Filler(u64),
}

/// Most memory spent on what comes between the parts of a text; beyond it, the
/// text is given up.
const MAX_BETWEEN: usize = 16 * 1024;

impl Message {
    /// Adds to what there is. False if that is too much.
    fn push(&mut self, part: Part) -> bool {
        match (self.parts.last_mut(), part) {
            (Some(Part::Text(len)), Part::Text(more)) => *len += more,
            (Some(Part::Filler(len)), Part::Filler(more)) => *len += more,
            (Some(Part::Bytes(bytes)), Part::Bytes(more)) => {
                self.size += more.len();
                bytes.extend(more);
            }
            (_, part) => {
                self.size += size_of::<Part>();
                if let Part::Bytes(bytes) = &part {
                    self.size += bytes.len();
                }
                self.parts.push(part);
            }
        }
        self.size <= MAX_BETWEEN
    }
}

impl<'a> Output<'a> {
    /// Goes on with a message that was not whole.
    pub(super) fn new(id: StreamId, sink: Sink<'a>, message: Option<Message>) -> Self {
        Self {
            id,
            sink,
            bytes: Vec::new(),
            filler: 0,
            message,
        }
    }

    /// Lets bytes through.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(message) = &mut self.message {
            if !message.push(Part::Bytes(bytes.to_vec())) {
                self.drop_text();
            }
            return;
        }
        self.flush_filler();
        self.bytes.extend_from_slice(bytes);
    }

    /// Counts bytes.
    pub(super) fn filler(&mut self, len: u64) {
        if len == 0 {
            return;
        }
        if let Some(message) = &mut self.message {
            if !message.push(Part::Filler(len)) {
                self.drop_text();
            }
            return;
        }
        self.flush_bytes();
        self.filler += len;
    }

    /// From here on a text is put together.
    pub(super) fn begin_text(&mut self) {
        self.drop_text();
        self.message = Some(Message::default());
    }

    /// Adds to the text.
    pub(super) fn text(&mut self, bytes: &[u8]) {
        let Some(message) = &mut self.message else {
            return self.filler(bytes.len() as u64);
        };
        message.text.extend_from_slice(bytes);
        if !message.push(Part::Text(bytes.len())) {
            self.drop_text();
        }
    }

    /// The text is whole.
    pub(super) fn end_text(&mut self, mask: &Mask) {
        let Some(message) = self.message.take() else {
            return;
        };
        let masked = mask.text(&message.text);
        let mut rest = masked.as_slice();
        for part in message.parts {
            match part {
                Part::Text(len) => {
                    let (text, more) = rest.split_at(len.min(rest.len()));
                    self.bytes(text);
                    rest = more;
                }
                Part::Bytes(bytes) => self.bytes(&bytes),
                Part::Filler(len) => self.filler(len),
            }
        }
    }

    /// The text never becomes whole: its bytes are counted.
    pub(super) fn drop_text(&mut self) {
        let Some(message) = self.message.take() else {
            return;
        };
        for part in message.parts {
            match part {
                Part::Text(len) => self.filler(len as u64),
                Part::Bytes(bytes) => self.bytes(&bytes),
                Part::Filler(len) => self.filler(len),
            }
        }
    }

    /// Hands out what there is, and the message that is not whole.
    pub(super) fn finish(mut self) -> Option<Message> {
        self.flush_bytes();
        self.flush_filler();
        self.message
    }

    fn flush_bytes(&mut self) {
        if !self.bytes.is_empty() {
            (self.sink)(self.id, Piece::Bytes(&self.bytes));
            self.bytes.clear();
        }
    }

    fn flush_filler(&mut self) {
        let len = std::mem::take(&mut self.filler);
        if len > 0 {
            (self.sink)(self.id, Piece::Filler(len));
        }
    }
}
