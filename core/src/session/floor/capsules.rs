//! The capsules of a CONNECT stream (RFC 9297 §3).

use bytes::Bytes;

use crate::fault::Violation;
use crate::wire::capsule::CapsuleError;
use crate::wire::capsule_reader::{CapsuleEvent, CapsuleReader, CapsuleRules};

impl From<CapsuleError> for Violation {
    fn from(error: CapsuleError) -> Self {
        match error {
            CapsuleError::ReasonTooLong | CapsuleError::ReasonNotUtf8 => Self::CloseReasonInvalid,
            CapsuleError::Truncated => Self::CapsuleTruncated,
            CapsuleError::Malformed(_) | CapsuleError::TooLarge(_) => Self::CapsuleMalformed,
        }
    }
}

/// What has been read of the capsules of one session.
#[derive(Debug, Default)]
pub(crate) struct CapsuleStream(CapsuleReader);

impl CapsuleStream {
    /// Takes bytes from the front of `content` up to the end of the next event;
    /// `None` when they are used up.
    pub(crate) fn read(
        &mut self,
        content: &mut Bytes,
        rules: &CapsuleRules<'_>,
    ) -> Result<Option<CapsuleEvent>, Violation> {
        Ok(self.0.read(content, rules)?)
    }

    /// The peer ended the stream cleanly; an error inside a capsule.
    pub(crate) fn finish(&self) -> Result<(), Violation> {
        Ok(self.0.finish()?)
    }
}
