//! What a pool wants done, and why somebody gets no connection or loses one.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use super::Origin;
use super::table::Key;
use crate::error::{Class, CloseReason};

/// A checkout: a place in the queue at first, then a request's place on a connection.
/// Never used again.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Ticket(pub(super) Key);

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ticket {}", self.0.serial)
    }
}

/// A connection of a pool, from the wish for it to its end. Never used again.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct ConnId(pub(super) Key);

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pooled connection {}", self.0.serial)
    }
}

/// What is to be done.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Connect to the origin, and tell [`Pool::connected`](super::Pool::connected),
    /// [`dial_failed`](super::Pool::dial_failed) or [`closed`](super::Pool::closed).
    Dial {
        /// The connection's name from here on.
        conn: ConnId,
        /// Where to.
        origin: Origin,
    },
    /// Send the request on this connection, and tell
    /// [`request_opened`](super::Pool::request_opened),
    /// [`give_back`](super::Pool::give_back) or [`release`](super::Pool::release).
    Lend {
        /// Whose turn it is.
        ticket: Ticket,
        /// Where.
        conn: ConnId,
    },
    /// The ticket is over. Told once, and nothing after it.
    Fail {
        /// Whose.
        ticket: Ticket,
        /// Why.
        error: PoolError,
    },
    /// Close the connection with H3_NO_ERROR, or stop making it. The pool has forgotten
    /// it: there is nothing to tell.
    Retire {
        /// Which.
        conn: ConnId,
        /// Why.
        why: Retired,
    },
    /// Nothing was told of the connection for
    /// [`keep_alive`](super::OriginConfig::keep_alive): have QUIC send a PING.
    KeepAlive {
        /// Which.
        conn: ConnId,
    },
}

/// Why a connection is not wanted any longer.
#[derive(Copy, Clone, Debug, Eq, PartialEq, Hash)]
#[non_exhaustive]
pub enum Retired {
    /// There was no request for [`idle_timeout`](super::OriginConfig::idle_timeout).
    Idle,
    /// It was draining, and its last request is over.
    Drained,
    /// It was not made within [`connect_timeout`](super::OriginConfig::connect_timeout).
    ConnectTimeout,
    /// It was idle, and another origin needs its place
    /// ([`PoolLimits::max_connections`](super::PoolLimits::max_connections)).
    Room,
    /// The pool shuts down.
    ShutDown,
}

/// Why there is no connection for a request, or no longer.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// There was no place on a connection in time.
    #[error("no connection in time{}", because(.last))]
    CheckoutTimedOut {
        /// Why the origin was not reached before, if that was so.
        last: Option<Arc<DialFailure>>,
    },
    /// As many wait as may wait.
    #[error("too many requests wait for a connection")]
    QueueFull,
    /// The origin was not reached.
    #[error("not connected: {0}")]
    Dial(Arc<DialFailure>),
    /// The request lies beyond the server's GOAWAY (RFC 9114 §5.2): the server has not
    /// looked at it.
    #[error("not processed: the server is going away")]
    Unprocessed,
    /// The connection ended with the request on it: whether the server has acted on it is
    /// not known.
    #[error("the connection ended: {0}")]
    Closed(Arc<CloseReason>),
    /// The pool shuts down.
    #[error("the client is shutting down")]
    ShutDown,
}

fn because(last: &Option<Arc<DialFailure>>) -> String {
    last.as_ref()
        .map_or_else(String::new, |last| format!("; before that: {last}"))
}

impl PoolError {
    /// Whether the server has done nothing: the same request may be sent again, whatever
    /// its method. True of all but `Closed`.
    #[must_use]
    pub fn is_unprocessed(&self) -> bool {
        !matches!(self, Self::Closed(_))
    }

    /// Whether the same can succeed later, as all but `ShutDown` may; `Dial` and `Closed`
    /// as their cause is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::CheckoutTimedOut { .. } | Self::QueueFull | Self::Unprocessed => Class::Transient,
            Self::Dial(failure) => failure.class(),
            Self::Closed(reason) => reason.class(),
            Self::ShutDown => Class::Unrecoverable,
        }
    }

    /// Whether the class is [`Class::Transient`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.class() == Class::Transient
    }
}

/// Why an origin was not reached.
#[derive(Clone, Debug, Eq, PartialEq, Error)]
#[non_exhaustive]
pub enum DialFailure {
    /// The name has no address at present; the resolver's words.
    #[error("no address: {0}")]
    Resolve(Box<str>),
    /// There was no connection within the time for it.
    #[error("no connection within the time for it")]
    TimedOut,
    /// The connection ended before it was one.
    #[error(transparent)]
    Closed(CloseReason),
    /// There is no way through the proxy that leads there: it was not reached, or it
    /// refuses. Nothing was sent to the origin.
    #[error("through the proxy: {why}")]
    Proxy {
        /// In words.
        why: Box<str>,
        /// Who would have to change.
        class: Class,
    },
    /// It could not be begun on this side; its words.
    #[error("not begun: {0}")]
    NotBegun(Box<str>),
}

impl DialFailure {
    /// As the reason's for `Closed`, as it says for `Proxy`, [`Class::Unrecoverable`] for
    /// `NotBegun`, else [`Class::Transient`].
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Resolve(_) | Self::TimedOut => Class::Transient,
            Self::Closed(reason) => reason.class(),
            Self::Proxy { class, .. } => *class,
            Self::NotBegun(_) => Class::Unrecoverable,
        }
    }

    /// Whether the class is [`Class::Transient`].
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.class() == Class::Transient
    }
}

impl From<CloseReason> for DialFailure {
    fn from(reason: CloseReason) -> Self {
        Self::Closed(reason)
    }
}
