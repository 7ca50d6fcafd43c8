//! Push decoder for the capsules of one stream that mean something to us: content
//! chunks in, events out.
use bytes::Bytes;

use super::{
    capsule::{Capsule, CapsuleError, CapsuleType, MAX_REASON},
    capsule_stream::{Part, Reader},
    payload::Gather,
    seen::Seen,
};

/// What the protocol on the stream defines. Borrowed at each read.
#[derive(Clone, Copy, Debug)]
pub struct CapsuleRules<'a> {
    /// Longest DATAGRAM payload to deliver, bytes; longer ones are dropped.
    pub max_datagram: u64,
    /// Whether the WebTransport capsules mean anything here.
    pub webtransport: bool,
    /// Further types to collect, each with the longest value accepted, bytes.
    pub claimed: &'a [(CapsuleType, u64)],
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapsuleEvent {
    /// A complete capsule.
    Capsule(Capsule),
    /// A DATAGRAM above the cap begins. Its payload is dropped.
    DatagramDropped {
        /// Declared payload length.
        len: u64,
    },
    /// A capsule of unknown or reserved type begins. Its value is skipped.
    Skipped {
        /// Capsule type.
        ty: CapsuleType,
        /// Declared value length.
        len: u64,
    },
}

/// Reads the capsules of one stream.
///
/// Holds at most seven bytes of a capsule header, or what has arrived of one
/// capped value. The buffer grows with its bytes, not with the declared length.
/// After an error, every further read repeats it.
#[derive(Debug)]
pub struct CapsuleReader {
    parts: Reader,
    /// The value that is being gathered.
    value: Option<(CapsuleType, Gather)>,
    failed: Option<CapsuleError>,
}

impl Default for CapsuleReader {
    fn default() -> Self {
        Self::new()
    }
}

impl CapsuleReader {
    /// At the start of a capsule.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            parts: Reader::new(),
            value: None,
            failed: None,
        }
    }

    /// Takes bytes from the front of `input` up to the end of the next event.
    /// `None` means that `input` is used up.
    ///
    /// # Errors
    /// [`CapsuleError`], for a wrong length before any of the value is kept.
    pub fn read(
        &mut self,
        input: &mut Bytes,
        rules: &CapsuleRules<'_>,
    ) -> Result<Option<CapsuleEvent>, CapsuleError> {
        self.read_seen(input, rules, &mut |_| {})
    }

    /// As [`Self::read`]; tells what the bytes are.
    #[doc(hidden)]
    pub fn read_seen(
        &mut self,
        input: &mut Bytes,
        rules: &CapsuleRules<'_>,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Option<CapsuleEvent>, CapsuleError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.step(input, rules, seen);
        self.failed = result.as_ref().err().copied();
        result
    }

    /// Declares that the stream ended cleanly.
    ///
    /// # Errors
    /// [`CapsuleError::Truncated`] inside a capsule; an earlier error again.
    pub const fn finish(&self) -> Result<(), CapsuleError> {
        match self.failed {
            Some(error) => Err(error),
            None => self.parts.finish(),
        }
    }

    fn step(
        &mut self,
        input: &mut Bytes,
        rules: &CapsuleRules<'_>,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Option<CapsuleEvent>, CapsuleError> {
        while let Some(part) = self.parts.read_seen(input, seen)? {
            match part {
                Part::Start { ty, len } => {
                    if let Some(event) = Self::passed_over(ty, len, rules)? {
                        self.parts.skip();
                        return Ok(Some(event));
                    }
                    self.value = Some((ty, Gather::new(len)));
                }
                Part::Piece(mut piece) => {
                    let Some((ty, gather)) = &mut self.value else {
                        continue;
                    };
                    let (ty, from, bytes) = (*ty, gather.before(), piece.len());
                    let value = gather.take(&mut piece);
                    let withheld = tell(ty, from, bytes, value.is_some(), seen);
                    if let Some(value) = value {
                        self.value = None;
                        let event = complete(ty, value)?;
                        seen(Seen::Text(withheld));
                        return Ok(Some(event));
                    }
                }
                // A value that came in pieces is complete with its last.
                Part::End => {
                    if let Some((ty, _)) = self.value.take() {
                        return complete(ty, Bytes::new()).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    /// What to tell of a value of `len` bytes that is not gathered.
    fn passed_over(
        ty: CapsuleType,
        len: u64,
        rules: &CapsuleRules<'_>,
    ) -> Result<Option<CapsuleEvent>, CapsuleError> {
        let bounds = if rules.webtransport {
            ty.webtransport_bounds()
        } else {
            None
        };
        if ty == CapsuleType::DATAGRAM {
            //= https://www.rfc-editor.org/rfc/rfc9297#section-3.5
            // Datagrams may be dropped, so a long one costs nothing.
            return Ok((len > rules.max_datagram).then_some(CapsuleEvent::DatagramDropped { len }));
        }
        if let Some((shortest, longest)) = bounds {
            if ty == CapsuleType::WT_CLOSE_SESSION && len > 4 + MAX_REASON as u64 {
                return Err(CapsuleError::ReasonTooLong);
            }
            if len < shortest || len > longest {
                return Err(CapsuleError::Malformed(ty));
            }
            return Ok(None);
        }
        match rules.claimed.iter().find(|(claimed, _)| *claimed == ty) {
            Some((_, longest)) if len > *longest => Err(CapsuleError::TooLarge(ty)),
            Some(_) => Ok(None),
            //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
            // Types nobody here defines are passed over in silence.
            None => Ok(Some(CapsuleEvent::Skipped { ty, len })),
        }
    }
}

/// Tells what bytes of a value are, `from` of which have come before. Of a text that
/// ends with them, it withholds the last byte and gives 1.
fn tell(
    ty: CapsuleType,
    from: usize,
    bytes: usize,
    ends: bool,
    seen: &mut impl FnMut(Seen<'_>),
) -> usize {
    if ty == CapsuleType::WT_CLOSE_SESSION {
        let code = 4_usize.saturating_sub(from).min(bytes);
        let withheld = usize::from(ends).min(bytes - code);
        seen(Seen::Structure(code));
        seen(Seen::Text(bytes - code - withheld));
        return withheld;
    }
    seen(match ty.webtransport_bounds() {
        Some(_) if ty != CapsuleType::DATAGRAM => Seen::Structure(bytes),
        _ => Seen::Gathered(bytes),
    });
    0
}

fn complete(ty: CapsuleType, value: Bytes) -> Result<CapsuleEvent, CapsuleError> {
    Ok(CapsuleEvent::Capsule(if ty == CapsuleType::DATAGRAM {
        Capsule::Datagram(value)
    } else if ty.webtransport_bounds().is_some() {
        ty.webtransport(value)?
    } else {
        Capsule::Other(ty, value)
    }))
}

#[cfg(test)]
mod tests;
