//! Behaviours: a protocol of your own on QUIC streams and datagrams, written as callbacks,
//! the same under every loop.
//!
//! A [`Behaviour`] is what a connection does, a [`StreamBehaviour`] what one of its streams
//! does. Callbacks see a [`Context`] and return [`Actions`], or a [`Failure`], which ends
//! what the callback belongs to and nothing else. A [`Runner`] makes the calls. Sessions have
//! the same in [`webtransport`], tunnels in [`tunnel`].
//!
//! ```
//! use aqueduct_core::behaviour::{
//!     Accept, At, Behaviour, Context, Failure, Mode, Opened, StreamAction, StreamBehaviour,
//!     StreamContext, StreamResult,
//! };
//! use aqueduct_core::bytes::Bytes;
//! use aqueduct_core::id::StreamKey;
//!
//! /// Sends back what comes.
//! struct Echo;
//!
//! impl<M> StreamBehaviour<M> for Echo {
//!     fn data(&mut self, _: &StreamContext<'_>, data: Bytes, at: At) -> StreamResult<M> {
//!         let end = at.end.then_some(StreamAction::Finish);
//!         Ok([StreamAction::Send(data)].into_iter().chain(end).collect())
//!     }
//! }
//!
//! /// Gives every stream of the peer's to an echo.
//! struct Server;
//!
//! impl Behaviour for Server {
//!     type Message = ();
//!
//!     fn new_stream(
//!         &mut self,
//!         _: &Context<'_>,
//!         _: StreamKey,
//!         _: Opened,
//!     ) -> Result<Accept<()>, Failure> {
//!         Ok(Accept::Own(Box::new(Echo), Mode::Active))
//!     }
//! }
//! ```
//!
//! # What holds
//!
//! - A stream's first callback is `started`, or `handed_over`; its last is `closed`, once. A
//!   connection's last is `closed`, once, behind those of all its streams.
//! - Every byte of a stream is given once and in order, whatever its [`Mode`]s and owners, and
//!   so is its end. What no mode wants stays with the peer, as far as QUIC's windows let it
//!   send; when the connection ends, what had arrived can still be taken for
//!   [`Config::linger`].
//! - Each `Send` is told of once, each `Receive` is answered once.
//! - Of one list of actions, the strongest of what ends the connection counts.
//!
//! Everything that waits is bounded by [`Config`]. A callback costs what the owner's work
//! costs and a look-up of its stream, O(log streams); an owner is one allocation.

mod action;
mod config;
mod connection;
mod context;
mod message;
mod mode;
mod receive;
mod runner;
mod stream;
pub mod tunnel;
pub mod webtransport;

pub use action::{
    Action, ActionError, Actions, Failure, IntoIter, NewStream, StreamAction, StreamActionError,
};
pub use config::Config;
pub use connection::{Accept, Behaviour, ConnectionClosed, ConnectionResult, Opened, Verdict};
pub use context::{Context, StreamContext};
pub use message::SendMessageError;
pub use mode::{At, Mode, ReceiveError, Want};
pub use runner::Runner;
pub use stream::{HandedOver, Owner, StreamBehaviour, StreamResult};
