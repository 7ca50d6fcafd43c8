//! What readers make of the bytes of a stream, for whoever looks on: the one place
//! that knows what is structure and what is somebody's secret is the parser.

use super::qpack::Text;

/// The next bytes of a stream, in its order, as the reader understood them. What a
/// reader refuses, or never comes to, is not told. Who keeps secrets has to know all of
/// these, so that one more is a change for everybody.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// Types, lengths, ids, frames and capsules that the connection itself reads.
    Structure(usize),
    /// What means nothing to the connection, and goes on or is skipped.
    Payload(usize),
    /// The same, put together before it goes on.
    Gathered(usize),
    /// Text for people. The last byte of one is told when all of it is valid UTF-8.
    Text(usize),
    /// A line or instruction of QPACK: `head` bytes, then the value as it stands on
    /// the wire.
    Field {
        /// Bytes before the value.
        head: usize,
        /// The field's name, from wherever it was.
        name: Text<'a>,
        /// Its value.
        value: Text<'a>,
    },
    /// The lines that were told make a field section of so many bytes, as limits
    /// count them. It may be much more than came.
    Decoded(u64),
    /// A field section of ours was encoded and goes out next: in how many bytes depends
    /// on what it says.
    Encoded,
    /// An instruction of the peer's decoder, about our encoder's table, that was followed.
    Ack(usize),
    /// What makes no sense where it stands.
    Refused(usize),
    /// The next bytes are structure if the stream ends here; told again if not.
    Ahead(usize),
    /// The stream is forgotten: nothing more of it will be told.
    Over,
}

impl Seen<'_> {
    /// Bytes that are done with by this.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Structure(len)
            | Self::Payload(len)
            | Self::Gathered(len)
            | Self::Text(len)
            | Self::Ack(len)
            | Self::Refused(len) => *len,
            Self::Field { head, value, .. } => head + value.wire().len(),
            Self::Decoded(_) | Self::Encoded | Self::Ahead(_) | Self::Over => 0,
        }
    }
}
