//! Push decoder for the capsules of one stream that mean something to us: content
//! chunks in, events out.
use bytes::Bytes;

use super::{
    capsule::{Capsule, CapsuleError, CapsuleType, MAX_REASON},
    capsule_stream::{Part, Reader},
    payload::Gather,
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
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.step(input, rules);
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
    ) -> Result<Option<CapsuleEvent>, CapsuleError> {
        while let Some(part) = self.parts.read(input)? {
            match part {
                Part::Start { ty, len } => {
                    if let Some(event) = Self::passed_over(ty, len, rules)? {
                        self.parts.skip();
                        return Ok(Some(event));
                    }
                    self.value = Some((ty, Gather::new(len)));
                }
                Part::Piece(mut piece) => {
                    if let Some((ty, gather)) = &mut self.value
                        && let Some(value) = gather.take(&mut piece)
                    {
                        let ty = *ty;
                        self.value = None;
                        return complete(ty, value).map(Some);
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
