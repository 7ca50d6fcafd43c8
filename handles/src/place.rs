//! Names of where state is, and of where to wait for it to change.

use aqueduct_core::id::Dir;

/// Where the state of a stream is: entries of the handles' own tables, which
/// live as long as a handle refers to them.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) struct At {
    pub(crate) conn: usize,
    pub(crate) stream: usize,
}

/// A set of waiters.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// New connections, and the end of the last one.
    Endpoint,
    Conn(usize, ConnTopic),
    Session(At, SessionTopic),
    Message(At, MessageTopic),
    /// The end of a stream's sending half.
    SendEnd(At),
}

impl Place {
    /// The connection it belongs to.
    pub(crate) const fn conn(self) -> Option<usize> {
        match self {
            Self::Endpoint => None,
            Self::Conn(conn, _) => Some(conn),
            Self::Session(at, _) | Self::Message(at, _) | Self::SendEnd(at) => Some(at.conn),
        }
    }
}

/// Where to wait for the driver's or a connection's state.
pub(crate) const fn state_of(conn: usize) -> Place {
    Place::Conn(conn, ConnTopic::State)
}

/// Who waits for the driver's next turn, because the share is used up.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Resting {
    Reader(At),
    Place(Place),
}

/// What a task can wait for on a connection.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum ConnTopic {
    /// Connected, SETTINGS, draining, closed.
    State,
    Requests,
    Sessions,
    Forbidden,
    Claimed,
    Bi,
    Uni,
}

impl ConnTopic {
    pub(crate) const COUNT: usize = 7;

    pub(crate) const fn credit(dir: Dir) -> Self {
        match dir {
            Dir::Bi => Self::Bi,
            Dir::Uni => Self::Uni,
        }
    }
}

/// What a task can wait for in a session.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum SessionTopic {
    /// Established, rejected, draining, closed.
    State,
    AcceptBi,
    AcceptUni,
    OpenBi,
    OpenUni,
    Datagrams,
    DatagramsUnblocked,
}

impl SessionTopic {
    pub(crate) const COUNT: usize = 7;

    pub(crate) const fn accept(dir: Dir) -> Self {
        match dir {
            Dir::Bi => Self::AcceptBi,
            Dir::Uni => Self::AcceptUni,
        }
    }

    pub(crate) const fn open(dir: Dir) -> Self {
        match dir {
            Dir::Bi => Self::OpenBi,
            Dir::Uni => Self::OpenUni,
        }
    }
}

/// What a task can wait for on a request beside its content.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum MessageTopic {
    Datagrams,
    /// Room to send them.
    Unblocked,
    /// The end of whoever wanted the request.
    Cancelled,
}

impl MessageTopic {
    pub(crate) const COUNT: usize = 3;
}
