//! Where state is, and where to wait for it to change.

use crate::table::{ConnTopic, MessageTopic, SessionTopic, State};
use crate::waiters::Waiters;

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

impl State {
    /// The waiters at a place; `None` when it is no more.
    pub(crate) fn waiters(&mut self, place: Place) -> Option<&mut Waiters> {
        match place {
            Place::Endpoint => Some(&mut self.waiters),
            Place::Conn(conn, topic) => {
                Some(&mut self.conns.get_mut(conn)?.waiters[topic as usize])
            }
            Place::Session(at, topic) => {
                let stream = self.conns.get_mut(at.conn)?.streams.get_mut(at.stream)?;
                Some(&mut stream.session.as_mut()?.waiters[topic as usize])
            }
            Place::Message(at, topic) => {
                let stream = self.conns.get_mut(at.conn)?.streams.get_mut(at.stream)?;
                Some(&mut stream.message.as_mut()?.waiters[topic as usize])
            }
            Place::SendEnd(at) => Some(
                &mut self
                    .conns
                    .get_mut(at.conn)?
                    .streams
                    .get_mut(at.stream)?
                    .watchers,
            ),
        }
    }
}
