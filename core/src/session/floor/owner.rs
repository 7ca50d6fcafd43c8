//! Whose stream is it? The one word that the session storey keeps in each slot.

use crate::h3::connection::H3;
use crate::h3::streams::NONE;
use crate::id::StreamKey;

/// Who is told of what happens on a stream.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Owner {
    /// The application, or nobody yet.
    Application,
    /// The application, whose own the stream's type is.
    Claimed,
    /// The application, which takes datagrams for this request: the ring.
    Request(u32),
    /// A session, whose CONNECT stream it is: the entry of the registry.
    Connect(u32),
    /// A session, one of whose data streams it is: its place in the table of these.
    Data(u32),
}

/// Bits of a word that say what the others mean.
const TAG: u32 = 0b11 << 30;
const CONNECT: u32 = 0b00 << 30;
const DATA: u32 = 0b01 << 30;
const REQUEST: u32 = 0b10 << 30;
const CLAIMED: u32 = 0b11 << 30;

impl Owner {
    /// What a slot's word means.
    #[inline]
    pub(crate) const fn of(word: u32) -> Self {
        match word & TAG {
            CONNECT => Self::Connect(word & !TAG),
            DATA => Self::Data(word & !TAG),
            REQUEST => Self::Request(word & !TAG),
            _ if word == CLAIMED => Self::Claimed,
            _ => Self::Application,
        }
    }

    /// The word that means it. Tables have fewer than 2^30 entries: an index names a
    /// stream, of which there are not more.
    const fn word(self) -> u32 {
        match self {
            Self::Application => NONE,
            Self::Claimed => CLAIMED,
            Self::Connect(index) => CONNECT | index & !TAG,
            Self::Data(index) => DATA | index & !TAG,
            Self::Request(index) => REQUEST | index & !TAG,
        }
    }

    /// Who owns a stream. One look-up; a stream that is gone is nobody's.
    #[inline]
    pub(crate) fn find(h3: &H3, stream: StreamKey) -> Self {
        h3.table
            .get(stream)
            .map_or(Self::Application, |slot| Self::of(slot.owner))
    }

    /// Gives a stream to an owner.
    pub(crate) fn give(self, h3: &mut H3, stream: StreamKey) {
        if let Some(slot) = h3.table.get_mut(stream) {
            slot.owner = self.word();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_survives_as_a_word() {
        for owner in [
            Owner::Application,
            Owner::Request(0),
            Owner::Claimed,
            Owner::Connect(7),
            Owner::Data((1 << 30) - 1),
        ] {
            assert_eq!(Owner::of(owner.word()), owner);
        }
        assert_eq!(Owner::of(NONE), Owner::Application);
    }
}
