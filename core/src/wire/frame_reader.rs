//! Push decoder for the frames of one stream: chunks in, events out.
//!
//! ```text
//!            type            length
//!   Type ----------> Length --------+--> Data(left) ---- left = 0 ---> Type
//!    ^                              +--> Skip(left) ---- left = 0 ---> Type
//!    |                              +--> Gather(left) -- left = 0 --+
//!    +--------------- event with the payload -----------------------+
//!   any ---- rule broken ----> Failed (repeats its error)
//! ```

use bytes::Bytes;
use thiserror::Error;

use super::{
    cursor::Prefix,
    frame::{FrameType, StreamKind, Verdict},
    payload::{Gather, split},
    seen::Seen,
    varint,
};
use crate::id::Side;

/// What the stream permits. Borrowed at each read, so that a stream holds no
/// copy.
#[derive(Clone, Copy, Debug)]
pub struct FrameRules {
    /// The kind of stream read.
    pub kind: StreamKind,
    /// Which end is reading.
    pub receiver: Side,
    /// Longest encoded field section in HEADERS and PUSH_PROMISE, bytes.
    pub max_section: u64,
    /// Longest payload of SETTINGS, PRIORITY_UPDATE and ORIGIN, bytes.
    pub max_control: u64,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameEvent {
    /// A DATA frame begins; `len` bytes of content follow, possibly none.
    DataStart {
        /// Declared payload length.
        len: u64,
    },
    /// Content, never empty, a slice of the input.
    Data(Bytes),
    /// A complete encoded field section.
    Headers(Bytes),
    /// A complete SETTINGS payload, not yet examined.
    Settings(Bytes),
    /// GOAWAY with a stream id (from a server) or push id (from a client).
    Goaway(u64),
    /// CANCEL_PUSH with a push id.
    CancelPush(u64),
    /// MAX_PUSH_ID with a push id.
    MaxPushId(u64),
    /// A complete PUSH_PROMISE.
    PushPromise {
        /// Push id.
        id: u64,
        /// Encoded field section.
        section: Bytes,
    },
    /// A complete PRIORITY_UPDATE.
    PriorityUpdate {
        /// Whether `id` is a push id rather than a stream id.
        push: bool,
        /// Prioritized element id.
        id: u64,
        /// Priority field value, not yet examined.
        value: Bytes,
    },
    /// A complete ORIGIN payload; see [`super::frame::Origins`].
    Origin(Bytes),
    /// A frame of unknown or reserved type begins. Its payload is skipped.
    UnknownStart {
        /// Frame type.
        ty: u64,
        /// Declared payload length.
        len: u64,
    },
}

/// A violation of the framing rules. All are connection errors, but for HEADERS that are
/// too large ([`Self::is_large_section`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A known frame where it may not be, a second SETTINGS, or a type that
    /// HTTP/3 forbids.
    #[error("{0} is not permitted here")]
    Unexpected(FrameType),
    /// The control stream begins with this instead of SETTINGS.
    #[error("control stream begins with {0}")]
    MissingSettings(FrameType),
    /// A payload longer than we accept.
    #[error("{ty} of {len} bytes is too large")]
    TooLarge {
        /// Frame type.
        ty: FrameType,
        /// Declared payload length.
        len: u64,
    },
    /// A payload longer or shorter than its fields.
    #[error("payload of {0} does not match its fields")]
    Malformed(FrameType),
    /// The WebTransport signal value other than at the start of a stream.
    #[error("WebTransport signal inside a stream")]
    Signal,
    /// The stream ended inside a frame.
    #[error("stream ended inside a frame")]
    Truncated,
}

impl FrameError {
    /// Whether it is the size of a message's field section, which concerns nothing but
    /// that message.
    #[must_use]
    pub fn is_large_section(&self) -> bool {
        matches!(self, Self::TooLarge { ty, .. } if *ty == FrameType::HEADERS)
    }
}

/// Reads the frames of one stream.
///
/// Holds at most seven bytes of a frame header, or what has arrived of one
/// capped payload; content is passed through. The buffer of a payload grows
/// with its bytes, not with its declared length. After an error, every further
/// read repeats it.
#[derive(Debug)]
pub struct FrameReader {
    prefix: Prefix,
    seen_settings: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Type,
    Length(u64),
    Data(u64),
    Skip(u64),
    Gather { ty: Gathered, gather: Gather },
    Failed(FrameError),
}

/// The frames whose payload is collected before it is reported.
#[derive(Clone, Copy, Debug)]
enum Gathered {
    Headers,
    CancelPush,
    Settings,
    PushPromise,
    Goaway,
    Origin,
    MaxPushId,
    PriorityRequest,
    PriorityPush,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameReader {
    /// At the start of a frame.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            prefix: Prefix::new(),
            seen_settings: false,
            state: State::Type,
        }
    }

    /// At the length of a first frame whose type has been read already, to
    /// tell a request stream from a WebTransport stream.
    ///
    /// # Errors
    /// As [`FrameReader::read`] for that type.
    pub fn after_type(ty: u64, rules: &FrameRules) -> Result<Self, FrameError> {
        let mut reader = Self::new();
        reader.accept_type(ty, rules)?;
        reader.state = State::Length(ty);
        Ok(reader)
    }

    /// Takes bytes from the front of `input` up to the end of the next event.
    /// `None` means that `input` is used up.
    ///
    /// # Errors
    /// [`FrameError`], as early as the bytes decide it: a wrong type before the
    /// length is read, a wrong length before any payload is.
    pub fn read(
        &mut self,
        input: &mut Bytes,
        rules: &FrameRules,
    ) -> Result<Option<FrameEvent>, FrameError> {
        self.read_seen(input, rules, &mut |_| {})
    }

    /// As [`Self::read`]; tells what the bytes are, but for those of field sections
    /// and content, which others look into.
    #[doc(hidden)]
    pub fn read_seen(
        &mut self,
        input: &mut Bytes,
        rules: &FrameRules,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Option<FrameEvent>, FrameError> {
        let result = self.step(input, rules, seen);
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        result
    }

    /// Declares that the stream ended cleanly.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] inside a frame; an earlier error again.
    pub const fn finish(&self) -> Result<(), FrameError> {
        //= https://www.rfc-editor.org/rfc/rfc9114#section-7.1
        // Only a reset may cut a frame short.
        match self.state {
            State::Type if self.prefix.is_empty() => Ok(()),
            State::Failed(error) => Err(error),
            _ => Err(FrameError::Truncated),
        }
    }

    /// Whether the reader stands between two frames.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        matches!(self.state, State::Type) && self.prefix.is_empty()
    }

    /// Length of the field section of which a part has come.
    #[must_use]
    pub(crate) fn section_under_way(&self) -> Option<u64> {
        match &self.state {
            State::Gather {
                ty: Gathered::Headers,
                gather,
            } => Some(gather.len()),
            _ => None,
        }
    }

    fn step(
        &mut self,
        input: &mut Bytes,
        rules: &FrameRules,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Option<FrameEvent>, FrameError> {
        loop {
            let before = input.len();
            match &mut self.state {
                State::Type => {
                    let ty = self.prefix.read(input);
                    seen(Seen::Structure(before - input.len()));
                    let Some(ty) = ty else {
                        return Ok(None);
                    };
                    self.accept_type(ty, rules)?;
                    self.state = State::Length(ty);
                }
                State::Length(ty) => {
                    let ty = *ty;
                    let len = self.prefix.read(input);
                    seen(Seen::Structure(before - input.len()));
                    let Some(len) = len else {
                        return Ok(None);
                    };
                    if let Some(event) = self.begin_payload(FrameType(ty), len, rules)? {
                        return Ok(Some(event));
                    }
                }
                State::Data(left) => {
                    let chunk = split(input, *left);
                    if chunk.is_empty() {
                        return Ok(None);
                    }
                    *left -= chunk.len() as u64;
                    if *left == 0 {
                        self.state = State::Type;
                    }
                    return Ok(Some(FrameEvent::Data(chunk)));
                }
                State::Skip(left) => {
                    let skipped = split(input, *left).len();
                    seen(Seen::Payload(skipped));
                    *left -= skipped as u64;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Type;
                }
                State::Gather { ty, gather } => {
                    let first = gather.before() == 0;
                    let payload = gather.take(input);
                    ty.tell(before - input.len(), first, seen);
                    let Some(payload) = payload else {
                        return Ok(None);
                    };
                    let ty = *ty;
                    self.state = State::Type;
                    return ty.event(payload).map(Some);
                }
                State::Failed(error) => return Err(*error),
            }
        }
    }

    fn accept_type(&mut self, ty: u64, rules: &FrameRules) -> Result<(), FrameError> {
        let ty = FrameType(ty);
        if rules.kind == StreamKind::Control {
            let first = !self.seen_settings;
            self.seen_settings = true;
            //= https://www.rfc-editor.org/rfc/rfc9114#section-6.2.1
            // Anything else first, unknown types included, is a missing SETTINGS.
            if first && ty != FrameType::SETTINGS {
                return Err(FrameError::MissingSettings(ty));
            }
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.4
            // SETTINGS cannot be changed, so a second one is out of place.
            if !first && ty == FrameType::SETTINGS {
                return Err(FrameError::Unexpected(ty));
            }
        }
        match ty.verdict(rules.kind, rules.receiver) {
            Verdict::Expected | Verdict::Unknown => Ok(()),
            //= https://www.rfc-editor.org/rfc/rfc9114#section-7.2.8
            // The numbers of HTTP/2 frames without an equivalent land here too.
            Verdict::Unexpected => Err(FrameError::Unexpected(ty)),
            Verdict::Signal => Err(FrameError::Signal),
        }
    }

    /// Chooses how to treat a payload of `len` bytes; the frames that are
    /// announced yield their event here.
    fn begin_payload(
        &mut self,
        ty: FrameType,
        len: u64,
        rules: &FrameRules,
    ) -> Result<Option<FrameEvent>, FrameError> {
        let gathered = match ty {
            FrameType::DATA => {
                self.state = if len == 0 {
                    State::Type
                } else {
                    State::Data(len)
                };
                return Ok(Some(FrameEvent::DataStart { len }));
            }
            FrameType::HEADERS => Gathered::Headers,
            FrameType::CANCEL_PUSH => Gathered::CancelPush,
            FrameType::SETTINGS => Gathered::Settings,
            FrameType::PUSH_PROMISE => Gathered::PushPromise,
            FrameType::GOAWAY => Gathered::Goaway,
            FrameType::ORIGIN => Gathered::Origin,
            FrameType::MAX_PUSH_ID => Gathered::MaxPushId,
            FrameType::PRIORITY_UPDATE_REQUEST => Gathered::PriorityRequest,
            FrameType::PRIORITY_UPDATE_PUSH => Gathered::PriorityPush,
            // `accept_type` lets only unknown types come this far.
            FrameType(ty) => {
                self.state = if len == 0 {
                    State::Type
                } else {
                    State::Skip(len)
                };
                return Ok(Some(FrameEvent::UnknownStart { ty, len }));
            }
        };
        let (shortest, longest) = gathered.bounds(rules);
        //= https://www.rfc-editor.org/rfc/rfc9114#section-7.1
        // A length no arrangement of the fields can have is wrong at once.
        if len < shortest || (gathered.is_one_id() && len > longest) {
            return Err(FrameError::Malformed(ty));
        }
        //= https://www.rfc-editor.org/rfc/rfc9114#section-10.5
        // Refused before a byte of the payload is kept.
        if len > longest {
            return Err(FrameError::TooLarge { ty, len });
        }
        self.state = if len == 0 {
            State::Type
        } else {
            State::Gather {
                ty: gathered,
                gather: Gather::new(len),
            }
        };
        if len == 0 {
            gathered.event(Bytes::new()).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl Gathered {
    const fn frame_type(self) -> FrameType {
        match self {
            Self::Headers => FrameType::HEADERS,
            Self::CancelPush => FrameType::CANCEL_PUSH,
            Self::Settings => FrameType::SETTINGS,
            Self::PushPromise => FrameType::PUSH_PROMISE,
            Self::Goaway => FrameType::GOAWAY,
            Self::Origin => FrameType::ORIGIN,
            Self::MaxPushId => FrameType::MAX_PUSH_ID,
            Self::PriorityRequest => FrameType::PRIORITY_UPDATE_REQUEST,
            Self::PriorityPush => FrameType::PRIORITY_UPDATE_PUSH,
        }
    }

    /// Tells what bytes of the payload are.
    fn tell(self, bytes: usize, first: bool, seen: &mut impl FnMut(Seen<'_>)) {
        match self {
            Self::Headers => {}
            // Nobody decodes a promise. Its first byte decides whether the push id
            // fits into it.
            Self::PushPromise => {
                let id = bytes.min(usize::from(first));
                seen(Seen::Structure(id));
                seen(Seen::Payload(bytes - id));
            }
            _ => seen(Seen::Structure(bytes)),
        }
    }

    const fn is_one_id(self) -> bool {
        matches!(self, Self::CancelPush | Self::Goaway | Self::MaxPushId)
    }

    /// Shortest payload the fields allow and longest that is accepted.
    const fn bounds(self, rules: &FrameRules) -> (u64, u64) {
        match self {
            Self::CancelPush | Self::Goaway | Self::MaxPushId => (1, 8),
            Self::Headers => (0, rules.max_section),
            Self::PushPromise => (1, rules.max_section.saturating_add(8)),
            Self::Settings | Self::Origin => (0, rules.max_control),
            Self::PriorityRequest | Self::PriorityPush => (1, rules.max_control),
        }
    }

    /// Parses a complete payload.
    fn event(self, mut payload: Bytes) -> Result<FrameEvent, FrameError> {
        let malformed = FrameError::Malformed(self.frame_type());
        match self {
            Self::Headers => return Ok(FrameEvent::Headers(payload)),
            Self::Settings => return Ok(FrameEvent::Settings(payload)),
            Self::Origin => return Ok(FrameEvent::Origin(payload)),
            _ => {}
        }
        let id = varint::take(&mut payload).ok_or(malformed)?;
        if self.is_one_id() && !payload.is_empty() {
            return Err(malformed);
        }
        Ok(match self {
            Self::CancelPush => FrameEvent::CancelPush(id),
            Self::Goaway => FrameEvent::Goaway(id),
            Self::MaxPushId => FrameEvent::MaxPushId(id),
            Self::PriorityRequest => FrameEvent::PriorityUpdate {
                push: false,
                id,
                value: payload,
            },
            Self::PriorityPush => FrameEvent::PriorityUpdate {
                push: true,
                id,
                value: payload,
            },
            Self::PushPromise => FrameEvent::PushPromise {
                id,
                section: payload,
            },
            Self::Headers | Self::Settings | Self::Origin => return Err(malformed),
        })
    }
}

#[cfg(test)]
mod tests;
