//! Capsules (RFC 9297 section 3) for protocols of an application's own on the content
//! of an extended CONNECT stream.
//!
//! No connection is needed for them: [`Reader`] takes bytes in chunks of any size, and
//! [`encode_header`] gives the bytes that go before a value.

use bytes::{BufMut, Bytes};

use crate::wire::varint::OutOfRange;

pub use crate::wire::capsule::{CapsuleError, CapsuleType, encode_header};
pub use crate::wire::capsule_stream::{Part, Reader};

/// A capsule whose value is held in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawCapsule {
    /// Its type.
    pub ty: CapsuleType,
    /// Its value.
    pub value: Bytes,
}

impl RawCapsule {
    /// A capsule.
    #[must_use]
    pub fn new(ty: CapsuleType, value: impl Into<Bytes>) -> Self {
        let value = value.into();
        Self { ty, value }
    }

    /// Appends header and value: one copy.
    ///
    /// # Errors
    /// [`OutOfRange`] for a type above 2^62 - 1; nothing is written.
    pub fn put(&self, buf: &mut impl BufMut) -> Result<(), OutOfRange> {
        buf.put_slice(&encode_header(self.ty, self.value.len() as u64)?);
        buf.put_slice(&self.value);
        Ok(())
    }
}
