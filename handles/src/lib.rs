//! Async handles over the Aqueduct core, for any runtime.
#![forbid(unsafe_code)]

pub use aqueduct_core as core;

mod connection;
mod endpoint;
pub mod error;
mod http;
#[cfg(any(feature = "tokio", feature = "futures-io"))]
mod io;
mod route;
mod session;
mod shared;
mod stream;
mod table;
mod waiters;

pub use crate::connection::Connection;
pub use crate::endpoint::{Connecting, Endpoint, Worker};
pub use crate::http::{
    BodyReceiver, BodySender, RequestStream, ResponseReceiver, ResponseSender, ServerRequest,
};
pub use crate::session::{Session, SessionRequest};
pub use crate::shared::Shared;
pub use crate::stream::{RecvStream, SendStream};
