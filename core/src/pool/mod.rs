//! Connections of a client, shared by its requests: who gets which, when a new one is
//! made, and when one is not wanted any more.
//!
//! A state machine beside the connection's. It knows no connection, socket or clock:
//! events come in by value, actions go out, and `now` is an argument.
//!
//! ```text
//!   checkout ──▶ waiting ──Lend──▶ lent ──request_opened──▶ sent ──▶ release
//!                   ▲               │ give_back
//!                   └───────────────┘           Fail ends a ticket from anywhere
//!
//!   Dial ──▶ connecting ──connected──▶ connected ──goaway, drain──▶ draining ──▶ Retire
//!                 │ dial_failed            │ idle: Retire             closed ends it
//! ```
//!
//! # The loop
//!
//! 1. [`Pool::checkout`] gives a [`Ticket`], and every call may cause actions:
//! 2. take them with [`Pool::poll_action`] until there are none. [`Action::Dial`] is a
//!    task or an entry of a table; [`Action::Lend`] and [`Action::Fail`] wake whoever has
//!    the ticket.
//! 3. Whoever is lent a connection opens the request and tells
//!    [`Pool::request_opened`], or [`Pool::give_back`] if the connection did not take it
//!    ([`RequestError::Blocked`](crate::error::RequestError::Blocked), `Draining`,
//!    `Closed`), or [`Pool::release`] if there is to be no request.
//! 4. Whatever becomes of a ticket that has not failed, it ends with [`Pool::release`]: a
//!    guard calls it when it is dropped.
//! 5. Tell what connections tell: [`Pool::connected`], [`credit`](Pool::credit),
//!    [`goaway`](Pool::goaway), [`closed`](Pool::closed).
//! 6. Come back at [`Pool::poll_timeout`].
//!
//! It can stand under one lock with wakers beside it, or in an event loop. Calls about
//! one ticket and those about its connection may come in either order, as long as each
//! side keeps its own: nothing is called unprocessed before it is certain that it was.
//!
//! # What holds
//!
//! - A ticket is lent or fails, in the order of the queue of its origin. After it was lent
//!   it fails at most once, and never after `release`.
//! - Nothing is sent twice by the pool. A ticket that is given back had sent nothing.
//! - An error says whether the server can have acted ([`PoolError::is_unprocessed`]) and
//!   what would have to change ([`PoolError::class`]).
//! - Everything is bounded: [`PoolLimits`], [`OriginConfig`]. An origin without
//!   connections, waiters and back-off is forgotten.
//!
//! # Cost
//!
//! `checkout`, `release` and the events of requests: O(log n) of origins, and for an
//! origin's connections, which are few, as many words moved; no allocation once warm. `goaway`, `closed`, a failed dial:
//! O(log n) for each request that it ends. `shut_down`: all of it.
//!
//!
//! # Where to connect
//!
//! | | |
//! |---|---|
//! | [`AltSvc`], [`AltSvcCache`] | alternative services that servers name (RFC 7838), kept until they expire |
//! | [`HttpsRecord`] | what DNS says of an origin (RFC 9460) |
//! | [`Route`] | the places that come of both, in order |
//! | [`Plan`] | which of their addresses to try, and when (RFC 8305) |
//!
//! A dial is a plan: resolve, attempt, and tell the pool of the one that won.

mod action;
mod alt_svc;
mod alternatives;
mod config;
mod conns;
mod deadlines;
mod https;
mod machine;
mod open;
mod origin;
mod plan;
mod route;
mod serve;
mod stats;
mod table;
#[cfg(test)]
mod tests;

pub use action::{Action, ConnId, DialFailure, PoolError, Retired, Ticket};
pub use alt_svc::{AltSvc, AltSvcError, Alternative, MAX_ALT_SVC, MAX_ALTERNATIVES};
pub use alternatives::{AltSvcCache, AltSvcLimits, StoredAlternative};
pub use config::{Contradiction, OriginConfig, PoolConfig, PoolConfigError, PoolLimits, Rules};
pub use https::{HttpsRecord, HttpsRecordError};
pub use machine::Pool;
pub use origin::Origin;
pub use plan::{AttemptId, Family, MAX_ROUTES, Plan, PlanConfig, Step};
pub use route::{Route, Via};
pub use stats::{OriginStats, PoolStats};
