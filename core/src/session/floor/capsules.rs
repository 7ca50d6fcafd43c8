//! The capsules of a CONNECT stream (RFC 9297 §3).

use bytes::Bytes;

use crate::fault::Violation;
use crate::wire::capsule_reader::{CapsuleEvent, CapsuleReader, CapsuleRules};
use crate::wire::seen::Seen;

/// What has been read of the capsules of one session.
#[derive(Debug, Default)]
pub(crate) struct CapsuleStream(CapsuleReader);

impl CapsuleStream {
    /// Takes bytes from the front of `content` up to the end of the next event;
    /// `None` when they are used up. Tells what they are.
    pub(crate) fn read(
        &mut self,
        content: &mut Bytes,
        rules: &CapsuleRules<'_>,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Option<CapsuleEvent>, Violation> {
        Ok(self.0.read_seen(content, rules, seen)?)
    }

    /// The peer ended the stream cleanly; an error inside a capsule.
    pub(crate) fn finish(&self) -> Result<(), Violation> {
        Ok(self.0.finish()?)
    }
}
