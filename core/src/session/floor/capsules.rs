//! The capsules of a CONNECT stream (RFC 9297 §3).

use bytes::Bytes;

use crate::fault::Violation;
use crate::wire::capsule_reader::{CapsuleEvent, CapsuleReader, CapsuleRules};
use crate::wire::seen::Seen;

/// What has been read of the capsules of one session. It owns no memory between two
/// capsules.
#[derive(Debug, Default)]
pub(crate) struct CapsuleStream(Option<Box<CapsuleReader>>);

impl CapsuleStream {
    /// Takes bytes from the front of `content` up to the end of the next event;
    /// `None` when they are used up. Tells what they are.
    pub(crate) fn read(
        &mut self,
        content: &mut Bytes,
        rules: &CapsuleRules<'_>,
        seen: &mut impl FnMut(Seen<'_>),
    ) -> Result<Option<CapsuleEvent>, Violation> {
        let reader = self.0.get_or_insert_default();
        let event = reader.read_seen(content, rules, seen)?;
        if content.is_empty() && reader.finish().is_ok() {
            self.0 = None;
        }
        Ok(event)
    }

    /// The peer ended the stream cleanly; an error inside a capsule.
    pub(crate) fn finish(&self) -> Result<(), Violation> {
        match &self.0 {
            Some(reader) => Ok(reader.finish()?),
            None => Ok(()),
        }
    }
}
