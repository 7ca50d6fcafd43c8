//! What one stream is for, and what of its bytes is kept.
//!
//! ```text
//!                  ┌─▶ Control  frames          ┌─▶ SessionId ─▶ Opaque
//!   Unknown ─ uni ─┼─▶ Encoder  instructions    │
//!      │           ├─▶ Decoder  kept            │
//!      │           └────────────────────────────┼─▶ Opaque
//!      └───── bidi ─────────────────────────────┤
//!   Local ─ learn ──────────────────────────────┴─▶ Exchange  frames, capsules
//! ```

use std::cell::Cell;

use super::Kind;
use super::capsules::Capsules;
use super::frames::{Frames, Int, Item, Rules};
use super::output::{Message, Output};
use crate::id::{Dir, Side, StreamId};
use crate::record::mask::Mask;
use crate::wire::qpack::Hider;
use crate::wire::stream_type::{UniType, WT_BIDI_SIGNAL};

/// What the streams of a connection share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) mask: Mask,
    pub(super) side: Side,
    pub(super) webtransport: bool,
    /// Longest control frame that is kept.
    pub(super) control_frame: u64,
    /// Longest encoded section that is gathered.
    pub(super) section: u64,
    pub(super) hider: Hider,
    /// The first stream that said to be the peer's encoder stream.
    pub(super) encoder: Option<StreamId>,
    /// The same of the decoder stream.
    pub(super) decoder: Option<StreamId>,
}

/// The peer's half of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    part: Part,
    pub(super) kind: Option<Kind>,
    /// The peer's head says that a session is there (client).
    accepted: bool,
    pub(super) wait: Option<Wait>,
    /// What came meanwhile.
    pub(super) held: Vec<u8>,
    pub(super) message: Option<Message>,
    /// No more bytes will come.
    pub(super) ended: bool,
}

#[derive(Debug)]
enum Part {
    Unknown(Int),
    Local,
    SessionId(Int),
    Control(Frames),
    Encoder,
    Decoder,
    Exchange(Frames, Capsules),
    Opaque,
}

/// Why bytes are held.
#[derive(Debug)]
pub(super) enum Wait {
    /// A section that was complete when `around` entries had been inserted.
    Section {
        section: Vec<u8>,
        around: u64,
        required: u64,
    },
    /// What the stream is for has to be learned.
    Kind,
}

impl Stream {
    pub(super) fn new(id: StreamId, side: Side) -> Self {
        let part = match (id.dir(), id.initiator() == side) {
            (_, false) => Part::Unknown(Int::default()),
            (Dir::Bi, true) => Part::Local,
            (Dir::Uni, true) => Part::Opaque,
        };
        Self {
            id,
            part,
            kind: None,
            accepted: false,
            wait: None,
            held: Vec::new(),
            message: None,
            ended: false,
        }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// Takes bytes from the front of `input`, all of them unless it has to wait.
    pub(super) fn advance(&mut self, input: &mut &[u8], shared: &mut Shared, out: &mut Output<'_>) {
        while self.wait.is_none() && !input.is_empty() {
            match &mut self.part {
                Part::Unknown(int) => {
                    if let Some(ty) = int.read(input, out) {
                        self.part = self.identify(ty, shared);
                    }
                }
                Part::Local => match self.kind {
                    None => self.wait = Some(Wait::Kind),
                    Some(Kind::Data) => self.part = Part::Opaque,
                    Some(Kind::Exchange | Kind::Session) => {
                        let frames = Frames::new(Rules::Request(shared.section), shared.side);
                        self.part = Part::Exchange(frames, Capsules::new());
                    }
                },
                Part::SessionId(int) => {
                    if int.read(input, out).is_some() {
                        self.part = Part::Opaque;
                    }
                }
                Part::Control(frames) => {
                    frames.read(input, out);
                }
                Part::Encoder => {
                    let mut bytes = Vec::new();
                    let (mask, hider) = (&shared.mask, &mut shared.hider);
                    let hide = |name: Option<&[u8]>, value: &[u8]| mask.field(name, value);
                    hider.encoder_stream(std::mem::take(input), &mut bytes, &hide);
                    out.bytes(&bytes);
                }
                Part::Decoder => out.bytes(std::mem::take(input)),
                Part::Exchange(frames, _) => {
                    if let Some(item) = frames.read(input, out) {
                        self.exchange(item, shared, out);
                    }
                }
                Part::Opaque => out.filler(std::mem::take(input).len() as u64),
            }
        }
    }

    fn identify(&self, ty: u64, shared: &mut Shared) -> Part {
        match (self.id.dir(), UniType::new(ty)) {
            (Dir::Uni, UniType::Control) => Part::Control(Frames::new(
                Rules::Control(shared.control_frame),
                shared.side,
            )),
            //= https://www.rfc-editor.org/rfc/rfc9204#section-4.2
            // There is one; a second one ends the connection.
            (Dir::Uni, UniType::QpackEncoder) if shared.encoder.is_none() => {
                shared.encoder = Some(self.id);
                Part::Encoder
            }
            (Dir::Uni, UniType::QpackDecoder) if shared.decoder.is_none() => {
                shared.decoder = Some(self.id);
                Part::Decoder
            }
            (Dir::Uni, UniType::WebTransport) if shared.webtransport => {
                Part::SessionId(Int::default())
            }
            (Dir::Bi, _) if ty == WT_BIDI_SIGNAL && shared.webtransport => {
                Part::SessionId(Int::default())
            }
            (Dir::Bi, _) if shared.side == Side::Server => Part::Exchange(
                Frames::after_type(Rules::Request(shared.section), shared.side, ty),
                Capsules::new(),
            ),
            _ => Part::Opaque,
        }
    }

    fn exchange(&mut self, item: Item<'_>, shared: &mut Shared, out: &mut Output<'_>) {
        match item {
            Item::Section(section) => {
                let around = shared.hider.inserted();
                match shared.hider.required(&section) {
                    Some(required) if required > around => {
                        self.wait = Some(Wait::Section {
                            section,
                            around,
                            required,
                        });
                    }
                    _ => self.rewrite(&section, around, shared, out),
                }
            }
            Item::Content => {
                if self.kind.is_none() {
                    self.wait = Some(Wait::Kind);
                }
            }
            Item::Data(content) => {
                // A refusal has content of its own.
                let session = shared.side == Side::Server || self.accepted;
                match &mut self.part {
                    Part::Exchange(_, capsules) if self.kind == Some(Kind::Session) && session => {
                        capsules.read(content, &shared.mask, out);
                    }
                    _ => out.filler(content.len() as u64),
                }
            }
        }
    }

    fn rewrite(&mut self, section: &[u8], around: u64, shared: &Shared, out: &mut Output<'_>) {
        let status = Cell::new(None);
        let hide = |name: Option<&[u8]>, value: &[u8]| {
            if name == Some(b":status") {
                status.set(value.first().copied());
            }
            shared.mask.field(name, value)
        };
        let mut bytes = Vec::new();
        shared.hider.section(section, around, &mut bytes, &hide);
        out.bytes(&bytes);
        self.accepted |= status.get() == Some(b'2');
    }

    /// Goes on with a section whose insertions have come.
    pub(super) fn unblock(&mut self, shared: &Shared, out: &mut Output<'_>) {
        if let Some(Wait::Section {
            section, around, ..
        }) = self.wait.take()
        {
            self.rewrite(&section, around, shared, out);
        }
    }

    /// Goes on without what is waited for, so that nothing is told that might be
    /// secret.
    pub(super) fn give_up(&mut self, shared: &Shared, out: &mut Output<'_>) {
        match self.wait.take() {
            None => {}
            Some(Wait::Section {
                section, around, ..
            }) => {
                let mut bytes = Vec::new();
                shared.hider.waiting_section(&section, around, &mut bytes);
                out.bytes(&bytes);
            }
            Some(Wait::Kind) => {
                self.kind = Some(match self.part {
                    Part::Local => Kind::Data,
                    _ => Kind::Exchange,
                });
            }
        }
    }

    /// Hands out what was held of a unit that stays incomplete.
    pub(super) fn finish(&mut self, shared: &mut Shared, out: &mut Output<'_>) {
        match &mut self.part {
            Part::Encoder => {
                let mut bytes = Vec::new();
                shared.hider.finish(&mut bytes);
                out.bytes(&bytes);
            }
            Part::Exchange(frames, _) => frames.finish(out),
            _ => {}
        }
        out.drop_text();
    }
}
