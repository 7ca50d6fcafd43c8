//! Push decoder for the capsules of one stream: content chunks in, events out.
use bytes::Bytes;

use super::{
    capsule::{Capsule, CapsuleError, CapsuleType, MAX_REASON},
    cursor::Prefix,
    payload::{Gather, split},
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
    prefix: Prefix,
    state: State,
}

#[derive(Debug)]
enum State {
    Type,
    Length(CapsuleType),
    Skip(u64),
    Gather { ty: CapsuleType, gather: Gather },
    Failed(CapsuleError),
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
            prefix: Prefix::new(),
            state: State::Type,
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
        let result = self.step(input, rules);
        if let Err(error) = result {
            self.state = State::Failed(error);
        }
        result
    }

    /// Declares that the stream ended cleanly.
    ///
    /// # Errors
    /// [`CapsuleError::Truncated`] inside a capsule; an earlier error again.
    pub const fn finish(&self) -> Result<(), CapsuleError> {
        //= https://www.rfc-editor.org/rfc/rfc9297#section-3.3
        // A message that ends inside a capsule is malformed.
        match self.state {
            State::Type if self.prefix.is_empty() => Ok(()),
            State::Failed(error) => Err(error),
            _ => Err(CapsuleError::Truncated),
        }
    }

    fn step(
        &mut self,
        input: &mut Bytes,
        rules: &CapsuleRules<'_>,
    ) -> Result<Option<CapsuleEvent>, CapsuleError> {
        loop {
            match &mut self.state {
                State::Type => {
                    let Some(ty) = self.prefix.read(input) else {
                        return Ok(None);
                    };
                    self.state = State::Length(CapsuleType(ty));
                }
                State::Length(ty) => {
                    let ty = *ty;
                    let Some(len) = self.prefix.read(input) else {
                        return Ok(None);
                    };
                    if let Some(event) = self.begin_value(ty, len, rules)? {
                        return Ok(Some(event));
                    }
                }
                State::Skip(left) => {
                    *left -= split(input, *left).len() as u64;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::Type;
                }
                State::Gather { ty, gather } => {
                    let Some(value) = gather.take(input) else {
                        return Ok(None);
                    };
                    let ty = *ty;
                    self.state = State::Type;
                    return complete(ty, value).map(Some);
                }
                State::Failed(error) => return Err(*error),
            }
        }
    }

    /// Chooses how to treat a value of `len` bytes.
    fn begin_value(
        &mut self,
        ty: CapsuleType,
        len: u64,
        rules: &CapsuleRules<'_>,
    ) -> Result<Option<CapsuleEvent>, CapsuleError> {
        let bounds = if rules.webtransport {
            ty.webtransport_bounds()
        } else {
            None
        };
        let skipped = if ty == CapsuleType::DATAGRAM {
            //= https://www.rfc-editor.org/rfc/rfc9297#section-3.5
            // Datagrams may be dropped, so a long one costs nothing.
            (len > rules.max_datagram).then_some(CapsuleEvent::DatagramDropped { len })
        } else if let Some((shortest, longest)) = bounds {
            if ty == CapsuleType::WT_CLOSE_SESSION && len > 4 + MAX_REASON as u64 {
                return Err(CapsuleError::ReasonTooLong);
            }
            if len < shortest || len > longest {
                return Err(CapsuleError::Malformed(ty));
            }
            None
        } else if let Some((_, longest)) = rules.claimed.iter().find(|(claimed, _)| *claimed == ty)
        {
            if len > *longest {
                return Err(CapsuleError::TooLarge(ty));
            }
            None
        } else {
            //= https://www.rfc-editor.org/rfc/rfc9297#section-3.2
            // Types nobody here defines are passed over in silence.
            Some(CapsuleEvent::Skipped { ty, len })
        };
        if skipped.is_some() {
            self.state = if len == 0 {
                State::Type
            } else {
                State::Skip(len)
            };
            return Ok(skipped);
        }
        if len == 0 {
            self.state = State::Type;
            return complete(ty, Bytes::new()).map(Some);
        }
        self.state = State::Gather {
            ty,
            gather: Gather::new(len),
        };
        Ok(None)
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
