//! Names of things: which side, which direction, which stream, session or
//! connection. All are small `Copy` values.

mod map;

use std::fmt;

use crate::time::heap::TimerKey;

pub(crate) use map::{NONE, Named, StreamMap};

/// Which end of a connection this is. There are two.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Side {
    /// The end that opened the connection.
    Client,
    /// The end that accepted it.
    Server,
}

impl Side {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Whether bytes flow both ways on a stream or only from its opener. QUIC has one bit
/// for it.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub enum Dir {
    /// Both ends send.
    Bi,
    /// Only the opener sends.
    Uni,
}

/// A QUIC stream id: initiator, direction and a number that counts from zero in
/// each of the four classes (RFC 9000 §2.1).
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct StreamId(u64);

impl StreamId {
    /// The largest value a QUIC variable-length integer holds.
    pub const MAX: u64 = (1 << 62) - 1;

    /// The id of the `number`-th stream of a class. Numbers above 2^60 - 1 are
    /// reduced to it, so that the id stays a valid QUIC integer.
    #[must_use]
    pub const fn new(initiator: Side, dir: Dir, number: u64) -> Self {
        let number = if number >= 1 << 60 {
            (1 << 60) - 1
        } else {
            number
        };
        let low = match (initiator, dir) {
            (Side::Client, Dir::Bi) => 0,
            (Side::Server, Dir::Bi) => 1,
            (Side::Client, Dir::Uni) => 2,
            (Side::Server, Dir::Uni) => 3,
        };
        Self(number << 2 | low)
    }

    /// An id as it stands on the wire; `None` above 2^62 - 1.
    #[must_use]
    pub const fn from_wire(id: u64) -> Option<Self> {
        if id > Self::MAX { None } else { Some(Self(id)) }
    }

    /// The id as it stands on the wire.
    #[must_use]
    pub const fn wire(self) -> u64 {
        self.0
    }

    /// Who opened the stream.
    #[must_use]
    pub const fn initiator(self) -> Side {
        if self.0 & 1 == 0 {
            Side::Client
        } else {
            Side::Server
        }
    }

    /// Whether both ends send.
    #[must_use]
    pub const fn dir(self) -> Dir {
        if self.0 & 2 == 0 { Dir::Bi } else { Dir::Uni }
    }

    /// Position within the class, from zero.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0 >> 2
    }

    /// Whether this can be a request stream, and so name a session:
    /// client-initiated and bidirectional.
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.0 & 3 == 0
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A stream of one connection: a table slot guarded by the stream id, so that a
/// key outlived by its stream never names another.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct StreamKey {
    pub(crate) slot: u32,
    pub(crate) id: StreamId,
}

impl StreamKey {
    /// The key of a stream that is known to have been in a table slot. It names
    /// nothing if that stream is not there.
    #[must_use]
    pub const fn new(id: StreamId, slot: u32) -> Self {
        Self { slot, id }
    }

    /// The QUIC stream id.
    #[must_use]
    pub const fn id(self) -> StreamId {
        self.id
    }

    /// The table slot: dense and small, so that adapters can keep per-stream
    /// state in an array beside the core's table. Reused after the stream's end.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

impl fmt::Debug for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.id)
    }
}

/// A session, named by its CONNECT stream.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct SessionKey(pub(crate) StreamKey);

impl SessionKey {
    /// The session of a CONNECT stream. It names nothing if there is none.
    #[must_use]
    pub const fn new(stream: StreamKey) -> Self {
        Self(stream)
    }

    /// The CONNECT stream, whose id is the session id on the wire.
    #[must_use]
    pub const fn stream(self) -> StreamKey {
        self.0
    }

    /// The session id: the CONNECT stream's id.
    #[must_use]
    pub const fn id(self) -> StreamId {
        self.0.id
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0.id)
    }
}

impl From<SessionKey> for StreamKey {
    fn from(session: SessionKey) -> Self {
        session.0
    }
}

/// A connection of one endpoint: a table slot and a generation, so that a key
/// outlived by its connection never names another.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct ConnKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnKey {
    /// The table slot: dense and small; reused after the connection's end.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index as usize
    }
}

impl TimerKey for ConnKey {
    fn slot(self) -> usize {
        self.index()
    }
}

impl TimerKey for StreamKey {
    fn slot(self) -> usize {
        self.slot as usize
    }
}

impl TimerKey for SessionKey {
    fn slot(self) -> usize {
        self.0.slot as usize
    }
}

impl fmt::Debug for ConnKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}.{}", self.index, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_id_takes_itself_apart() {
        for (wire, initiator, dir, number) in [
            (0, Side::Client, Dir::Bi, 0),
            (1, Side::Server, Dir::Bi, 0),
            (6, Side::Client, Dir::Uni, 1),
            (
                0xffff_ffff_ffff_ffff >> 2,
                Side::Server,
                Dir::Uni,
                (1 << 60) - 1,
            ),
        ] {
            let id = StreamId::from_wire(wire).expect("in range");
            assert_eq!(
                (id.initiator(), id.dir(), id.number()),
                (initiator, dir, number)
            );
            assert_eq!(StreamId::new(initiator, dir, number), id);
        }
        assert_eq!(StreamId::from_wire(1 << 62), None);
        assert_eq!(Side::Client.peer(), Side::Server);
    }
}
