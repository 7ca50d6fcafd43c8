//! The frames of a control or request stream: headers kept, payloads told apart.

use super::output::Output;
use crate::id::Side;
use crate::wire::frame::{FrameType, StreamKind, Verdict};
use crate::wire::varint;

/// An integer that arrives in any chunking.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Int {
    bytes: [u8; 8],
    held: usize,
}

impl Int {
    /// Lets the bytes of an integer through, and gives its value with the last one.
    pub(super) fn read(&mut self, input: &mut &[u8], out: &mut Output<'_>) -> Option<u64> {
        while let Some((byte, rest)) = input.split_first() {
            *input = rest;
            out.bytes(&[*byte]);
            *self.bytes.get_mut(self.held)? = *byte;
            self.held += 1;
            if let Some((value, _)) = varint::decode(self.bytes.get(..self.held)?) {
                self.held = 0;
                return Some(value);
            }
        }
        None
    }
}

/// Takes up to `left` bytes from the front of `input`.
pub(super) fn take<'a>(input: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let len = usize::try_from(*left)
        .unwrap_or(usize::MAX)
        .min(input.len());
    let (taken, rest) = input.split_at(len);
    *input = rest;
    *left -= len as u64;
    taken
}

/// Which payloads are known, and how long they may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rules {
    /// Of a control stream: kept up to this length.
    Control(u64),
    /// Of a request stream: field sections up to this length.
    Request(u64),
}

impl Rules {
    /// Whether reading goes on behind a frame of this type. Where it does not, what
    /// follows may be no frame at all.
    fn permit(self, ty: FrameType, ours: Side) -> bool {
        let kind = match self {
            Self::Control(_) => StreamKind::Control,
            Self::Request(_) => StreamKind::Request,
        };
        matches!(ty.verdict(kind, ours), Verdict::Expected | Verdict::Unknown)
    }
}

/// What somebody else has to deal with.
#[derive(Debug)]
pub(super) enum Item<'a> {
    /// A complete field section.
    Section(Vec<u8>),
    /// Content follows.
    Content,
    /// A part of it.
    Data(&'a [u8]),
}

/// Reads the frames of one stream; holds one field section at most.
#[derive(Debug)]
pub(super) struct Frames {
    rules: Rules,
    ours: Side,
    int: Int,
    at: At,
}

#[derive(Debug)]
enum At {
    Type,
    Length(FrameType),
    Keep(u64),
    /// So many bytes are kept, and so many then filled.
    KeepFirst(u64, u64),
    Fill(u64),
    /// The push id of a PUSH_PROMISE, which may not fit into the payload.
    PushId(u64),
    Section {
        left: u64,
        section: Vec<u8>,
    },
    Data(u64),
}

impl Frames {
    /// At the start of a frame.
    pub(super) fn new(rules: Rules, ours: Side) -> Self {
        Self {
            rules,
            ours,
            int: Int::default(),
            at: At::Type,
        }
    }

    /// At the length of a frame whose type has been read.
    pub(super) fn after_type(rules: Rules, ours: Side, ty: u64) -> Self {
        let mut frames = Self::new(rules, ours);
        frames.at = frames.typed(ty);
        frames
    }

    fn typed(&self, ty: u64) -> At {
        match self.rules.permit(FrameType(ty), self.ours) {
            true => At::Length(FrameType(ty)),
            false => At::Fill(u64::MAX),
        }
    }

    /// Takes bytes from the front of `input` up to the next item. `None` means that
    /// `input` is used up.
    pub(super) fn read<'a>(
        &mut self,
        input: &mut &'a [u8],
        out: &mut Output<'_>,
    ) -> Option<Item<'a>> {
        loop {
            match &mut self.at {
                At::Type => {
                    let ty = self.int.read(input, out)?;
                    self.at = self.typed(ty);
                }
                At::Length(ty) => {
                    let ty = *ty;
                    let len = self.int.read(input, out)?;
                    self.at = self.payload(ty, len);
                    if matches!(self.at, At::Data(_)) {
                        return Some(Item::Content);
                    }
                }
                At::Section { left, section } => {
                    section.extend_from_slice(take(input, left));
                    if *left > 0 {
                        return None;
                    }
                    let section = std::mem::take(section);
                    self.at = At::Type;
                    return Some(Item::Section(section));
                }
                At::Keep(0) | At::Fill(0) | At::Data(0) | At::PushId(0) => self.at = At::Type,
                At::KeepFirst(0, rest) => self.at = At::Fill(*rest),
                At::PushId(len) => {
                    let first = input.first()?;
                    let id = (1 << (first >> 6)).min(*len);
                    self.at = At::KeepFirst(id, *len - id);
                }
                _ if input.is_empty() => return None,
                At::Keep(left) | At::KeepFirst(left, _) => out.bytes(take(input, left)),
                At::Fill(left) => out.filler(take(input, left).len() as u64),
                At::Data(left) => return Some(Item::Data(take(input, left))),
            }
        }
    }

    fn payload(&self, ty: FrameType, len: u64) -> At {
        match (self.rules, ty) {
            (
                Rules::Control(longest),
                FrameType::SETTINGS
                | FrameType::GOAWAY
                | FrameType::CANCEL_PUSH
                | FrameType::MAX_PUSH_ID
                | FrameType::PRIORITY_UPDATE_REQUEST
                | FrameType::PRIORITY_UPDATE_PUSH
                | FrameType::ORIGIN,
            ) if len <= longest => At::Keep(len),
            (Rules::Request(longest), FrameType::HEADERS) if len <= longest => At::Section {
                left: len,
                section: Vec::new(),
            },
            (Rules::Request(_), FrameType::DATA) if len > 0 => At::Data(len),
            (Rules::Request(_), FrameType::PUSH_PROMISE) => At::PushId(len),
            _ => At::Fill(len),
        }
    }

    /// Counts what was held of a section that stays incomplete.
    pub(super) fn finish(&mut self, out: &mut Output<'_>) {
        if let At::Section { section, .. } = &mut self.at {
            out.filler(std::mem::take(section).len() as u64);
        }
    }
}
