//! The capsules of one stream as they come: headers whole, values in pieces.
//! What is meant by them is the affair of the layers above.
use bytes::Bytes;

use super::{
    capsule::{CapsuleError, CapsuleType},
    cursor::Prefix,
    payload::split,
    seen::Seen,
    varint,
};

/// What comes next on a stream of capsules: type and length, then the value (RFC 9297
/// section 3.2), and nothing else ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A capsule begins.
    Start {
        /// Its type, known or not.
        ty: CapsuleType,
        /// Bytes of its value.
        len: u64,
    },
    /// Some of its value, never empty.
    Piece(Bytes),
    /// All of its value has come.
    End,
}

/// Cuts the bytes of one stream into capsules (RFC 9297 section 3.2).
///
/// It holds at most seven bytes of a header and nothing of a value, so that a
/// length of 2^62 - 1 costs no more than one of 0.
///
/// ```
/// use aqueduct_core::capsule::{CapsuleType, Part, Reader};
/// use bytes::Bytes;
///
/// let mut reader = Reader::new();
/// let mut input = Bytes::from_static(b"\x17\x05hel");
/// let start = Part::Start { ty: CapsuleType(0x17), len: 5 };
/// assert_eq!(reader.read(&mut input), Ok(Some(start)));
/// assert_eq!(reader.read(&mut input), Ok(Some(Part::Piece("hel".into()))));
/// assert_eq!(reader.read(&mut input), Ok(None));
/// assert!(reader.finish().is_err(), "the stream must not end here");
/// ```
#[derive(Debug)]
pub struct Reader {
    prefix: Prefix,
    at: At,
    max_len: u64,
}

#[derive(Debug)]
enum At {
    Type,
    Length(CapsuleType),
    Value { left: u64, skip: bool },
    Failed(CapsuleError),
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// At the start of a capsule; values of any length are passed on.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_max_len(varint::MAX)
    }

    /// As [`Self::new`], and a value of more than `max_len` bytes is an error.
    #[must_use]
    pub const fn with_max_len(max_len: u64) -> Self {
        Self {
            prefix: Prefix::new(),
            at: At::Type,
            max_len,
        }
    }

    /// Takes bytes from the front of `input` up to the end of the next part, none for
    /// [`Part::End`]. `None` means that `input` is used up. Nothing is copied.
    ///
    /// # Errors
    /// [`CapsuleError::TooLarge`] before any of the value, and at every call from then
    /// on.
    pub fn read(&mut self, input: &mut Bytes) -> Result<Option<Part>, CapsuleError> {
        self.read_seen(input, &mut |_| {})
    }

    /// As [`Self::read`]; tells what the bytes are, but for those of the pieces.
    #[doc(hidden)]
    pub fn read_seen(
        &mut self,
        input: &mut Bytes,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Option<Part>, CapsuleError> {
        loop {
            let before = input.len();
            match &mut self.at {
                At::Type => {
                    let ty = self.prefix.read(input);
                    seen(Seen::Structure(before - input.len()));
                    let Some(ty) = ty else {
                        return Ok(None);
                    };
                    self.at = At::Length(CapsuleType(ty));
                }
                At::Length(ty) => {
                    let ty = *ty;
                    let len = self.prefix.read(input);
                    seen(Seen::Structure(before - input.len()));
                    let Some(len) = len else {
                        return Ok(None);
                    };
                    if len > self.max_len {
                        self.at = At::Failed(CapsuleError::TooLarge(ty));
                        continue;
                    }
                    self.at = At::Value {
                        left: len,
                        skip: false,
                    };
                    return Ok(Some(Part::Start { ty, len }));
                }
                At::Value { left: 0, skip } => {
                    let skipped = *skip;
                    self.at = At::Type;
                    if !skipped {
                        return Ok(Some(Part::End));
                    }
                }
                At::Value { left, skip } => {
                    let piece = split(input, *left);
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    *left -= piece.len() as u64;
                    if !*skip {
                        return Ok(Some(Part::Piece(piece)));
                    }
                    seen(Seen::Payload(piece.len()));
                }
                At::Failed(error) => return Err(*error),
            }
        }
    }

    /// Passes over what is left of the capsule that has begun: the next part is the
    /// start of the one behind it. No effect between capsules.
    //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
    // A type nobody here defines is passed over in silence: this is how.
    pub fn skip(&mut self) {
        if let At::Value { skip, .. } = &mut self.at {
            *skip = true;
        }
    }

    /// Declares that the stream ended cleanly.
    ///
    /// # Errors
    /// [`CapsuleError::Truncated`] inside a capsule; an earlier error again.
    pub const fn finish(&self) -> Result<(), CapsuleError> {
        //= https://www.rfc-editor.org/rfc/rfc9297#section-3.3
        // A message that ends inside a capsule is malformed.
        match self.at {
            At::Type if self.prefix.is_empty() => Ok(()),
            At::Value { left: 0, .. } => Ok(()),
            At::Failed(error) => Err(error),
            _ => Err(CapsuleError::Truncated),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::code::Code;
    use crate::wire::{
        capsule, grease,
        testing::{chunks, hex},
        varint::{Head, VarInt},
    };

    /// The parts of a stream, neighbouring pieces joined, and how it ends.
    fn read_cut(wire: &[u8], cuts: &[usize]) -> (Vec<Part>, Result<(), CapsuleError>) {
        let (mut reader, mut parts) = (Reader::with_max_len(1 << 40), Vec::new());
        for mut chunk in chunks(wire, cuts) {
            loop {
                match reader.read(&mut chunk) {
                    Ok(Some(Part::Piece(piece))) => {
                        if let Some(Part::Piece(before)) = parts.last_mut() {
                            *before = [&before[..], &piece].concat().into();
                        } else {
                            parts.push(Part::Piece(piece));
                        }
                    }
                    Ok(Some(part)) => parts.push(part),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(reader.read(&mut chunk), Err(error), "errors repeat");
                        assert_eq!(reader.finish(), Err(error));
                        return (parts, Err(error));
                    }
                }
            }
            assert!(chunk.is_empty(), "None means the input is used up");
        }
        (parts, reader.finish())
    }

    fn start(ty: u64, len: u64) -> Part {
        let ty = CapsuleType(ty);
        Part::Start { ty, len }
    }

    #[test]
    fn known_unknown_and_empty_capsules_are_all_told() {
        let wire = hex("00 02 6869 17 00 990b4d3d 01 05");
        let want = vec![
            start(0, 2),
            Part::Piece("hi".into()),
            Part::End,
            start(0x17, 0),
            Part::End,
            start(CapsuleType::WT_MAX_DATA.0, 1),
            Part::Piece(Bytes::from_static(&[5])),
            Part::End,
        ];
        for cuts in [&[usize::MAX][..], &[1], &[3, 2]] {
            assert_eq!(read_cut(&wire, cuts), (want.clone(), Ok(())));
        }
    }

    #[test]
    fn the_longest_value_is_begun_and_nothing_is_kept_of_it() {
        let mut reader = Reader::new();
        let mut input = Bytes::copy_from_slice(&Head::two(VarInt::from_u32(9), VarInt::MAX));
        assert_eq!(reader.read(&mut input), Ok(Some(start(9, varint::MAX))));
        let body = Bytes::from(vec![0; 100]);
        let piece = reader.read(&mut body.clone()).expect("in bounds");
        let Some(Part::Piece(piece)) = piece else {
            panic!("{piece:?}");
        };
        assert_eq!(piece.as_ptr(), body.as_ptr(), "a slice of what came");
        assert_eq!(reader.finish(), Err(CapsuleError::Truncated));
    }

    #[test]
    fn a_value_above_the_limit_is_refused_unseen() {
        let above = Head::two(
            VarInt::from_u32(9),
            VarInt::new((1 << 40) + 1).expect("fits"),
        );
        let (parts, end) = read_cut(&above, &[1]);
        assert_eq!(end, Err(CapsuleError::TooLarge(CapsuleType(9))));
        assert!(parts.is_empty());
        let at_limit = Head::two(VarInt::from_u32(9), VarInt::new(1 << 40).expect("fits"));
        assert_eq!(read_cut(&at_limit, &[1]).0, [start(9, 1 << 40)]);
    }

    // RFC 9297 section 3.2: unknown types are passed over.
    #[test]
    fn what_is_skipped_is_not_told_any_more() {
        let reserved = grease::reserved_capsule(3);
        let unknown = [&Head::two(reserved, VarInt::from_u32(3))[..], b"abc"].concat();
        let wire = [unknown, hex("00 01 78")].concat();
        for cuts in [&[usize::MAX][..], &[1]] {
            let mut reader = Reader::new();
            let mut parts = Vec::new();
            for mut chunk in chunks(&wire, cuts) {
                while let Some(part) = reader.read(&mut chunk).expect("in bounds") {
                    if matches!(part, Part::Start { ty, .. } if ty.is_reserved()) {
                        reader.skip();
                    } else {
                        parts.push(part);
                    }
                }
            }
            reader.skip();
            assert_eq!(parts, [start(0, 1), Part::Piece("x".into()), Part::End]);
            assert_eq!(reader.finish(), Ok(()));
        }
    }

    // RFC 9297 section 3.3.
    #[test]
    fn an_end_inside_a_capsule_is_a_malformed_message() {
        let wire = hex("4017 02 6869");
        for end in 1..wire.len() {
            let told = read_cut(&wire[..end], &[2]).1;
            assert_eq!(told, Err(CapsuleError::Truncated), "{end}");
        }
        assert_eq!(CapsuleError::Truncated.code(), Code::H3_MESSAGE_ERROR);
        let too_large = CapsuleError::TooLarge(CapsuleType(9));
        assert_eq!(too_large.code(), Code::H3_EXCESSIVE_LOAD);
        assert_eq!(read_cut(&wire, &[2]).1, Ok(()));
        // All of the value has come, whether or not that was told.
        let (mut reader, mut input) = (Reader::new(), Bytes::from(wire));
        while !input.is_empty() {
            reader.read(&mut input).expect("in bounds");
        }
        assert_eq!(reader.finish(), Ok(()));
    }

    proptest! {
        // Row A17, A20: parts do not depend on the chunking.
        #[test]
        fn chunking_does_not_matter(
            wire in prop::collection::vec(any::<u8>(), 0..200),
            cuts in prop::collection::vec(1..9_usize, 1..10),
        ) {
            prop_assert_eq!(read_cut(&wire, &cuts), read_cut(&wire, &[usize::MAX]));
        }

        #[test]
        fn what_was_written_is_read(
            ty in 0..=varint::MAX,
            value in prop::collection::vec(any::<u8>(), 1..100),
        ) {
            let ty = CapsuleType(ty);
            let header = capsule::encode_header(ty, value.len() as u64).expect("in bounds");
            let (parts, end) = read_cut(&[&header[..], &value[..]].concat(), &[7]);
            let len = value.len() as u64;
            prop_assert_eq!(parts, [Part::Start { ty, len }, Part::Piece(value.into()), Part::End]);
            prop_assert_eq!(end, Ok(()));
        }
    }
}
